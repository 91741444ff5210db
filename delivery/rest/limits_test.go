package rest

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/valkey"
)

func TestRateLimitHeaders(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(400 * time.Millisecond)
	p := w.person()
	now := w.clock.Now().Unix() // a whole second and 400 ms
	limitHeaders := []string{"RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
	expect := func(got reply, values ...string) {
		t.Helper()
		for i, name := range limitHeaders {
			if h := got.header.Values(name); len(h) != 1 || h[0] != values[i] {
				t.Errorf("%s is %q, want %q", name, h, values[i])
			}
		}
	}
	expect(w.do(t, "GET", "/v1/profiles/me", nil, p.is()).want(t, 200), `"user";q=100;w=60`, `"user";r=99;t=1`, "100", "99", fmt.Sprint(now+1))
	expect(w.do(t, "GET", "/v1/profiles/me", nil, bearer("bad")).want(t, 401), `"ip";q=100;w=60`, `"ip";r=99;t=1`, "100", "99", fmt.Sprint(now+1))

	w.limiter.script(func(domain.RatePolicy) domain.RateDecision {
		return domain.RateDecision{
			Policy: domain.PolicyGlobal, Rate: domain.Rate{Quota: 10000, Period: 90 * time.Second}, ResetAfter: 89*time.Second + 1, RetryAfter: 2100 * time.Millisecond,
		}
	})
	got := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 429, domain.CodeRateLimited)
	expect(got, `"global";q=10000;w=90`, `"global";r=0;t=90`, "10000", "0", fmt.Sprint(now+90))
	if got.header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	w.limiter.script(func(p domain.RatePolicy) domain.RateDecision {
		return domain.RateDecision{Allowed: true, Policy: p, Local: true}
	})
	off := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).want(t, 200)
	for _, name := range limitHeaders {
		if off.header.Get(name) != "" {
			t.Errorf("no limit applies, yet %s is %q", name, off.header.Get(name))
		}
	}
	for labels, want := range map[[2]string]float64{
		{"user", "allowed"}: 1, {"ip", "allowed"}: 1, {"global", "refused"}: 1, {"user", "allowed_local"}: 1,
	} {
		if n := w.metric(t, "rate_limit_decisions_total", map[string]string{"policy": labels[0], "outcome": labels[1]}); n != want {
			t.Errorf("%v: %v", labels, n)
		}
	}
}

// A quota in a real Valkey runs out, for that caller alone, and comes back.
func TestQuotaOnARealServer(t *testing.T) {
	client, err := valkey.NewClient(testservers.Valkey(t), valkey.ClientOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	w := newWorld(t, func(d *Deps) {
		rate := domain.Rate{Quota: 3, Period: time.Hour}
		limiter, err := valkey.NewLimiter(client, valkey.LimiterOptions{User: rate, IP: rate, Global: domain.Rate{Quota: 1000, Period: time.Minute}, Clock: d.Clock, Budget: liveness})
		must(t, err)
		d.Limiter = limiter
	})
	p := w.person()
	for left := 2; left >= 0; left-- {
		got := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).want(t, 200)
		if got.header.Get("X-RateLimit-Remaining") != fmt.Sprint(left) || got.header.Get("RateLimit-Policy") != `"user";q=3;w=3600` {
			t.Errorf("%d left: %v", left, got.header)
		}
	}
	got := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 429, domain.CodeRateLimited)
	if !regexp.MustCompile(`^1[12]\d\d$`).MatchString(got.header.Get("Retry-After")) { // a third of an hour
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	w.do(t, "GET", "/v1/profiles/me", nil, w.person().is()).want(t, 200)
	for range 3 {
		w.do(t, "GET", "/v1/profiles/me", nil, bearer("guess")).problem(t, 401, domain.CodeUnauthenticated)
	}
	// Guessing is over, from this address, on every route, while another goes on.
	w.do(t, "GET", "/v1/profiles/me", nil, bearer("guess")).problem(t, 429, domain.CodeRateLimited)
	w.do(t, "GET", "/v1/profiles/nobody_", nil).problem(t, 429, domain.CodeRateLimited)
	w.do(t, "GET", "/v1/profiles/nobody_", nil, peerAddr("198.51.100.7:1")).problem(t, 404, domain.CodeNotFound)
	w.do(t, "GET", "/health", nil).want(t, 200)
}
