package valkey

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testlog"
)

func TestARequestThatWasGivenUpIsNoFailureOfTheServer(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(10, time.Minute), Global: rate(100, time.Minute), Clock: m.clock, Budget: patient,
	})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range 10 {
		if d := l.Allow(gone, domain.PolicyUser, "a"); !d.Allowed || d.Local || d.Remaining != 9-i {
			t.Fatalf("request %d: %+v", i, d)
		}
	}
	if l.Degraded() {
		t.Error("requests given up by their clients made the server count as away")
	}
	if d := l.Allow(context.Background(), domain.PolicyUser, "a"); d.Allowed {
		t.Error("giving up is a way around the limit")
	}
}

// TestOneFailureFallsBackForOneRequest: an error in between is no absence.
func TestOneFailureFallsBackForOneRequest(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{User: rate(10, time.Minute), Clock: m.clock, Budget: patient})
	ctx := context.Background()
	for i := range 20 {
		m.SetError("LOADING in a moment")
		if d := l.Allow(ctx, domain.PolicyUser, strconv.Itoa(i)); !d.Allowed || !d.Local {
			t.Fatalf("failing: %+v", d)
		}
		m.SetError("")
		if d := l.Allow(ctx, domain.PolicyUser, strconv.Itoa(i)); !d.Allowed || d.Local {
			t.Fatalf("working: %+v", d)
		}
	}
	if l.Degraded() {
		t.Error("single failures added up to an absence")
	}
}

func TestAServerThatOnlyRefusesCountsAsAwayAndIsFoundAgain(t *testing.T) {
	m := newMini(t)
	var log testlog.Buffer
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(10, time.Minute), Global: rate(15, time.Minute), Clock: m.clock, Budget: patient,
		Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	ctx := context.Background()
	m.SetError("OOM command not allowed")
	for range failuresToTrip {
		l.Allow(ctx, domain.PolicyUser, "a")
	}
	if !l.Degraded() {
		t.Fatal("not away after failures in a row")
	}
	l.probe(ctx) // finds the server as it was
	trips.reset()
	allowed := failuresToTrip
	for range 50 {
		if d := l.Allow(trips.mark(), domain.PolicyUser, "a"); d.Allowed {
			allowed++
		} else if !d.Local || d.Policy != domain.PolicyUser || d.RetryAfter <= 0 {
			t.Fatalf("%+v", d)
		}
	}
	if allowed != 10 {
		t.Errorf("%d allowed locally, the quota is 10", allowed)
	}
	for range 50 {
		if l.Allow(ctx, domain.PolicyUser, "b").Allowed {
			allowed++
		}
	}
	if allowed != 15 {
		t.Errorf("%d allowed locally in all, the global quota is 15", allowed)
	}
	if n := trips.requests(); n != 0 {
		t.Errorf("%d round trips to a server that is away", n)
	}
	m.SetError("")
	l.probe(ctx)
	if d := l.Allow(ctx, domain.PolicyUser, "a"); l.Degraded() || !d.Allowed || d.Local {
		t.Errorf("after recovery: %+v", d)
	}
	if got := strings.Count(log.String(), "\n"); got != 2 {
		t.Errorf("%d log lines, want one for each change:\n%s", got, log.String())
	}
}

// TestRecoveryForgetsWhatWasLearntBefore: the server may have come back empty.
func TestRecoveryForgetsWhatWasLearntBefore(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(1, time.Hour), Global: rate(2, time.Hour), Clock: m.clock, Budget: patient,
	})
	ctx := context.Background()
	for _, who := range []string{"a", "a", "b", "c"} {
		l.Allow(ctx, domain.PolicyUser, who)
	}
	if d := l.Allow(ctx, domain.PolicyUser, "c"); d.Allowed || d.Policy != domain.PolicyGlobal {
		t.Fatalf("global is not known to refuse: %+v", d)
	}
	m.SetError("gone")
	for range 2 * failuresToTrip {
		l.Allow(ctx, domain.PolicyUser, strconv.Itoa(int(m.clock.Now().UnixNano())))
		l.probe(ctx)
	}
	if !l.Degraded() {
		t.Fatal("not away")
	}
	m.FlushAll()
	m.SetError("")
	l.probe(ctx)
	if d := l.Allow(ctx, domain.PolicyUser, "a"); !d.Allowed || d.Local {
		t.Errorf("an old refusal outlived the server's memory of it: %+v", d)
	}
}

func TestBreaker(t *testing.T) {
	boom := errors.New("boom")
	var b breaker
	first, present := b.enter()
	if !present || b.failed(first, boom) || b.failed(first, boom) {
		t.Fatal("tripped too early")
	}
	b.succeeded(first)
	for i := 1; i <= failuresToTrip; i++ {
		if b.failed(first, boom) != (i == failuresToTrip) {
			t.Fatalf("failure %d in a row", i)
		}
	}
	away, present := b.enter()
	if present || b.failed(first, boom) || b.failed(away, boom) || b.recovered(first) {
		t.Fatal("an absence neither begins twice nor ends for a stale reason")
	}
	if !b.recovered(away) || b.recovered(away) {
		t.Fatal("an absence ends once")
	}
	second, present := b.enter()
	if !present || second == first {
		t.Fatal("a return is a new epoch")
	}
	for range 10 {
		if b.failed(first, boom) {
			t.Fatal("a failure from before the absence counted after it")
		}
	}
}
