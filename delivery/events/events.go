// Package events is where events leave for other services: a loop for each sink,
// which calls a use case and tells operators what came of it.
package events

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

const (
	startPause   = 2 * time.Second // between two looks at the schema
	startTimeout = 5 * time.Second // of one
	stopReserve  = 3 * time.Second // of a drain, for events that were interrupted to be put back
)

// Sink is one place that events are brought to.
type Sink struct {
	Label    string // for logs and metrics, from a fixed set: no URL
	Dispatch *usecase.EventDispatch
}

// Deps is what the runner needs. All fields but Sinks and Poll are required.
type Deps struct {
	Sinks      []Sink
	Queue      usecase.EventQueue
	Migrations usecase.MigrationGate // nothing is sent before the schema is current
	Clock      usecase.Clock
	Registry   prometheus.Registerer
	Log        *slog.Logger
	Poll       time.Duration // between two looks at the outbox when nothing is under way; a second
}

// Runner brings events to all sinks.
type Runner struct {
	deps    Deps
	metrics *prometheus.CounterVec

	ctx      context.Context //nolint:containedctx // the claiming's own life, which Drain ends
	stop     context.CancelFunc
	cut      atomic.Pointer[context.CancelFunc] // ends what is under way; set by Run
	finished chan struct{}                      // closed when Run has returned
}

// New makes a runner, which does nothing before Run, and registers its metrics.
func New(ctx context.Context, d Deps) *Runner {
	if d.Poll == 0 {
		d.Poll = time.Second
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	return &Runner{deps: d, metrics: newMetrics(d.Registry, d.Sinks), ctx: ctx, stop: stop, finished: make(chan struct{})}
}

// Run brings events until Drain was called or ctx has ended. It begins by itself
// when the database is there and no migration is pending, and outlasts outages.
// When ctx ends, what is under way is cut off and put back. Call it once.
func (r *Runner) Run(ctx context.Context) error {
	defer close(r.finished)
	defer context.AfterFunc(ctx, r.stop)()
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	r.cut.Store(&cut)
	if !r.awaitSchema(ctx) {
		return nil
	}
	r.tellOfLeftEvents(ctx)
	var loops sync.WaitGroup
	for _, sink := range r.deps.Sinks {
		loops.Go(func() { r.newLoop(sink).run(ctx) })
	}
	loops.Wait()
	return nil
}

// Drain claims no event from now on and lets those under way arrive until shortly
// before ctx ends. Then they are cut off and put back, where another process finds
// them. It returns when ctx ends at the latest, and waits for Run, which must have
// been called. It has no error, because nothing is lost even then: claims end.
func (r *Runner) Drain(ctx context.Context) {
	r.stop()
	grace := time.Duration(math.MaxInt64)
	if end, ok := ctx.Deadline(); ok {
		left := time.Until(end) //nolint:forbidigo // a context's deadline is the system's time
		grace = left - min(stopReserve, left/2)
	}
	select {
	case <-r.finished:
		return
	case <-ctx.Done():
	case <-time.After(grace):
	}
	if cut := r.cut.Load(); cut != nil {
		(*cut)()
	}
	select {
	case <-r.finished:
	case <-ctx.Done():
	}
}

// awaitSchema tells whether the schema is current; false when it was told to stop before.
func (r *Runner) awaitSchema(ctx context.Context) bool {
	for r.ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, startTimeout)
		pending, err := r.deps.Migrations.Pending(bounded)
		cancel()
		if err == nil && !pending {
			return r.ctx.Err() == nil
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(startPause):
		}
	}
	return false
}

// tellOfLeftEvents warns of events that nobody sends, because their sink was taken
// out of the settings.
func (r *Runner) tellOfLeftEvents(ctx context.Context) {
	if n, err := r.deps.Queue.Left(ctx); err == nil && n > 0 {
		r.deps.Log.LogAttrs(ctx, slog.LevelWarn, "events wait for sinks that are configured no more; they are removed when nobody has tried them for a week",
			slog.Int64("events", n), slog.Int64("counted_up_to", domain.MaxCountedEvents))
	}
}
