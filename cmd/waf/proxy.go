package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync/atomic"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/firewall"
	"github.com/profile-api/profile-api/delivery/rest"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

// proxy judges each request, and hands on what it does not stop.
type proxy struct {
	engine     *firewall.Engine
	forward    *httputil.ReverseProxy
	metrics    *metrics
	log        *slog.Logger
	templates  rest.Templates
	proxies    middleware.Proxies
	mode       string // as logs show it
	detectOnly bool
	maxBody    int64
	draining   atomic.Bool
	large      lane
	longest    time.Duration // that handing a request on may take, its answer included
	now        func() time.Time
}

func newProxy(s *config.Firewall, engine *firewall.Engine, m *metrics, log *slog.Logger) *proxy {
	p := &proxy{
		engine: engine, metrics: m, log: log, templates: rest.NewTemplates(), proxies: s.TrustedProxies,
		mode: "on", detectOnly: s.DetectOnly, maxBody: s.MaxBodyBytes, large: newLane(s.DetectOnly), longest: longest(s), now: time.Now,
	}
	if s.DetectOnly {
		p.mode = "detection-only"
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = s.Upstream.Scheme, s.Upstream.Host
			p.rewrite(r)
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: s.RequestTimeout, IdleConnTimeout: 60 * time.Second,
			MaxIdleConns: 256, MaxIdleConnsPerHost: 256, MaxResponseHeaderBytes: 64 << 10,
			DisableCompression: true, // what the client asks for is the API's matter
			// No Proxy: an environment's http_proxy would be handed every token.
		},
		ModifyResponse: p.watch,
		ErrorHandler:   p.upstreamAway,
		ErrorLog:       httpserver.NoLog(),
	}
	return p
}

type contextKey struct{}

// requestID is the id that the proxy gave, or took over.
func requestID(r *http.Request) string {
	id, _ := r.Context().Value(contextKey{}).(string)
	return id
}

// ServeHTTP judges and hands on.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, middleware.RequestIDOf(r)))
	if p.draining.Load() {
		w.Header().Set("Connection", "close") // the next one goes elsewhere
		if r.URL.Path == "/health/ready" {
			p.answer(w, r, domain.UnavailableError(nil, 0))
			return
		}
	}
	if isProbe(r) {
		p.metrics.count(outcomeHealth)
	} else if fault := p.judge(w, r); fault != nil {
		p.answer(w, r, fault)
		return
	}
	// What follows the body was not judged, and how it was framed is between the client and us.
	r.TransferEncoding, r.Trailer = nil, nil
	// The server's own limits are on single writes: an answer that stalls half way would be held without end.
	ctx, cancel := context.WithTimeout(r.Context(), p.longest)
	defer cancel()
	p.forward.ServeHTTP(w, r.WithContext(ctx))
}

// isProbe tells of what asks for nothing but health. Whatever rules are added,
// they may not make a good replica look sick.
func isProbe(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength == 0 && r.URL.RawQuery == "" &&
		slices.Contains([]string{"/health", "/health/ready", "/health/live"}, r.URL.Path)
}

// judge reads the body and asks the rules. It gives what to answer instead of
// handing the request on; nil to do so, with the body there to be read again.
func (p *proxy) judge(w http.ResponseWriter, r *http.Request) *domain.Error {
	body, fault := p.readBody(w, r)
	if fault != nil {
		return fault
	}
	leave, ok := p.large.enter(r.Context(), size(r, body))
	if !ok {
		return p.unjudged(r, outcomeCrowded, nil)
	}
	start := p.now()
	v, err := p.engine.Inspect(r, body)
	p.metrics.took(p.now().Sub(start))
	leave()
	switch {
	case err != nil:
		p.log.LogAttrs(r.Context(), slog.LevelError, "a request could not be judged", slog.String("request_id", requestID(r)))
		return p.unjudged(r, outcomeFailed, err)
	case !v.Stop:
		p.metrics.count(outcomePassed)
		return nil
	}
	p.tell(r, v)
	if p.detectOnly {
		p.metrics.count(outcomeDetected)
		return nil
	}
	p.metrics.count(outcomeStopped)
	return domain.NewError(domain.Forbidden, domain.CodeForbidden, "The request looks like an attack and was stopped. If it is none, tell us the request id.")
}

