package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"go.opentelemetry.io/otel/trace"
)

const (
	jobTimeout = 20 * time.Second // of a job that says nothing else
	// A job of a process that was killed is found this long after it began, by a
	// search every 30 s: it runs again within two minutes. It may begin twice when
	// a process was only slow, so jobs must be safe to run twice.
	rescueAfter = 40 * time.Second

	jobPoll       = time.Second
	maxJobWorkers = 4
	startPause    = 2 * time.Second // between attempts to start
	startTimeout  = 5 * time.Second // of the question whether the schema is current
	stopReserve   = 3 * time.Second // of a drain, for jobs that were cancelled to be put back
	farewell      = 5 * time.Second // of River, when there was no drain

	discardedRetention = 90 * 24 * time.Hour // somebody has to look at them
)

// JobRunnerOptions say what is run.
type JobRunnerOptions struct {
	Workers     *river.Workers          // required
	Periodic    []*river.PeriodicJob    //
	RetryPolicy river.ClientRetryPolicy // required
	Migrator    *Migrator               // required: nothing runs before the schema is current
	Logger      *slog.Logger            // River's own voice; nil: silent
}

// JobRunner works the jobs, on the pool that requests use too.
type JobRunner struct {
	db       *DB
	migrator *Migrator
	client   *river.Client[pgx.Tx]

	ctx      context.Context //nolint:containedctx // the fetching's own life, which Drain ends
	stop     context.CancelFunc
	started  atomic.Bool   // River was started
	drained  atomic.Bool   // Drain has waited as long as it may
	finished chan struct{} // closed when Run has returned
}

// NewJobRunner makes a runner, which does nothing before Run. The error is a
// fault of ours: workers that River does not take.
func NewJobRunner(ctx context.Context, db *DB, opts JobRunnerOptions) (*JobRunner, error) {
	client, err := river.NewClient(riverpgxv5.New(db.pool), riverConfig(opts, jobWorkers(db.opts.MaxOpen), db.opts.Spans))
	if err != nil {
		return nil, fmt.Errorf("make the job runner: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	return &JobRunner{db: db, migrator: opts.Migrator, client: client, ctx: ctx, stop: stop, finished: make(chan struct{})}, nil
}

// Run works jobs until Drain was called or ctx has ended. It begins by itself
// when the database is there and no migration is pending, and outlasts outages.
// When ctx ends, running jobs are cancelled. Call it once.
func (r *JobRunner) Run(ctx context.Context) error {
	defer close(r.finished)
	defer context.AfterFunc(ctx, r.stop)()
	if !r.startWhenPossible(ctx) {
		return nil
	}
	r.db.log.LogAttrs(ctx, slog.LevelInfo, "jobs are running")
	select {
	case <-r.client.Stopped():
		return nil
	case <-ctx.Done():
	}
	if !r.drained.Load() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		r.cancelJobs(bounded)
	}
	return nil
}

// Drain takes no new job from now on and lets those that run finish until
// shortly before ctx ends. Then they are cancelled and put back into the queue,
// where the next process finds them. It returns when ctx ends at the latest, and
// waits for Run, which must have been called. It has no error, because nothing is
// lost even then: the job is rescued.
func (r *JobRunner) Drain(ctx context.Context) {
	defer r.drained.Store(true)
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
	r.cancelJobs(ctx)
	select {
	case <-r.finished:
	case <-ctx.Done():
	}
}

// cancelJobs ends what runs, and waits for River within ctx.
func (r *JobRunner) cancelJobs(ctx context.Context) {
	if !r.started.Load() {
		return
	}
	if err := r.client.StopAndCancel(ctx); err != nil {
		r.db.log.LogAttrs(ctx, slog.LevelWarn, "the job queue did not stop in time; what still ran will be run again")
	}
}

// startWhenPossible tries until River runs; false when it was told to stop before.
func (r *JobRunner) startWhenPossible(ctx context.Context) bool {
	for r.ctx.Err() == nil {
		if r.schemaIsCurrent(r.ctx) { //nolint:contextcheck // the fetching's own life: Drain ends it before the jobs'
			err := r.client.Start(r.ctx) //nolint:contextcheck // as above
			if err == nil {
				r.started.Store(true)
				return true
			}
			r.db.log.LogAttrs(ctx, slog.LevelWarn, "jobs could not be started, trying again")
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(startPause):
		}
	}
	return false
}

func (r *JobRunner) schemaIsCurrent(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	pending, err := r.migrator.Pending(ctx)
	return err == nil && !pending
}

// jobWorkers leaves most of the pool to requests.
func jobWorkers(connections int) int { return min(maxJobWorkers, max(1, connections/4)) }

func riverConfig(opts JobRunnerOptions, workers int, tracer trace.Tracer) *river.Config {
	return &river.Config{
		Workers:      opts.Workers,
		PeriodicJobs: opts.Periodic,
		RetryPolicy:  opts.RetryPolicy,
		Logger:       newRiverLog(opts.Logger),
		Middleware:   jobSpans(tracer),
		Queues:       map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		// No connection is set apart for LISTEN, and it works through PgBouncer.
		PollOnly:             true,
		FetchPollInterval:    jobPoll,
		JobTimeout:           jobTimeout,
		RescueStuckJobsAfter: rescueAfter,
		// With it, the end of the context that Start gets ends the fetching alone; Drain decides about what runs.
		SoftStopTimeout:             24 * time.Hour,
		DiscardedJobRetentionPeriod: discardedRetention,
		// REINDEX holds a connection for long and must own the tables. Few jobs bloat no index.
		ReindexerIndexNames: []string{},
	}
}
