package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/config"
)

// Large bodies wait for each other, and nobody waits for them.
// crowd takes every place for large requests, so that the next one waits in vain.
func (s *stand) crowd() {
	s.proxy.large.wait = time.Millisecond
	for range cap(s.proxy.large.places) {
		s.proxy.large.places <- struct{}{}
	}
}

// What the rules have to read counts, wherever it stands: a query costs as much as a body.
func TestLargeRequestsTakeNotEveryProcessor(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.crowd()
	body, long := `{"bio":"`+strings.Repeat("a", largeFrom)+`"}`, strings.Repeat("a", largeFrom)
	crowded := 0.0
	for name, ask := range map[string]func() answer{
		"body":   func() answer { return s.do(t, "PATCH", "/v1/profiles/me", body) },
		"query":  func() answer { return s.do(t, "GET", "/v1/profiles?handles="+long, "") },
		"path":   func() answer { return s.do(t, "GET", "/v1/profiles/"+long, "") },
		"cookie": func() answer { return s.do(t, "GET", "/v1/profiles/me", "", "Cookie", "c="+long) },
	} {
		crowded++
		if a := ask().problem(t, 503, "unavailable"); a.header.Get("Retry-After") == "" || s.metric(t, "waf_requests_total", "crowded") != crowded {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	if a := s.do(t, "PATCH", "/v1/profiles/me", `{"bio":"a"}`, "Authorization", "Bearer "+long); a.status != 202 {
		t.Errorf("a small request with a long token: %d", a.status)
	}
	<-s.proxy.large.places
	for range 2 { // the place is given back
		s.proxy.large.wait = time.Minute
		if a := s.do(t, "PATCH", "/v1/profiles/me", body); a.status != 202 {
			t.Errorf("with a place: %d", a.status)
		}
	}
}

// In the mode that stops nothing, what could not be judged goes on too, and is counted.
func TestDetectionOnlyStopsNothingThatItCannotJudge(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(f *config.Firewall) { f.DetectOnly = true })
	s.crowd()
	if a := s.do(t, "PATCH", "/v1/profiles/me", `{"bio":"`+strings.Repeat("a", largeFrom)+`"}`); a.status != 202 || s.metric(t, "waf_requests_total", "crowded") != 1 {
		t.Errorf("without a place: %d", a.status)
	}
	s.proxy.engine = nil // it panics
	if a := s.do(t, "GET", "/v1/profiles/me", ""); a.status != 202 || s.metric(t, "waf_requests_total", "failed") != 1 {
		t.Errorf("by an engine that fails: %d", a.status)
	}
}

// An engine that fails stops the request, with a word in the log and none of the request's.
func TestAnEngineThatFailsLetsNothingThrough(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.proxy.engine = nil
	s.do(t, "GET", "/v1/profiles/secretive", "").problem(t, 503, "unavailable")
	if log := s.log.String(); !strings.Contains(log, "a request could not be judged") || strings.Contains(log, "secretive") || s.metric(t, "waf_requests_total", "failed") != 1 {
		t.Errorf("%s", log)
	}
}

// Who leaves while waiting is no sign that the firewall is crowded.
func TestAClientThatLeavesIsNotCrowdedOut(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.crowd()
	s.proxy.large.wait = time.Minute
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/profiles?handles="+strings.Repeat("a", largeFrom), http.NoBody)
	must(t, err)
	time.AfterFunc(100*time.Millisecond, leave)
	if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
		t.Errorf("answered %d", res.StatusCode)
		must(t, res.Body.Close())
	}
	for s.metric(t, "waf_requests_total", "gone") != 1 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if n := s.metric(t, "waf_requests_total", "crowded"); n != 0 {
		t.Errorf("crowded: %v", n)
	}
}

// An API that stops in the middle of its answer is given up, and its client with it.
func TestAnAnswerThatStallsIsGivenUp(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(api.Close)
	upstream, err := url.Parse(api.URL)
	must(t, err)
	s := newStand(t, func(f *config.Firewall) { f.Upstream = upstream })
	s.proxy.longest = 200 * time.Millisecond
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/profiles/me", http.NoBody)
	must(t, err)
	res, err := http.DefaultTransport.RoundTrip(r) // ends at all, which without a limit it would not
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("half an answer counts as whole")
	}
}

func TestTheAPIAway(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(f *config.Firewall) { f.Upstream = &url.URL{Scheme: "http", Host: "127.0.0.1:1"} })
	if a := s.do(t, "GET", "/v1/profiles/me", "").problem(t, 503, "unavailable"); a.header.Get("Retry-After") == "" || strings.Contains(a.body, "127.0.0.1") {
		t.Errorf("%v %s", a.header, a.body)
	}
	if s.metric(t, "waf_upstream_failures_total", "") != 1 || !strings.Contains(s.log.String(), "the API does not answer") {
		t.Error("not counted, or not logged")
	}
	hung := newStand(t, func(f *config.Firewall) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		f.Upstream, f.RequestTimeout = &url.URL{Scheme: "http", Host: l.Addr().String()}, 50*time.Millisecond
	})
	hung.do(t, "GET", "/v1/profiles/me", "").problem(t, 503, "unavailable")
}
