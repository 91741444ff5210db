package valkey

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// landed waits for a fetch beside the requests to come in.
func landed(t *testing.T, l *Limiter) {
	t.Helper()
	eventually(t, "the fetch landed", func() bool { return !l.lease.fetching() })
}

// TestNothingScarceIsLeasedAhead: what one replica does not use, another gets,
// to the last permit, when the quota is small or nearly used up.
func TestNothingScarceIsLeasedAhead(t *testing.T) {
	for _, tt := range []struct{ quota, used int }{{5, 0}, {199, 0}, {1000, 981}, {10_000, 9_801}} {
		t.Run(strconv.Itoa(tt.quota), func(t *testing.T) {
			m := newMini(t)
			opts := LimiterOptions{Global: rate(tt.quota, time.Hour), Clock: m.clock, Budget: patient}
			first, _ := newTestLimiter(t, m.url(), opts)
			second, _ := newTestLimiter(t, m.url(), opts)
			ctx := context.Background()
			if tt.used > 0 {
				if _, err := first.takeGlobal(ctx, 0, tt.used); err != nil {
					t.Fatal(err)
				}
			}
			got := tt.used
			for _, l := range []*Limiter{first, second} {
				if !l.Allow(ctx, domain.PolicyUser, "a").Allowed {
					t.Fatal("refused although permits are left")
				}
				landed(t, l)
				got++
			}
			if n := first.lease.holding() + second.lease.holding(); n != 0 {
				t.Fatalf("%d permits are held while few are left", n)
			}
			m.advance(time.Millisecond) // redis_rate's floating point needs time to pass for the last one
			for second.Allow(ctx, domain.PolicyUser, "a").Allowed {
				got++
				landed(t, second)
			}
			if got != tt.quota {
				t.Errorf("%d permits used, the quota is %d", got, tt.quota)
			}
		})
	}
}

func TestALeaseIsBoundedHoweverBusy(t *testing.T) {
	m := newMini(t)
	l, _ := newTestLimiter(t, m.url(), LimiterOptions{Global: rate(5000, time.Hour), Clock: m.clock, Budget: patient})
	most := 0
	for range 3000 {
		l.Allow(context.Background(), domain.PolicyUser, "a")
		landed(t, l)
		most = max(most, l.lease.holding())
	}
	if most > l.lease.batch || l.lease.batch != 50 {
		t.Errorf("held up to %d, the batch is %d", most, l.lease.batch)
	}
	if most < l.lease.batch/2 {
		t.Errorf("a busy replica never held more than %d, so it keeps asking", most)
	}
}

func TestLeaseSizesFollowTheQuota(t *testing.T) {
	for _, tt := range []struct {
		rate  domain.Rate
		batch int
		life  time.Duration
	}{
		{rate(1, time.Minute), 1, time.Minute},
		{rate(199, time.Minute), 1, time.Minute},
		{rate(200, time.Minute), 2, time.Minute},
		{rate(10_000, time.Minute), 100, time.Minute},
		{rate(1_000_000, time.Minute), 100, time.Minute},
		{rate(1000, time.Second), 10, time.Second},
		{rate(200, time.Hour), 2, time.Hour},
	} {
		l := newLease(tt.rate, newFakeClock(), nil)
		if l.batch != tt.batch || l.life != tt.life {
			t.Errorf("%s: batch %d, life %s; want %d, %s", tt.rate, l.batch, l.life, tt.batch, tt.life)
		}
	}
}

// TestTheProbeLoadsBothScripts, so that no request of a server's return pays for it.
func TestTheProbeLoadsBothScripts(t *testing.T) {
	m := newMini(t)
	l, trips := newTestLimiter(t, m.url(), LimiterOptions{
		User: rate(10, time.Minute), Global: rate(10, time.Minute), Clock: m.clock, Budget: patient,
	})
	ctx := context.Background()
	l.Allow(ctx, domain.PolicyUser, "a")
	if err := l.client.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	l.probe(ctx)
	trips.reset()
	l.Allow(ctx, domain.PolicyUser, "a")
	if own, global := trips.forKey("user:a"), trips.forKey("global"); own != 1 || global != 1 {
		t.Errorf("%d commands for the own quota, %d for the global one; want 1 each", own, global)
	}
}
