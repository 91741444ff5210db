package valkey

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/domain"
)

// fakeClock is a clock that moves when told.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Unix(1_800_000_000, 0)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// mini is a miniredis whose time goes with the limiter's clock.
type mini struct {
	*miniredis.Miniredis
	clock *fakeClock
}

func newMini(t testing.TB) *mini {
	t.Helper()
	m := &mini{Miniredis: miniredis.RunT(t), clock: newFakeClock()}
	m.SetTime(m.clock.Now())
	return m
}

func (m *mini) advance(d time.Duration) {
	m.clock.advance(d)
	m.SetTime(m.clock.Now())
	m.FastForward(d)
}

func (m *mini) url() string { return "redis://" + m.Addr() }

// trips counts commands: those of requests, told by the context they were
// called with, and all that touched a key.
type trips struct {
	mu    sync.Mutex
	own   []time.Time // their deadlines
	byKey map[string]int
}

type tripKey struct{}

// mark makes a context whose commands count as a request's.
func (*trips) mark() context.Context { return context.WithValue(context.Background(), tripKey{}, true) }

func (*trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (*trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.mu.Lock()
		if ctx.Value(tripKey{}) != nil {
			deadline, _ := ctx.Deadline()
			h.own = append(h.own, deadline)
		}
		if args := cmd.Args(); len(args) > 3 { // EVALSHA sha 1 key
			if key, ok := args[3].(string); ok {
				h.byKey[key]++
			}
		}
		h.mu.Unlock()
		return next(ctx, cmd)
	}
}

func (h *trips) ownCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.own)
}

func (h *trips) ownDeadlines() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.own)
}

func (h *trips) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own = nil
	h.byKey = map[string]int{}
}

// forKey counts the commands on a caller's or the global count.
func (h *trips) forKey(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byKey["rate:rl:"+key]
}

// requests counts the commands on anything but the probe's key.
func (h *trips) requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for key, count := range h.byKey {
		if key != "rate:"+probeKey {
			n += count
		}
	}
	return n
}

// newTestLimiter makes a replica of its own client, with its commands counted.
func newTestLimiter(t testing.TB, url string, opts LimiterOptions) (*Limiter, *trips) {
	t.Helper()
	client, err := NewClient(url, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if opts.Budget == patient {
		client = client.WithTimeout(patient)
	}
	h := &trips{byKey: map[string]int{}}
	client.AddHook(h)
	l, err := NewLimiter(client, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l, h
}

// patient is a budget for tests about counts: on a busy machine a reply may
// take longer than a request would be let wait.
const patient = 20 * time.Second

func rate(quota int, period time.Duration) domain.Rate {
	return domain.Rate{Quota: quota, Period: period}
}

// eventually polls until the condition holds; the bound is for liveness alone.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// run starts the limiter's Run and stops it with the test.
func run(t testing.TB, l *Limiter) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// fetching tells whether permits are on their way.
func (l *lease) fetching() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flight != nil
}

// holding counts the permits at hand.
func (l *lease) holding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.clock.Now().Before(l.lapses) {
		return 0
	}
	return l.held
}
