package events

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// How many events are under way to one sink from one replica, each of another
// profile. What was tried before has places of its own: profiles whose events a
// sink keeps refusing can never take all of them.
const (
	freshPlaces = 8
	retryPlaces = 4
)

// loop serves one sink.
type loop struct {
	*Runner
	sink Sink

	mu           sync.Mutex
	fresh, retry int           // under way
	arrived      chan struct{} // something was finished: there is room, and the profile's next event may be due
	under        sync.WaitGroup
}

func (r *Runner) newLoop(sink Sink) *loop {
	return &loop{Runner: r, sink: sink, arrived: make(chan struct{}, 1)}
}

// run claims until it is told to stop, and returns when nothing is under way any
// more. The end of ctx cuts off what is.
func (l *loop) run(ctx context.Context) {
	for l.ctx.Err() == nil {
		l.claim(ctx)
		select {
		case <-l.ctx.Done():
		case <-l.arrived:
		case <-time.After(l.deps.Poll - rand.N(l.deps.Poll/4)): // #nosec G404 -- replicas must not ask in step
		}
	}
	l.under.Wait()
}

func (l *loop) claim(ctx context.Context) {
	l.mu.Lock()
	fresh, retry := freshPlaces-l.fresh, retryPlaces-l.retry
	l.mu.Unlock()
	if fresh == 0 && retry == 0 {
		return
	}
	var claimed []domain.PendingEvent
	err := domain.Guard(func() (err error) { // else a panic would end the program, unreported
		claimed, err = l.sink.Dispatch.Claim(l.ctx, fresh, retry) // the claiming's own life: Drain ends it first
		return err
	})
	if err != nil && l.ctx.Err() == nil {
		l.deps.Log.LogAttrs(ctx, slog.LevelWarn, "events could not be claimed, trying again", slog.String("sink", l.sink.Label), domain.PanicAttr(err))
	}
	for _, e := range claimed {
		l.count(e, 1)
		l.under.Go(func() {
			l.deliver(ctx, e)
			l.count(e, -1)
			select {
			case l.arrived <- struct{}{}:
			default:
			}
		})
	}
}

func (l *loop) count(e domain.PendingEvent, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Attempts > 1 {
		l.retry += n
	} else {
		l.fresh += n
	}
}

func (l *loop) deliver(ctx context.Context, e domain.PendingEvent) {
	begun := l.deps.Clock.Now()
	result, err := l.guarded(ctx, e)
	took := l.deps.Clock.Now().Sub(begun)
	level, outcome := slog.LevelInfo, delivered
	switch {
	case result.Interrupted:
		outcome = "interrupted"
	case !result.Delivered:
		level, outcome = slog.LevelWarn, failed
	}
	if !result.Interrupted {
		l.metrics.WithLabelValues(l.sink.Label, outcome).Inc()
	}
	attrs := []slog.Attr{
		slog.String("event_id", e.EventID), slog.String("type", string(e.Type)), slog.String("sink", l.sink.Label), slog.Int("attempt", e.Attempts),
		slog.String("outcome", outcome), slog.Float64("duration", took.Seconds()), slog.Float64("again_in", result.Again.Seconds()),
		slog.String("reason", result.Reason),
	}
	if err != nil { // the claim ends by itself
		level = slog.LevelWarn
		attrs = append(attrs, slog.Bool("noted", false))
	}
	l.deps.Log.LogAttrs(ctx, level, "event delivery", attrs...)
}

// guarded turns a panic into a failure. Its value is not told: it may hold anything.
func (l *loop) guarded(ctx context.Context, e domain.PendingEvent) (result usecase.EventResult, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.deps.Log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("event_id", e.EventID), slog.String("sink", l.sink.Label), slog.Int("attempt", e.Attempts),
				slog.String("cause", fmt.Sprintf("%T", r)), slog.String("stack", string(debug.Stack())), domain.FaultAttr(domain.NewPanic(r)))
			result, err = usecase.EventResult{Reason: "The delivery panicked; the stack is in the log."}, errPanicked
		}
	}()
	return l.sink.Dispatch.Deliver(ctx, e)
}

var errPanicked = domain.NewError(domain.Internal, domain.CodeInternal, "The delivery panicked; the stack is in the log.")
