package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/config"
)

// crowd takes every place for large requests, so that the next one waits in vain.
func (s *stand) crowd() {
	s.proxy.large.wait = time.Millisecond
	for range cap(s.proxy.large.places) {
		s.proxy.large.places <- struct{}{}
	}
}

// repeated asks with a header that is there many times.
func (s *stand) repeated(t *testing.T, name, value string, times int) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/profiles/me", http.NoBody)
	must(t, err)
	r.Header[name] = slices.Repeat([]string{value}, times)
	return ask(t, r)
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
		"token":  func() answer { return s.do(t, "GET", "/v1/profiles/me", "", "Authorization", "Bearer "+long+long+long) },
		"tokens": func() answer { return s.repeated(t, "Authorization", "Bearer "+long[:64], 64) },
		"host":   func() answer { return s.do(t, "GET", "/v1/profiles/me", "", "Host", long) },
	} {
		crowded++
		if a := ask().problem(t, 503, "unavailable"); a.header.Get("Retry-After") == "" || s.metric(t, "waf_requests_total", "crowded") != crowded {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	if a := s.do(t, "PATCH", "/v1/profiles/me", `{"bio":"a"}`, "Authorization", "Bearer "+long+long); a.status != 202 {
		t.Errorf("a small request with the longest token: %d", a.status)
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
	if s.proxy.large.wait != waitDetecting {
		t.Errorf("what goes on in any case is held up for %s", s.proxy.large.wait)
	}
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
	eventually(t, "counted as gone", func() bool { return s.metric(t, "waf_requests_total", "gone") == 1 })
	if n := s.metric(t, "waf_requests_total", "crowded"); n != 0 {
		t.Errorf("crowded: %v", n)
	}
}
