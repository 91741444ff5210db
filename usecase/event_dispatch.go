package usecase

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/profile-api/profile-api/domain"
)

const (
	sendTimeout = 10 * time.Second // of one try, counted from its claim
	// A claim outlasts its try, so that nobody else sends what is being sent. When a
	// process dies, another one takes the event up after this time.
	claimTime = 20 * time.Second

	firstPause   = time.Second // after the first failure; doubled with each further one
	longestPause = 10 * time.Minute
	longestWait  = time.Hour // whatever a sink asks for

	// What became of a try is written again and again while the database is away, for
	// 10 s when it refuses at once and 50 s when it hangs: else the sink gets the event
	// twice. That may be longer than the claim lasts. The note counts until somebody else
	// has claimed the event, and changes nothing afterwards.
	settleAttempts = 20
	settlePause    = 500 * time.Millisecond
	settleTimeout  = 2 * time.Second // of one attempt
)

// EventDispatchDeps is what [EventDispatch] needs. All fields are required.
type EventDispatchDeps struct {
	Queue EventQueue
	Sink  EventSink
	Key   string // the sink's, in the outbox
	Clock Clock
}

// EventDispatch brings the events of the outbox to one sink: each at least once,
// those of one profile in order, and never gives one up. A sink that asks for a
// pause has it from all events, of this process: others are told by the sink as well.
type EventDispatch struct {
	deps EventDispatchDeps

	mu    sync.Mutex
	pause time.Time // the sink wants nothing before then
}

// NewEventDispatch builds the use case.
func NewEventDispatch(deps EventDispatchDeps) *EventDispatch { return &EventDispatch{deps: deps} }

// EventResult is what became of one try.
type EventResult struct {
	Delivered   bool
	Interrupted bool          // by the end of ctx: the sink is not to blame
	Reason      string        // why it failed; anybody may read it
	Again       time.Duration // when it is tried again
}

// Claim takes events that are due: at most so many that were never tried, and so
// many that were; none while the sink has its pause. Each must be given to Deliver soon.
func (s *EventDispatch) Claim(ctx context.Context, fresh, retry int) ([]domain.PendingEvent, error) {
	now := s.deps.Clock.Now()
	s.mu.Lock()
	paused := now.Before(s.pause)
	s.mu.Unlock()
	if paused {
		return nil, nil
	}
	return s.deps.Queue.Claim(ctx, domain.EventClaim{Sink: s.deps.Key, Now: now, Until: now.Add(claimTime), Fresh: fresh, Retry: retry})
}

// Deliver tries once and notes what came of it. No transaction is open and no
// connection held while it sends. When ctx ends, the event is free for
// somebody else at once. The error is about the note alone: the claim ends by
// itself then, and the sink gets the event again under the same id.
func (s *EventDispatch) Deliver(ctx context.Context, e domain.PendingEvent) (EventResult, error) {
	err := s.send(ctx, e)
	if err == nil {
		return EventResult{Delivered: true}, s.settle(ctx, func(ctx context.Context) error { return s.deps.Queue.Delivered(ctx, e) })
	}
	wish := wishOf(err)
	r := EventResult{Reason: describeFailure(err), Again: max(pauseAfter(e.Attempts), wish)}
	if ctx.Err() != nil {
		r, wish = EventResult{Interrupted: true, Reason: "Interrupted by the end of the process."}, 0
	}
	now := s.deps.Clock.Now()
	again := now.Add(r.Again)
	s.leaveAlone(now.Add(wish))
	return r, s.settle(ctx, func(ctx context.Context) error { return s.deps.Queue.Failed(ctx, e, r.Reason, again) })
}

// leaveAlone makes a pause that goes on until then, or longer when it did before.
func (s *EventDispatch) leaveAlone(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.pause) {
		s.pause = until
	}
}

// send gives a try what is left of its time. A process that was stopped in
// between has none left: its claim may have passed to somebody else.
func (s *EventDispatch) send(ctx context.Context, e domain.PendingEvent) error {
	left := sendTimeout - s.deps.Clock.Now().Sub(e.ClaimedAt)
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.deps.Sink.Deliver(ctx, e)
}

// settle writes until it is written. After the end of ctx it tries once.
func (s *EventDispatch) settle(ctx context.Context, write func(context.Context) error) (err error) {
	for range settleAttempts {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		err = write(bounded)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(settlePause):
		}
	}
	return err
}

func describeFailure(err error) string {
	var e *domain.Error
	switch {
	case errors.As(err, &e):
		return e.Message()
	case errors.Is(err, context.DeadlineExceeded):
		return "The sink did not take the event in time."
	}
	return "The event could not be delivered."
}

// pauseAfter is the wait after so many tries, one at least: up to a fifth is taken
// off at random, so that what failed together does not come back together.
func pauseAfter(tries int) time.Duration {
	d := firstPause
	for i := 1; i < tries && d < longestPause; i++ {
		d *= 2
	}
	d = min(d, longestPause)
	return d - rand.N(d/5+1) // #nosec G404 -- jitter
}

// wishOf is how long the sink wants to be left alone; zero when it asked for nothing.
func wishOf(err error) time.Duration {
	var e *domain.Error
	if errors.As(err, &e) {
		return min(e.RetryAfter(), longestWait)
	}
	return 0
}