// unjudged counts a request that the rules did not see: it goes no further, but
// in detection-only mode, which stops nothing. Of a client that has gone nothing is to be said.
func (p *proxy) unjudged(r *http.Request, outcome string, err error) *domain.Error {
	if r.Context().Err() != nil {
		p.metrics.count(outcomeGone)
		panic(http.ErrAbortHandler)
	}
	p.metrics.count(outcome)
	if p.detectOnly {
		return nil
	}
	return domain.UnavailableError(err, 0)
}

// readBody gives the whole body for the rules to judge. Clerk's deliveries are
// not read: see deploy/waf/before.conf.
func (p *proxy) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *domain.Error) {
	if r.Method == http.MethodPost && r.URL.Path == rest.WebhookPath {
		if r.ContentLength > middleware.MaxWebhookBytes {
			return nil, p.tooLarge()
		}
		r.Body = http.MaxBytesReader(w, r.Body, middleware.MaxWebhookBytes)
		return nil, nil
	}
	if r.ContentLength > p.maxBody {
		return nil, p.tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, p.tooLarge()
	case err != nil:
		p.metrics.count(outcomeUnread)
		w.Header().Set("Connection", "close")
		return nil, domain.NewError(domain.Malformed, domain.CodeMalformedRequest, "The body did not arrive whole.")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	return body, nil
}

func (p *proxy) tooLarge() *domain.Error {
	p.metrics.count(outcomeTooLarge)
	return domain.NewError(domain.PayloadTooLarge, domain.CodePayloadTooLarge, "The body is larger than this service accepts.")
}

// tell logs what was stopped and why: numbers and names from fixed sets, never what the request held.
func (p *proxy) tell(r *http.Request, v firewall.Verdict) {
	var groups []string
	for _, rule := range v.Rules {
		groups = append(groups, firewall.Group(rule))
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	for _, g := range groups {
		p.metrics.stopped.WithLabelValues(g).Inc()
	}
	p.log.LogAttrs(r.Context(), slog.LevelWarn, "request stopped", slog.String("request_id", requestID(r)), slog.String("mode", p.mode),
		slog.String("method", middleware.MethodLabel(r.Method)), slog.String("route", p.templates.Of(r)), slog.Any("rules", v.Rules), slog.Any("groups", groups),
		slog.String("client_network", middleware.Network(p.proxies.ClientIP(r))))
}

// rewrite sets what only the proxy may say. ReverseProxy has taken out the
// hop-by-hop headers, Forwarded and X-Forwarded-*; it leaves Host, which the API checks.
func (p *proxy) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery // as it was judged; the API refuses what cannot be read
	r.Out.Header.Del("Connection")         // no protocol but HTTP goes through
	r.Out.Header.Del("Upgrade")            //
	r.Out.Header.Del("X-Real-Ip")          // some take it for the client's address
	r.Out.Header.Set("X-Forwarded-For", p.proxies.ClientIP(r.In))
	r.Out.Header.Set("X-Forwarded-Proto", p.scheme(r.In))
	r.Out.Header.Set("X-Request-Id", requestID(r.In))
}

// scheme is what a trusted proxy in front says, else http: no TLS ends here.
func (p *proxy) scheme(r *http.Request) string {
	if p.proxies.Scheme(r) == "https" {
		return "https"
	}
	return "http"
}

func (p *proxy) answer(w http.ResponseWriter, r *http.Request, e *domain.Error) {
	rest.WriteProblem(w, r, e, requestID(r))
}
