package valkey

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/domain"
)

// These run on miniredis, whose time the test moves.

func TestAllowReportsWhatTheQuotaHasLeft(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(3, 6*time.Second), IP: rate(2, 2*time.Second), Clock: m.clock, Budget: patient,
	})
	ctx := context.Background()
	steps := []struct {
		wait                time.Duration
		policy              domain.RatePolicy
		allowed             bool
		remaining           int
		resetAfter, retryIn time.Duration
	}{
		{0, domain.PolicyUser, true, 2, 2 * time.Second, 0},
		{0, domain.PolicyUser, true, 1, 4 * time.Second, 0},
		{0, domain.PolicyIP, true, 1, time.Second, 0}, // another policy, another count
		{0, domain.PolicyUser, true, 0, 6 * time.Second, 0},
		{0, domain.PolicyUser, false, 0, 6 * time.Second, 2 * time.Second},
		{500 * time.Millisecond, domain.PolicyUser, false, 0, 5500 * time.Millisecond, 1500 * time.Millisecond},
		{1600 * time.Millisecond, domain.PolicyUser, true, 0, 5900 * time.Millisecond, 0},
		{0, domain.PolicyIP, true, 1, time.Second, 0},
	}
	for i, s := range steps {
		m.advance(s.wait)
		d := l.Allow(ctx, s.policy, "somebody")
		wantRate := rate(3, 6*time.Second)
		if s.policy == domain.PolicyIP {
			wantRate = rate(2, 2*time.Second)
		}
		if d.Allowed != s.allowed || d.Policy != s.policy || d.Rate != wantRate || d.Remaining != s.remaining || d.Local {
			t.Fatalf("step %d: %+v", i, d)
		}
		if (d.ResetAfter-s.resetAfter).Abs() > time.Millisecond || (d.RetryAfter-s.retryIn).Abs() > time.Millisecond {
			t.Fatalf("step %d: reset after %s, want %s; retry after %s, want %s",
				i, d.ResetAfter, s.resetAfter, d.RetryAfter, s.retryIn)
		}
	}
}

func TestRetryAfterIsTheTruth(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(5, time.Minute), Global: rate(12, time.Minute), Clock: m.clock, Budget: patient,
	})
	for round := range 20 {
		var d domain.RateDecision
		for i := 0; ; i++ {
			if d = l.Allow(context.Background(), domain.PolicyUser, strconv.Itoa(round)+"/"+strconv.Itoa(i)); !d.Allowed {
				break
			}
		}
		if d.Policy != domain.PolicyGlobal || d.RetryAfter <= 0 || d.RetryAfter > 5*time.Second {
			t.Fatalf("round %d: %+v", round, d)
		}
		m.advance(d.RetryAfter - time.Millisecond)
		if early := l.Allow(context.Background(), domain.PolicyUser, "early"+strconv.Itoa(round)); early.Allowed {
			t.Fatalf("round %d: let through before its time", round)
		}
		m.advance(2 * time.Millisecond)
		if due := l.Allow(context.Background(), domain.PolicyUser, "due"+strconv.Itoa(round)); !due.Allowed {
			t.Fatalf("round %d: refused when its time had come: %+v", round, due)
		}
	}
}

func TestWhatTheOwnQuotaRefusesDoesNotCountUnderGlobal(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(2, time.Minute), Global: rate(6, time.Minute), Clock: m.clock, Budget: patient,
	})
	allowed := func(who string, tries int) (n int) {
		for range tries {
			if l.Allow(context.Background(), domain.PolicyUser, who).Allowed {
				n++
			}
		}
		return n
	}
	// Had the refused ones counted, nothing would be left for the others.
	for _, who := range []string{"a", "b", "c"} {
		if n := allowed(who, 50); n != 2 {
			t.Fatalf("%s: %d allowed, want 2", who, n)
		}
	}
	d := l.Allow(context.Background(), domain.PolicyUser, "d")
	if d.Allowed || d.Policy != domain.PolicyGlobal || d.Rate != rate(6, time.Minute) || d.Remaining != 0 {
		t.Fatalf("the seventh: %+v", d)
	}
	if d.RetryAfter <= 0 || d.RetryAfter > 10*time.Second || d.ResetAfter <= 50*time.Second {
		t.Errorf("retry after %s, reset after %s", d.RetryAfter, d.ResetAfter)
	}
}

