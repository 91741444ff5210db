package clerkstandin

import (
	"bytes"
	_ "embed"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

type pageData struct {
	People   []Person
	Person   Person // chosen; zero when nobody is
	Token    string
	Curl     string
	API      string
	Issuer   string
	Lifetime time.Duration
	Nonce    string
}

// CurlLine is a command that asks the API who the token's bearer is.
func CurlLine(apiBaseURL, token string) string {
	return "curl -sS -H 'Authorization: Bearer " + token + "' " + strings.TrimRight(apiBaseURL, "/") + "/v1/profiles/me"
}

// servePage shows a form to pick a person and, once picked, a token. It works
// without JavaScript; the script only copies.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	data := pageData{
		People: s.people.all(), API: s.opts.APIBaseURL, Issuer: s.opts.Issuer,
		Lifetime: s.opts.Lifetime, Nonce: randomHex(16),
	}
	status := http.StatusOK
	if name := r.URL.Query().Get("person"); name != "" {
		if p, ok := s.people.find(name); ok {
			data.Person = p
			data.Token, _ = s.Token(name) // just found
			data.Curl = CurlLine(s.opts.APIBaseURL, data.Token)
		} else {
			status = http.StatusNotFound
		}
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, data); err != nil {
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "+
		"style-src 'nonce-"+data.Nonce+"'; script-src 'nonce-"+data.Nonce+"'")
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // a client that left cannot be told
}

// serveToken answers GET /token?person=NAME with a fresh token and nothing else.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	token, err := s.Token(r.URL.Query().Get("person"))
	if err != nil {
		http.Error(w, "unknown person; known are "+s.names(), http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte(token)) // a client that left cannot be told
}

func (s *Server) names() string {
	var names []string
	for _, p := range s.people.all() {
		names = append(names, p.Username)
	}
	return strings.Join(names, ", ")
}

// ownMachineOnly keeps foreign web pages from fetching tokens: a rebound DNS
// name shows in Host, and a browser says when another site's page asks.
func ownMachineOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			http.Error(w, "this page answers to loopback names only", http.StatusMisdirectedRequest)
			return
		}
		site := r.Header.Get("Sec-Fetch-Site")
		foreign := site == "cross-site" || site == "same-site"
		if foreign && r.Header.Get("Sec-Fetch-Mode") != "navigate" { // following a link to the page is fine
			http.Error(w, "no other site may ask here", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

// loopbackHost tells whether a Host header names this machine: localhost or a
// loopback address, with or without a port.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && addr.IsLoopback()
}
