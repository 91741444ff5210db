package valkey

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/profile-api/profile-api/domain"
)

const (
	// A lease holds at most this part of the quota, and at most leaseMax.
	leaseShare = 100
	leaseMax   = 100

	leaseLife = 5 * time.Second
	// A lease lives at least as long as this many permits take to refill.
	leaseLifeRefills = 20
)

var errStaleEpoch = errors.New("valkey: the server went away or came back meanwhile")

// fetchFunc takes up to n permits from the shared quota in one round trip.
type fetchFunc func(ctx context.Context, epoch uint64, n int) (*redis_rate.Result, error)

// lease takes permits of the global quota from the server in batches, so that
// the ordinary request finds one at hand and waits for nothing.
//
// What is exact: the server hands out no permit twice, so all replicas together
// never use more than it granted. A permit may be used up to one life later
// than it was granted, so within a window the replicas can pass the quota by what they
// held when it began; and permits that nobody used in time are lost. Both are
// bounded by the batch, min(quota/100, 100) for each replica, and kept small:
//   - a batch is no larger than what was used in the last moments, so a quiet
//     replica holds one permit;
//   - quotas below 200 have a batch of 1, are never leased ahead, and so are exact;
//   - when the server says that less than two batches are left, nothing is leased
//     ahead either: the end of the quota is shared out one by one;
//   - a permit unused for 5 s lapses (a period, if that is shorter; the
//     time of 20 refills, if that is longer, so that at most one in 20 can be lost to quiet
//     replicas however slow the quota).
type lease struct {
	clock Clock
	fetch fetchFunc
	batch int
	life  time.Duration

	mu      sync.Mutex
	epoch   uint64 // of the breaker; everything below but use was learnt under it
	held    int
	lapses  time.Time // when the held permits do
	left    int       // what the shared quota had left when last heard of
	refused outcome   // the last refusal, as of refusedAt
	sent    time.Time // when the question was sent that it answered
	flight  *flight   // the fetch under way, if any
	waiting int       // requests that wait for it
	use     usage
	quota   int
}

// flight is one fetch that any number of requests may wait for.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

func newLease(rate domain.Rate, clock Clock, fetch fetchFunc) *lease {
	life := max(min(leaseLife, rate.Period), rate.Period/time.Duration(rate.Quota)*leaseLifeRefills)
	return &lease{
		clock: clock, fetch: fetch, life: life,
		batch: min(max(rate.Quota/leaseShare, 1), leaseMax),
		quota: rate.Quota, left: rate.Quota,
	}
}

// refusal returns the refusal that still holds, for a caller with no permit at hand.
func (l *lease) refusal(epoch uint64) (outcome, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if l.enter(epoch) != nil || (l.held > 0 && now.Before(l.lapses)) {
		return outcome{}, false
	}
	return l.refusalAt(now)
}

func (l *lease) refusalAt(now time.Time) (outcome, bool) {
	since := now.Sub(l.sent)
	if l.refused.retryAfter <= since {
		return outcome{}, false
	}
	return outcome{
		resetAfter: l.refused.resetAfter - since,
		retryAfter: l.refused.retryAfter - since,
	}, true
}

// take uses one permit. The error says that the server could not be asked, in time or at all.
func (l *lease) take(ctx context.Context, epoch uint64) (outcome, error) {
	l.mu.Lock()
	for {
		if err := l.enter(epoch); err != nil {
			l.mu.Unlock()
			return outcome{}, err
		}
		now := l.clock.Now()
		if l.held > 0 && now.Before(l.lapses) {
			l.useOne(ctx, now)
			l.mu.Unlock()
			return outcome{allowed: true}, nil
		}
		l.held = 0
		if o, refused := l.refusalAt(now); refused {
			l.mu.Unlock()
			return o, nil
		}
		if l.scarce() {
			l.mu.Unlock()
			return l.takeShared(ctx, epoch, now)
		}
		if err := l.await(ctx); err != nil {
			l.mu.Unlock()
			return outcome{}, err
		}
	}
}

// enter forgets what was learnt under an earlier epoch. Locked.
func (l *lease) enter(epoch uint64) error {
	if epoch < l.epoch {
		return errStaleEpoch
	}
	if epoch > l.epoch {
		l.epoch = epoch
		l.held, l.left, l.refused, l.flight = 0, l.quota, outcome{}, nil
	}
	return nil
}

// scarce tells whether permits must be taken one by one. Locked.
func (l *lease) scarce() bool { return l.batch == 1 || l.left < 2*l.batch }

// useOne takes a held permit and fetches more beside the request when few are left. Locked.
func (l *lease) useOne(ctx context.Context, now time.Time) {
	l.held--
	l.use.count(now)
	size := l.size(now)
	if l.flight == nil && !l.scarce() && l.held <= size/4 {
		l.start(ctx, size-l.held)
	}
}

// size is how many permits to hold: what the last moments used. Locked.
func (l *lease) size(now time.Time) int { return min(max(l.use.recent(now), 1), l.batch) }

// await waits for the fetch under way, or begins one that serves everybody
// who waits. Locked, but not while it waits.
func (l *lease) await(ctx context.Context) error {
	if l.flight == nil {
		l.start(ctx, min(max(l.size(l.clock.Now()), l.waiting+1), l.batch))
	}
	f := l.flight
	l.waiting++
	l.mu.Unlock()
	var err error
	select {
	case <-f.done:
		err = f.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	l.waiting--
	return err
}

// start begins a fetch in a goroutine of its own: many may wait for it, so none
// of them can spoil it by being given up. Locked.
func (l *lease) start(ctx context.Context, n int) {
	ctx = context.WithoutCancel(ctx)
	f := &flight{done: make(chan struct{})}
	l.flight = f
	epoch, sent := l.epoch, l.clock.Now()
	go func() {
		res, err := l.fetch(ctx, epoch, n)
		l.mu.Lock()
		defer l.mu.Unlock()
		defer close(f.done)
		if l.epoch != epoch {
			f.err = errStaleEpoch
			return
		}
		l.flight = nil
		if f.err = err; err != nil {
			return
		}
		l.learn(res, sent)
		l.held += res.Allowed
		l.lapses = sent.Add(l.life)
	}()
}

// takeShared takes one permit from the server for this request alone.
func (l *lease) takeShared(ctx context.Context, epoch uint64, sent time.Time) (outcome, error) {
	res, err := l.fetch(ctx, epoch, 1)
	if err != nil {
		return outcome{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == epoch {
		l.use.count(sent)
		l.learn(res, sent)
	}
	return toOutcome(res), nil
}

// learn notes what a reply tells of the shared quota. Locked.
func (l *lease) learn(res *redis_rate.Result, sent time.Time) {
	l.left = res.Remaining
	if res.Allowed == 0 {
		l.refused, l.sent = toOutcome(res), sent
	}
}

// usageWindow is how far back a replica looks to see how many permits it needs.
const usageWindow = 250 * time.Millisecond

// usage counts over the current window and remembers the one before.
type usage struct {
	began         time.Time
	current, last int
}

func (u *usage) count(now time.Time) {
	u.roll(now)
	u.current++
}

func (u *usage) recent(now time.Time) int {
	u.roll(now)
	return max(u.current, u.last)
}

func (u *usage) roll(now time.Time) {
	age := now.Sub(u.began)
	if age < usageWindow {
		return
	}
	u.last = 0
	if age < 2*usageWindow {
		u.last = u.current
	}
	u.current, u.began = 0, now
}
