package valkey

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// These run on a real server. Quotas are per hour or day where exact counts are
// asserted, so that nothing refills meanwhile.

const day = 24 * time.Hour

// storm sends requests to the replicas at once, n to each, and counts those let through.
func storm(replicas []*Limiter, n int, caller func(replica, i int) string) (allowed, local int) {
	var yes, alone atomic.Int64
	var wg sync.WaitGroup
	for r, l := range replicas {
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					d := l.Allow(context.Background(), domain.PolicyUser, caller(r, i))
					if d.Allowed {
						yes.Add(1)
					}
					if d.Local {
						alone.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	return int(yes.Load()), int(alone.Load())
}

// replicate makes limiters that share a server and nothing else.
func replicate(t testing.TB, url string, n int, opts LimiterOptions) []*Limiter {
	t.Helper()
	opts.Budget = patient
	out := make([]*Limiter, n)
	for i := range out {
		out[i], _ = newTestLimiter(t, url, opts)
	}
	return out
}

func TestReplicasShareAnExactQuota(t *testing.T) {
	for _, quota := range []int{1, 7, 100} {
		t.Run(strconv.Itoa(quota), func(t *testing.T) {
			replicas := replicate(t, testservers.Valkey(t), 2, LimiterOptions{User: rate(quota, day)})
			allowed, local := storm(replicas, 3*quota+20, func(int, int) string { return "same" })
			if local > 0 || allowed != quota {
				t.Fatalf("%d allowed (%d decisions local), want %d", allowed, local, quota)
			}
		})
	}
}

func TestSmallGlobalQuotasAreExactAcrossReplicas(t *testing.T) {
	for _, quota := range []int{5, 20, 99, 100, 199} {
		t.Run(strconv.Itoa(quota), func(t *testing.T) {
			replicas := replicate(t, testservers.Valkey(t), 3, LimiterOptions{User: rate(2, day), Global: rate(quota, day)})
			allowed, local := storm(replicas, quota, func(r, i int) string { return fmt.Sprint(r, "/", i) })
			if local > 0 || allowed != quota {
				t.Fatalf("%d allowed (%d decisions local), want %d", allowed, local, quota)
			}
		})
	}
}

// TestLeasedGlobalQuotaIsNeverPassed: with leases the count may stay below the
// quota by what other replicas hold, never above it.
func TestLeasedGlobalQuotaIsNeverPassed(t *testing.T) {
	for _, quota := range []int{200, 1000, 3000} {
		t.Run(strconv.Itoa(quota), func(t *testing.T) {
			const n = 3
			replicas := replicate(t, testservers.Valkey(t), n, LimiterOptions{User: rate(2, day), Global: rate(quota, day)})
			allowed, local := storm(replicas, quota, func(r, i int) string { return fmt.Sprint(r, "/", i) })
			held := 0
			for _, l := range replicas {
				held += l.lease.holding()
			}
			batch := replicas[0].lease.batch
			t.Logf("quota %d, batch %d: %d allowed, %d still held", quota, batch, allowed, held)
			if local > 0 || allowed > quota {
				t.Fatalf("%d allowed (%d decisions local), the quota is %d", allowed, local, quota)
			}
			// A fetch that meets the end of the quota loses less than one permit to rounding.
			if low := quota - n*(batch+1); allowed < low {
				t.Errorf("%d allowed, want at least %d", allowed, low)
			}
			if held > n*batch {
				t.Errorf("%d permits held, the bound is %d", held, n*batch)
			}
		})
	}
}

func TestPoliciesAndCallersAreSeparate(t *testing.T) {
	l := replicate(t, testservers.Valkey(t), 1, LimiterOptions{User: rate(2, day), IP: rate(3, day)})[0]
	ctx := context.Background()
	count := func(p domain.RatePolicy, who string) (n int) {
		for range 10 {
			if l.Allow(ctx, p, who).Allowed {
				n++
			}
		}
		return n
	}
	if u, i, other := count(domain.PolicyUser, "x"), count(domain.PolicyIP, "x"), count(domain.PolicyUser, "y"); u != 2 || i != 3 || other != 2 {
		t.Errorf("user %d, ip %d, another user %d", u, i, other)
	}
}

// TestAHungServerIsAskedNoMore: requests are answered all the time, the breaker
// opens after a few, and then nothing is sent until the server answers the probe.
func TestAHungServerIsAskedNoMore(t *testing.T) {
	server := testservers.OwnValkey(t)
	var log testlog.Buffer
	l, trips := newTestLimiter(t, server.URL(), LimiterOptions{
		User: rate(20, day), Global: rate(1000, day), ProbeInterval: 20 * time.Millisecond,
		Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	run(t, l)
	settled(t, l)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Resume() })
	asked := 0
	for ; !l.Degraded(); asked++ {
		if asked > 50 {
			t.Fatal("the server hangs and the breaker does not open")
		}
		if d := l.Allow(trips.mark(), domain.PolicyUser, "early"+strconv.Itoa(asked)); !d.Allowed || !d.Local {
			t.Fatalf("%+v", d)
		}
	}
	if asked > failuresToTrip {
		t.Errorf("%d requests waited for a server that hangs", asked)
	}
	if err := l.Check(context.Background()); err == nil {
		t.Error("Check calls a hung server healthy")
	}
	trips.reset()
	allowed := 0
	for range 500 {
		d := l.Allow(trips.mark(), domain.PolicyUser, "a")
		if !d.Local {
			t.Fatalf("%+v", d)
		}
		if d.Allowed {
			allowed++
		}
	}
	if n := trips.requests(); n != 0 {
		t.Errorf("%d round trips to a hung server", n)
	}
	if allowed != 20 {
		t.Errorf("%d allowed locally, the quota is 20", allowed)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	settled(t, l)
	if err := l.Check(context.Background()); err != nil {
		t.Errorf("Check: %v", err)
	}
	for _, line := range []string{"is away", "is back"} {
		if n := strings.Count(log.String(), line); n == 0 {
			t.Errorf("%q was not logged", line)
		}
	}
	if n := strings.Count(log.String(), "\n"); n > 20 {
		t.Errorf("%d log lines", n)
	}
}

// settled waits until the limiter decides by shared counts again, by itself.
func settled(t *testing.T, l *Limiter) {
	t.Helper()
	i := 0
	eventually(t, "shared counts decide", func() bool {
		i++
		return !l.Degraded() && !l.Allow(context.Background(), domain.PolicyUser, "settle"+strconv.Itoa(i)).Local
	})
}

// TestTheProberNoticesAnAbsenceByItself: without any request.
func TestTheProberNoticesAnAbsenceByItself(t *testing.T) {
	server := testservers.OwnValkey(t)
	l, _ := newTestLimiter(t, server.URL(), LimiterOptions{User: rate(20, day), ProbeInterval: 10 * time.Millisecond})
	run(t, l)
	settled(t, l)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Resume() })
	eventually(t, "a hung server is noticed", l.Degraded)
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	settled(t, l)
}

func TestARefusedConnectionCountsAtOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	l, trips := newTestLimiter(t, "redis://"+addr, LimiterOptions{User: rate(5, day), Budget: patient})
	allowed := 0
	for i := range 50 {
		d := l.Allow(trips.mark(), domain.PolicyUser, "a")
		if !d.Local {
			t.Fatalf("%+v", d)
		}
		if d.Allowed {
			allowed++
		}
		if i == 0 && !l.Degraded() {
			t.Fatal("nobody listens and the server counts as present")
		}
	}
	if n := trips.ownCount(); n != 1 {
		t.Errorf("%d attempts to reach a port where nobody listens, want 1", n)
	}
	if allowed != 5 {
		t.Errorf("%d allowed locally, the quota is 5", allowed)
	}
	if err := l.Check(context.Background()); err == nil {
		t.Error("Check calls it healthy")
	}
}

