package valkey

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/profile-api/profile-api/domain"
)

func caller(name string) tableKey { return tableKey{policy: domain.PolicyUser, key: name} }

func TestLocalLimiterFollowsGCRA(t *testing.T) {
	type step struct {
		wait      time.Duration
		allowed   bool
		remaining int
		reset     time.Duration
		retry     time.Duration
	}
	tests := map[string]struct {
		rate  domain.Rate
		steps []step
	}{
		"a burst of the quota, then the next one after an interval": {
			rate: rate(3, 6*time.Second),
			steps: []step{
				{0, true, 2, 2 * time.Second, 0},
				{0, true, 1, 4 * time.Second, 0},
				{0, true, 0, 6 * time.Second, 0},
				{0, false, 0, 6 * time.Second, 2 * time.Second},
				{1999 * time.Millisecond, false, 0, 4001 * time.Millisecond, time.Millisecond},
				{time.Millisecond, true, 0, 6 * time.Second, 0},
				{0, false, 0, 6 * time.Second, 2 * time.Second},
			},
		},
		"a refusal costs nothing": {
			rate: rate(1, time.Second),
			steps: []step{
				{0, true, 0, time.Second, 0},
				{500 * time.Millisecond, false, 0, 500 * time.Millisecond, 500 * time.Millisecond},
				{499 * time.Millisecond, false, 0, time.Millisecond, time.Millisecond},
				{time.Millisecond, true, 0, time.Second, 0},
			},
		},
		"a pause refills evenly and never beyond the quota": {
			rate: rate(4, 4*time.Second),
			steps: []step{
				{0, true, 3, time.Second, 0},
				{0, true, 2, 2 * time.Second, 0},
				{1500 * time.Millisecond, true, 2, 1500 * time.Millisecond, 0},
				{time.Hour, true, 3, time.Second, 0},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			clock := newFakeClock()
			l := newLocalLimiter(clock, 100)
			for i, s := range tt.steps {
				clock.advance(s.wait)
				want := outcome{allowed: s.allowed, remaining: s.remaining, resetAfter: s.reset, retryAfter: s.retry}
				if got := l.allow(caller("a"), tt.rate); got != want {
					t.Fatalf("step %d: got %+v, want %+v", i, got, want)
				}
			}
		})
	}
}

// TestLocalLimiterAgreesWithRedisRate feeds both the same requests at the same times.
func TestLocalLimiterAgreesWithRedisRate(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	shared := redis_rate.NewLimiter(client)
	allowed, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		server.FlushAll()
		clock := newFakeClock()
		local := newLocalLimiter(clock, 1000)
		r := rate(
			rapid.IntRange(2, 60).Draw(t, "quota"),
			rapid.SampledFrom([]time.Duration{time.Second, 7 * time.Second, time.Minute, time.Hour}).Draw(t, "period"))
		interval := int(r.Period/time.Duration(r.Quota)) / int(time.Microsecond)
		for range rapid.IntRange(1, 80).Draw(t, "requests") {
			gap := rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(0, 2*interval)).Draw(t, "gap")
			clock.advance(time.Duration(gap) * time.Microsecond)
			who := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "who")
			stepOffEdge(clock, local, caller(who), r)
			server.SetTime(clock.Now())
			want, err := shared.Allow(context.Background(), who, toLimit(r))
			if err != nil {
				t.Fatal(err)
			}
			got := local.allow(caller(who), r)
			if got.allowed {
				allowed++
			} else {
				refused++
			}
			if !agree(got, toOutcome(want)) {
				t.Fatalf("local %+v, redis_rate %+v", got, toOutcome(want))
			}
		}
	})
	if allowed == 0 || refused == 0 {
		t.Fatalf("one-sided: %d allowed, %d refused", allowed, refused)
	}
}