func TestQuotasRefillEvenly(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{User: rate(60, time.Minute), Clock: m.clock, Budget: patient})
	burst := func() (n int) {
		for l.Allow(context.Background(), domain.PolicyUser, "a").Allowed {
			n++
		}
		return n
	}
	if n := burst(); n != 60 {
		t.Fatalf("first burst: %d, want 60", n)
	}
	for second := range 10 {
		m.advance(time.Second + time.Millisecond)
		if n := burst(); n != 1 {
			t.Fatalf("second %d: %d more, want 1", second, n)
		}
	}
	m.advance(10 * time.Second)
	if n := burst(); n != 10 {
		t.Fatalf("after ten seconds: %d, want 10", n)
	}
}

func TestASwitchedOffPolicyAsksNobody(t *testing.T) {
	m := newMini(t)
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{Clock: m.clock, Budget: patient})
	for range 10 {
		d := l.Allow(trips.mark(), domain.PolicyUser, "a")
		if want := (domain.RateDecision{Allowed: true, Policy: domain.PolicyUser}); d != want {
			t.Fatalf("got %+v, want %+v", d, want)
		}
	}
	if n := trips.requests(); n != 0 {
		t.Errorf("%d round trips", n)
	}
}

func TestAPolicySwitchedOffStillCountsUnderGlobal(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{Global: rate(3, time.Minute), Clock: m.clock, Budget: patient})
	for i := range 3 {
		if d := l.Allow(context.Background(), domain.PolicyIP, "a"); !d.Allowed || !d.Rate.Unlimited() {
			t.Fatalf("request %d: %+v", i, d)
		}
	}
	if d := l.Allow(context.Background(), domain.PolicyIP, "a"); d.Allowed || d.Policy != domain.PolicyGlobal {
		t.Fatalf("the fourth: %+v", d)
	}
}

func TestAnUnknownPolicyIsNotUnlimited(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{IP: rate(1, time.Minute), Clock: m.clock, Budget: patient})
	l.Allow(context.Background(), "typo", "a")
	if d := l.Allow(context.Background(), "typo", "a"); d.Allowed {
		t.Errorf("an unknown policy went unlimited: %+v", d)
	}
}

func TestAKnownRefusalCostsNoRoundTrip(t *testing.T) {
	m := newMini(t)
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(1, 10*time.Second), Clock: m.clock, Budget: patient,
	})
	allow := func() domain.RateDecision { return l.Allow(trips.mark(), domain.PolicyUser, "a") }
	allow()
	allow()
	trips.reset()
	for i := range 9 {
		m.advance(time.Second)
		left := time.Duration(9-i) * time.Second
		if d := allow(); d.Allowed || d.Policy != domain.PolicyUser ||
			(d.RetryAfter-left).Abs() > time.Millisecond || (d.ResetAfter-left).Abs() > time.Millisecond {
			t.Fatalf("after %d s: %+v", i+1, d)
		}
	}
	if n := trips.requests(); n != 0 {
		t.Errorf("%d round trips to be told the same again", n)
	}
	m.advance(time.Second + time.Millisecond)
	if d := allow(); !d.Allowed {
		t.Errorf("refused beyond its time: %+v", d)
	}
	if n := trips.requests(); n != 1 {
		t.Errorf("%d round trips, want 1", n)
	}
}

