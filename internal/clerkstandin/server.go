// Package clerkstandin answers in Clerk's place: it serves the key set and the
// users API that clerk-sdk-go calls, and mints session tokens in Clerk's claim
// format (version 2) for people who exist only here. The zero set-up stack and
// the tests use it. It must never be imported by the production program: who
// reaches it can become anybody.
package clerkstandin

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Defaults of [Options].
const (
	DefaultHost            = "standin.clerk.accounts.dev"
	DefaultSecretKey       = "sk_test_c3RhbmQtaW4tZm9yLWNsZXJrLWxvY2Fs" // #nosec G101 -- opens nothing but this stand-in
	DefaultAPIBaseURL      = "http://127.0.0.1:8080"
	DefaultAuthorizedParty = "http://127.0.0.1:8080"
	DefaultLifetime        = time.Hour
	// ClerkLifetime is how long Clerk's own session tokens live.
	ClerkLifetime = 60 * time.Second
)

// Clock tells the time that goes into tokens.
type Clock interface{ Now() time.Time }

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// Options of a stand-in; the zero value works.
type Options struct {
	Key             *rsa.PrivateKey // first signing key; nil makes a fresh one of 2048 bits
	Host            string          // Frontend API host; issuer and publishable key follow from it
	Issuer          string          // claim iss; empty is https:// + Host
	SecretKey       string          // what the Backend API asks for as a bearer token
	AuthorizedParty string          // claim azp of minted tokens
	APIBaseURL      string          // base of the API in the page's curl line, without a path
	Lifetime        time.Duration   // exp - iat of minted tokens; zero is an hour, kinder to people than Clerk's 60 s
	People          []Person        // who exists; nil is SamplePeople
	Clock           Clock           // nil is the system's
}

// Server is the stand-in. It is an http.Handler and safe for concurrent use.
type Server struct {
	opts    Options
	mux     *http.ServeMux
	keys    keyring
	secrets secretKeys
	people  directory
	faults  faultBox
	pages   pages
	limit   rateLimit

	counts struct {
		sync.Mutex
		byRoute map[string]int
	}
}

// New makes a stand-in. It fails only when no key can be generated or the key given is unfit.
func New(opts Options) (*Server, error) {
	opts = opts.withDefaults()
	if opts.Key == nil {
		key, err := GenerateKey()
		if err != nil {
			return nil, err
		}
		opts.Key = key
	}
	s := &Server{opts: opts}
	s.secrets.set(opts.SecretKey)
	s.counts.byRoute = map[string]int{}
	s.keys.add(opts.Key)
	s.people.fill(opts.People)
	s.mux = s.routes()
	return s, nil
}

func (o Options) withDefaults() Options {
	o.Host = or(o.Host, DefaultHost)
	o.Issuer = or(o.Issuer, "https://"+o.Host)
	o.SecretKey = or(o.SecretKey, DefaultSecretKey)
	o.AuthorizedParty = or(o.AuthorizedParty, DefaultAuthorizedParty)
	o.APIBaseURL = strings.TrimRight(or(o.APIBaseURL, DefaultAPIBaseURL), "/")
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.People == nil {
		o.People = SamplePeople()
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	return o
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// Issuer is the claim iss of minted tokens.
func (s *Server) Issuer() string { return s.opts.Issuer }

// SecretKey is what the Backend API asked for at first; SetSecretKeys changes it.
func (s *Server) SecretKey() string { return s.opts.SecretKey }

// PublishableKey is the pk_test_ key of the stand-in's host.
func (s *Server) PublishableKey() string { return PublishableKey(s.opts.Host) }

// AuthorizedParty is the claim azp of minted tokens.
func (s *Server) AuthorizedParty() string { return s.opts.AuthorizedParty }

// PublishableKey renders a host as Clerk's test publishable key:
// pk_test_ and the base64 of the host followed by a dollar sign.
func PublishableKey(host string) string {
	return "pk_test_" + base64.StdEncoding.EncodeToString([]byte(host+"$"))
}

// LivePublishableKey is [PublishableKey] for a live instance: pk_live_….
func LivePublishableKey(host string) string {
	return "pk_live_" + base64.StdEncoding.EncodeToString([]byte(host+"$"))
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jwks", s.counted("jwks", s.faulty(s.backendAPI(s.serveKeys))))
	mux.HandleFunc("GET /.well-known/jwks.json", s.counted("jwks", s.faulty(s.serveKeys)))
	mux.HandleFunc("GET /v1/users", s.counted("users", s.faulty(s.limited(s.faultyPages(s.backendAPI(s.listUsers))))))
	mux.HandleFunc("GET /v1/users/count", s.counted("users", s.faulty(s.limited(s.backendAPI(s.countUsers)))))
	mux.HandleFunc("GET /v1/users/{id}", s.counted("users", s.faulty(s.limited(s.backendAPI(s.getUser)))))
	mux.HandleFunc("DELETE /v1/users/{id}", s.counted("users", s.faulty(s.limited(s.backendAPI(s.deleteUser)))))
	mux.HandleFunc("GET /v1/domains", s.counted("domains", s.faulty(s.backendAPI(s.listDomains))))
	mux.HandleFunc("GET /token", s.counted("token", ownMachineOnly(s.serveToken)))
	mux.HandleFunc("GET /{$}", s.counted("page", ownMachineOnly(s.servePage)))
	return mux
}

// ServeHTTP answers a request; no response ever carries a CORS header.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Date", s.opts.Clock.Now().UTC().Format(http.TimeFormat)) // its clock may be wrong, too
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	s.mux.ServeHTTP(w, r)
}

func (s *Server) counted(route string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.counts.Lock()
		s.counts.byRoute[route]++
		s.counts.Unlock()
		next(w, r)
	}
}

// KeyFetches is how many requests for the key set have arrived, answered or not.
func (s *Server) KeyFetches() int { return s.count("jwks") }

// UserRequests is how many requests to the users API have arrived.
func (s *Server) UserRequests() int { return s.count("users") }

func (s *Server) count(route string) int {
	s.counts.Lock()
	defer s.counts.Unlock()
	return s.counts.byRoute[route]
}

// Running is a stand-in that listens on its own port.
type Running struct {
	srv  *http.Server
	addr string
	done chan error
}

// Start listens on addr (host:port; port 0 takes a free one) and serves until Close.
func (s *Server) Start(addr string) (*Running, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("stand-in for Clerk: %w", err)
	}
	run := &Running{
		srv:  &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute},
		addr: ln.Addr().String(),
		done: make(chan error, 1),
	}
	go func() { run.done <- run.srv.Serve(ln) }()
	return run, nil
}

// Addr is the host:port it listens on.
func (r *Running) Addr() string { return r.addr }

// URL is http:// and the address.
func (r *Running) URL() string { return "http://" + r.addr }

// APIURL is the base of the Backend API, the value for CLERK_API_URL.
func (r *Running) APIURL() string { return r.URL() + "/v1" }

// Close stops listening and waits for requests in flight until ctx ends, then cuts them off.
func (r *Running) Close(ctx context.Context) error {
	err := r.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.srv.Close())
	}
	serveErr := <-r.done
	r.done <- serveErr // a second Close finds it too
	if !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