// stepOffEdge moves the clock a little when a request would come at the very
// instant that one becomes possible: there redis_rate's floating point decides by chance.
func stepOffEdge(clock *fakeClock, l *localLimiter, k tableKey, r domain.Rate) {
	interval := r.Period / time.Duration(r.Quota)
	for {
		s := l.table.lock(k)
		now := l.now()
		arrival := now
		if e, ok := s.get(k, now); ok {
			arrival = e.dies
		}
		s.mu.Unlock()
		room := now - (arrival + interval - r.Period)
		if off := room % interval; room > -10*time.Microsecond && (off.Abs() < 10*time.Microsecond || interval-off.Abs() < 10*time.Microsecond) {
			clock.advance(25 * time.Microsecond)
			if arrival == now { // a full quota is on an edge at any time, and a harmless one
				return
			}
			continue
		}
		return
	}
}

func agree(a, b outcome) bool {
	const tolerance = 5 * time.Microsecond
	return a.allowed == b.allowed && a.remaining == b.remaining &&
		(a.resetAfter-b.resetAfter).Abs() < tolerance && (a.retryAfter-b.retryAfter).Abs() < tolerance
}

func TestLocalLimiterIsExactUnderConcurrency(t *testing.T) {
	l := newLocalLimiter(newFakeClock(), 1000)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if l.allow(caller("a"), rate(777, time.Minute)).allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 777 {
		t.Fatalf("allowed %d of 4000, want 777", allowed.Load())
	}
}

func TestLocalLimiterIsBoundedUnderAMillionCallers(t *testing.T) {
	const limit = 10_000
	clock := newFakeClock()
	l := newLocalLimiter(clock, limit)
	r := rate(100, time.Minute)
	victim := caller("uses-up-the-quota")
	for range r.Quota {
		l.allow(victim, r)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1_000_000 {
		if !l.allow(caller(strconv.Itoa(i)), r).allowed {
			t.Fatalf("caller %d was refused the first request", i)
		}
	}
	if n := l.table.len(); n > limit+tableShards {
		t.Fatalf("%d entries, the limit is %d", n, limit)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if l.allow(victim, r).allowed {
		t.Error("a flood of new callers made the limiter forget who had used up the quota")
	}
	clock.advance(2 * time.Minute)
	l.sweep()
	if n := l.table.len(); n != 0 {
		t.Errorf("%d entries left after everybody's quota was back", n)
	}
}

func TestTableDropsTheEntryNearestToItsEnd(t *testing.T) {
	tab := newTable[int](tableShards * 4)
	keep := caller("keep")
	s := tab.lock(keep)
	s.put(keep, entry[int]{dies: time.Hour}, 0)
	s.mu.Unlock()
	for i := range 10_000 {
		k := caller(fmt.Sprint(i))
		s := tab.lock(k)
		s.put(k, entry[int]{dies: time.Second}, 0)
		if _, ok := s.get(k, 0); !ok {
			t.Fatalf("entry %d was not stored", i)
		}
		if len(s.entries) > 4 {
			t.Fatalf("a shard of 4 holds %d", len(s.entries))
		}
		s.mu.Unlock()
	}
	s = tab.lock(keep)
	defer s.mu.Unlock()
	if _, ok := s.get(keep, 0); !ok {
		t.Error("the entry with the longest to live was dropped")
	}
	if _, ok := s.get(keep, time.Hour); ok {
		t.Error("an entry past its time counts as present")
	}
}

func BenchmarkLocalLimiter(b *testing.B) {
	keys := make([]tableKey, 4096)
	for i := range keys {
		keys[i] = caller(strconv.Itoa(i))
	}
	b.Run("serial", func(b *testing.B) {
		l := newLocalLimiter(systemClock{}, defaultLocalKeys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.allow(keys[i%len(keys)], rate(100, time.Minute))
		}
	})
	b.Run("parallel", func(b *testing.B) {
		l := newLocalLimiter(systemClock{}, defaultLocalKeys)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				l.allow(keys[i%len(keys)], rate(100, time.Minute))
			}
		})
	})
	b.Run("full", func(b *testing.B) {
		l := newLocalLimiter(systemClock{}, 1024)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.allow(keys[i%len(keys)], rate(100, time.Hour))
		}
	})
}