func TestAKnownGlobalRefusalCostsNoRoundTripAndNoQuotaOfOnesOwn(t *testing.T) {
	m := newMini(t)
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(5, time.Minute), Global: rate(2, 20*time.Second), Clock: m.clock, Budget: patient,
	})
	for range 3 {
		l.Allow(context.Background(), domain.PolicyUser, "a")
	}
	trips.reset()
	for range 50 {
		if d := l.Allow(trips.mark(), domain.PolicyUser, "b"); d.Allowed || d.Policy != domain.PolicyGlobal {
			t.Fatalf("%+v", d)
		}
	}
	if n := trips.requests(); n != 0 {
		t.Errorf("%d round trips", n)
	}
	m.advance(10*time.Second + time.Millisecond)
	if d := l.Allow(context.Background(), domain.PolicyUser, "b"); !d.Allowed || d.Remaining != 4 {
		t.Errorf("%+v, want 4 remaining of its own", d)
	}
}

// TestTheOrdinaryRequestMakesOneRoundTrip is about the path of a busy replica:
// its own count is asked, the global permit is at hand.
func TestTheOrdinaryRequestMakesOneRoundTrip(t *testing.T) {
	m := newMini(t)
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(100, time.Minute), Global: rate(10_000, time.Minute), Clock: m.clock, Budget: patient,
	})
	l.probe(context.Background()) // loads the scripts, as Run does at the start
	for range 2 {                 // learn how much is left, take the first batch
		l.Allow(context.Background(), domain.PolicyUser, "first")
		landed(t, l)
	}
	for i := range 1000 {
		trips.reset()
		held := l.lease.holding()
		if d := l.Allow(trips.mark(), domain.PolicyUser, strconv.Itoa(i)); !d.Allowed || d.Local {
			t.Fatalf("request %d: %+v", i, d)
		}
		if n := trips.forKey("user:" + strconv.Itoa(i)); n != 1 {
			t.Fatalf("request %d made %d round trips", i, n)
		}
		if held == 0 { // else what it sent for the global quota went beside it
			t.Fatalf("request %d found no permit at hand", i)
		}
		landed(t, l)
		m.advance(time.Millisecond)
	}
}

// TestAQuietReplicaWastesAtMostAHundredth: a request now and then lives on one
// batch for a whole period, or many quiet replicas would use up the quota between them.
func TestAQuietReplicaWastesAtMostAHundredth(t *testing.T) {
	m := newMini(t)
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(100, time.Minute), Global: rate(10_000, time.Minute), Clock: m.clock, Budget: patient,
	})
	l.probe(context.Background())
	l.Allow(context.Background(), domain.PolicyUser, "a") // learns how much is left
	trips.reset()
	for i := range 30 {
		l.Allow(trips.mark(), domain.PolicyUser, "a")
		landed(t, l)
		if n := l.lease.holding(); n != 99-i {
			t.Fatalf("holds %d permits after %d requests, want the rest of one batch", n, i+1)
		}
		m.advance(2*time.Second - time.Millisecond)
	}
	if n := trips.forKey("global"); n != 1 {
		t.Errorf("%d leases within a period, want 1", n)
	}
	m.advance(time.Second)
	if n := l.lease.holding(); n != 0 {
		t.Errorf("%d permits outlived their lease", n)
	}
}

// TestAMissingPermitIsFetchedBesideTheOwnCount: a request that finds no permit
// waits for one round trip's time, not for two.
func TestAMissingPermitIsFetchedBesideTheOwnCount(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(100, time.Minute), Global: rate(10_000, time.Minute), Clock: m.clock, Budget: patient,
	})
	l.Allow(context.Background(), domain.PolicyUser, "a") // learns how much is left
	l.lease.prepare(context.Background(), l.lease.epoch)
	if !l.lease.fetching() && l.lease.holding() == 0 {
		t.Error("nothing is under way before the permit is asked for")
	}
	landed(t, l)
	if n := l.lease.holding(); n != 100 {
		t.Errorf("holds %d permits, want a batch", n)
	}
}

func TestNewLimiterRefusesWhatIsNoRate(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	for _, r := range []domain.Rate{rate(-1, time.Minute), rate(1, 0), rate(0, time.Minute), rate(10, -time.Second), rate(10, 9)} {
		if _, err := NewLimiter(client, LimiterOptions{User: r}); err == nil {
			t.Errorf("took %d per %s", r.Quota, r.Period)
		}
	}
}