// TestAServerThatRestartsEmptyIsUsedAgain: its scripts, its counts and every
// connection are gone.
func TestAServerThatRestartsEmptyIsUsedAgain(t *testing.T) {
	server := testservers.OwnValkey(t)
	l, trips := newTestLimiter(t, server.URL(), LimiterOptions{
		User: rate(3, day), Global: rate(10_000, day), ProbeInterval: 20 * time.Millisecond, Budget: patient,
	})
	run(t, l)
	settled(t, l)
	ctx := context.Background()
	count := func() (n int) {
		for range 10 {
			if l.Allow(ctx, domain.PolicyUser, "a").Allowed {
				n++
			}
		}
		return n
	}
	if n := count(); n != 3 {
		t.Fatalf("%d allowed, want 3", n)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is noticed", l.Degraded)
	if n := count(); n != 3 {
		t.Errorf("%d allowed alone, want 3", n)
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is found again", func() bool { return !l.Degraded() })
	trips.reset()
	d := l.Allow(trips.mark(), domain.PolicyUser, "a")
	if !d.Allowed || d.Local || d.Remaining != 2 {
		t.Errorf("the empty server's first: %+v", d)
	}
	if n := trips.forKey("user:a"); n != 1 {
		t.Errorf("%d round trips; the prober should have loaded the scripts", n)
	}
}

// TestALostScriptIsLoadedAgain: SCRIPT FLUSH, or a fail-over to another server.
func TestALostScriptIsLoadedAgain(t *testing.T) {
	url := testservers.Valkey(t)
	l := replicate(t, url, 1, LimiterOptions{User: rate(10, day), Global: rate(50, day)})[0]
	l.Allow(context.Background(), domain.PolicyUser, "a")
	if err := l.client.ScriptFlush(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	if d := l.Allow(context.Background(), domain.PolicyUser, "a"); !d.Allowed || d.Local || d.Remaining != 8 {
		t.Errorf("%+v", d)
	}
}

// TestEveryRoundTripOfARequestHasTheSameNearDeadline: what a request waits for
// the server is bounded as a whole, however many round trips it makes.
func TestEveryRoundTripOfARequestHasTheSameNearDeadline(t *testing.T) {
	l, trips := newTestLimiter(t, testservers.Valkey(t), LimiterOptions{User: rate(10, day), Global: rate(50, day)})
	began := time.Now()
	eventually(t, "two round trips in time", func() bool {
		trips.reset()
		began = time.Now()
		return !l.Allow(trips.mark(), domain.PolicyUser, strconv.Itoa(began.Nanosecond())).Local
	})
	deadlines := trips.ownDeadlines()
	if len(deadlines) < 2 {
		t.Fatalf("%d round trips, want one for each quota", len(deadlines))
	}
	for _, d := range deadlines {
		if d.IsZero() || !d.Equal(deadlines[0]) {
			t.Errorf("deadlines %v: not one for all", deadlines)
		}
	}
	// Not a measurement: the deadline is computed, just after the request began.
	if latest := time.Now().Add(defaultBudget); deadlines[0].After(latest) || deadlines[0].Before(began.Add(defaultBudget)) {
		t.Errorf("the deadline is not the budget of %s", defaultBudget)
	}
	if defaultBudget >= 100*time.Millisecond {
		t.Errorf("the contract grants less than 100 ms, the budget is %s", defaultBudget)
	}
}

func TestKeysAreNamespaced(t *testing.T) {
	url := testservers.Valkey(t)
	l := replicate(t, url, 1, LimiterOptions{User: rate(10, day), IP: rate(10, day), Global: rate(50, day)})[0]
	ctx := context.Background()
	l.probe(ctx)
	l.Allow(ctx, domain.PolicyUser, "a")
	l.Allow(ctx, domain.PolicyIP, "b")
	for _, key := range []string{"rate:rl:user:a", "rate:rl:ip:b", "rate:rl:global"} {
		ttl, err := l.client.TTL(ctx, key).Result()
		if err != nil || ttl <= 0 || ttl > day {
			t.Errorf("%s: time to live %s, %v", key, ttl, err)
		}
	}
	if name, err := l.client.ClientGetName(ctx).Result(); err != nil || name != clientName {
		t.Errorf("client name %q, %v", name, err)
	}
}

func BenchmarkAllow(b *testing.B) {
	l, _ := newTestLimiter(b, testservers.Valkey(b), LimiterOptions{
		User: rate(1_000_000, time.Minute), Global: rate(100_000_000, time.Minute), Budget: patient,
	})
	l.probe(context.Background())
	refuser, _ := newTestLimiter(b, testservers.Valkey(b), LimiterOptions{User: rate(1, day), Budget: patient})
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Allow(context.Background(), domain.PolicyUser, "a")
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.Allow(context.Background(), domain.PolicyUser, "a")
			}
		})
	})
	b.Run("known refusal", func(b *testing.B) {
		refuser.Allow(context.Background(), domain.PolicyUser, "a")
		b.ReportAllocs()
		for b.Loop() {
			refuser.Allow(context.Background(), domain.PolicyUser, "a")
		}
	})
}

// TestRemainingIsWhatIsLeft: the server's floating-point arithmetic makes
// redis_rate's own number one too low for many quotas.
func TestRemainingIsWhatIsLeft(t *testing.T) {
	url := testservers.Valkey(t)
	for _, r := range []domain.Rate{
		rate(100, time.Minute), rate(7, time.Minute), rate(200, time.Minute), rate(1000, time.Hour), rate(10, time.Second),
		rate(3, time.Minute), rate(60, time.Minute), rate(1, time.Hour),
	} {
		l, _ := newTestLimiter(t, url, LimiterOptions{User: r, Budget: patient})
		d := l.Allow(context.Background(), domain.PolicyUser, "fresh-"+r.String())
		if !d.Allowed || d.Local || d.Remaining != r.Quota-1 {
			t.Errorf("%s: %+v after the first request, want %d remaining", r, d, r.Quota-1)
		}
	}
}
