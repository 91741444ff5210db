package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/config"
)

func TestTheAPIAway(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(f *config.Firewall) { f.Upstream = &url.URL{Scheme: "http", Host: "127.0.0.1:1"} })
	if a := s.do(t, "GET", "/v1/profiles/me", "").problem(t, 503, "unavailable"); a.header.Get("Retry-After") == "" || strings.Contains(a.body, "127.0.0.1") {
		t.Errorf("%v %s", a.header, a.body)
	}
	if s.metric(t, "waf_upstream_failures_total", "") != 1 || !strings.Contains(s.log.String(), "the API does not answer") {
		t.Error("not counted, or not logged")
	}
	// One that takes connections and says nothing: given up by the transport's limit or, where that does not hold, by ours.
	hung := newStand(t, func(f *config.Firewall) { f.Upstream, f.RequestTimeout = silent(t), 50*time.Millisecond })
	hung.do(t, "GET", "/v1/profiles/me", "").problem(t, 503, "unavailable")
	late := newStand(t, func(f *config.Firewall) { f.Upstream = silent(t) })
	late.proxy.longest = 50 * time.Millisecond
	late.do(t, "GET", "/v1/profiles/me", "").problem(t, 503, "unavailable")
	if hung.metric(t, "waf_upstream_failures_total", "") != 1 || late.metric(t, "waf_upstream_failures_total", "") != 1 {
		t.Error("not counted")
	}
}

// silent is the address of one who accepts connections and answers nothing.
func silent(t *testing.T) *url.URL {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

// An API that stops in the middle of its answer, or breaks it off, is given up, its client with it, and operators hear of it.
func TestAnAnswerThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*http.Request){
		"stalls":     func(r *http.Request) { <-r.Context().Done() },
		"breaks off": func(*http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			s := newStand(t, func(f *config.Firewall) { f.Upstream = halfAnswering(t, end, left) })
			s.proxy.longest = 2 * time.Second // far more than the half that comes needs
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			text, err := s.read(ctx, t)
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the client has %d bytes, %v", len(text), err)
			}
			<-left // nothing is held at the API either
			eventually(t, "counted", func() bool { return s.metric(t, "waf_upstream_failures_total", "") == 1 })
			if !strings.Contains(s.log.String(), "the API broke off its answer") {
				t.Errorf("the log: %s", s.log)
			}
		})
	}
}

// A client that leaves in the middle of an answer is no failure of the API's.
func TestAClientThatLeavesIsNoFailureOfTheAPI(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	s := newStand(t, func(f *config.Firewall) {
		f.Upstream = halfAnswering(t, func(r *http.Request) { <-r.Context().Done() }, left)
	})
	ctx, leave := context.WithTimeout(t.Context(), time.Minute)
	defer leave()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/profiles/me", http.NoBody)
	must(t, err)
	res, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	leave()
	_ = res.Body.Close()
	<-left
	s.front.Close() // waits for the handler
	if s.metric(t, "waf_upstream_failures_total", "") != 0 || s.log.String() != "" {
		t.Errorf("counted, or logged: %s", s.log)
	}
}

// halfAnswering is an API that says half of what it promised, then does as it is told; left is closed when it is rid of the request.
func halfAnswering(t *testing.T, end func(*http.Request), left chan struct{}) *url.URL {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		half := strings.Repeat("a", 64<<10) // more than the firewall keeps back
		w.Header().Set("Content-Length", strconv.Itoa(2*len(half)))
		_, _ = io.WriteString(w, half)
		_ = http.NewResponseController(w).Flush()
		end(r)
	}))
	t.Cleanup(api.Close)
	upstream, err := url.Parse(api.URL)
	must(t, err)
	return upstream
}
