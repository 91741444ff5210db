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
// bounded by the batch, min(quota/100, 100) for each replica and period, and kept small:
//   - quotas below 200 have a batch of 1, are never leased ahead, and so are exact;
//   - when the server says that less than two batches are left, nothing is leased
//     ahead either: the end of the quota is shared out one by one;
//   - a permit unused for a whole period lapses, so a quiet replica wastes at
//     most a hundredth of the quota.
type lease struct {
	clock Clock
	fetch fetchFunc
	batch int
	life  time.Duration

	mu      sync.Mutex
	epoch   uint64 // of the breaker; everything below was learnt under it
	held    int
	lapses  time.Time // when the held permits do
	left    int       // what the shared quota had left when last heard of; 0 before, so that the first permit is taken alone
	refused outcome   // the last refusal, as of refusedAt
	sent    time.Time // when the question was sent that it answered
	flight  *flight   // the fetch under way, if any
}

// flight is one fetch that any number of requests may wait for.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

func newLease(rate domain.Rate, clock Clock, fetch fetchFunc) *lease {
	return &lease{
		clock: clock, fetch: fetch, life: rate.Period,
		batch: min(max(rate.Quota/leaseShare, 1), leaseMax),
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

// prepare fetches a batch when none is at hand, so that it is on its way while
// the caller's own quota is asked: both together then take one round trip's time.
func (l *lease) prepare(ctx context.Context, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if l.enter(epoch) != nil || l.flight != nil || l.scarce() || (l.held > 0 && now.Before(l.lapses)) {
		return
	}
	if _, refused := l.refusalAt(now); refused {
		return
	}
	l.held = 0
	l.start(ctx, l.batch)
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
			l.useOne(ctx)
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
		l.held, l.left, l.refused, l.flight = 0, 0, outcome{}, nil
	}
	return nil
}

// scarce tells whether permits must be taken one by one. Locked.
func (l *lease) scarce() bool { return l.batch == 1 || l.left < 2*l.batch }

// useOne takes a held permit and fetches more beside the request when few are left. Locked.
func (l *lease) useOne(ctx context.Context) {
	l.held--
	if l.flight == nil && !l.scarce() && l.held <= l.batch/4 {
		l.start(ctx, l.batch-l.held)
	}
}

// await waits for the fetch under way, or begins one that serves everybody
// who waits. Locked, but not while it waits.
func (l *lease) await(ctx context.Context) error {
	if l.flight == nil {
		l.start(ctx, l.batch)
	}
	f := l.flight
	l.mu.Unlock()
	var err error
	select {
	case <-f.done:
		err = f.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
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
		l.learn(res, sent)
	}
	return toOutcome(res), nil
}

// learn notes what a reply tells of the shared quota. Locked.
func (l *lease) learn(res *redis_rate.Result, sent time.Time) {
	l.left = remaining(res)
	if res.Allowed == 0 {
		l.refused, l.sent = toOutcome(res), sent
	}
}
