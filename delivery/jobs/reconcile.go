package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

const (
	// reconcileLook is how often the job looks whether a run is due, at the longest.
	reconcileLook = 5 * time.Minute
	// reconcileAttempts are for what waiting does not mend, such as a wrong secret
	// key. The next look comes anyway.
	reconcileAttempts = 3
	// reconcilePause is the least wait while Clerk or the database is away. It does
	// not grow: the job's earlier runs were slices of work, and not failures.
	reconcilePause = 15 * time.Second
)

// Reconcile is the periodic walk through Clerk's users.
type Reconcile struct {
	UseCase  *usecase.Reconcile // required with an interval
	Interval time.Duration      // between two runs; zero: none is ever made
}

// goOn is what a run of a job returns when there is more to do: it is no failure,
// whatever the number of earlier runs.
type goOn struct {
	after  time.Duration
	reason string
}

func (g *goOn) Error() string { return g.reason }

// reconcilePeriodically has one such job in the queue at a time, with however many slices
// still before it.
func reconcilePeriodically(interval time.Duration) []*river.PeriodicJob {
	if interval <= 0 {
		return nil
	}
	opts := &river.InsertOpts{MaxAttempts: reconcileAttempts, Priority: periodicPriority, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
	return []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(min(reconcileLook, interval/2)),
		func() (river.JobArgs, *river.InsertOpts) { return domain.ReconcileJob{}, opts }, &river.PeriodicJobOpts{RunOnStart: true})}
}

// addReconcile adds the worker also where no run is ever made: another replica's
// job may be in the queue.
func addReconcile(workers *river.Workers, common *shared, d Deps) {
	r := &reconciler{Reconcile: d.Reconcile, log: d.Log, metrics: newReconcileMetrics(d.Registry)}
	river.AddWorker(workers, &worker[domain.ReconcileJob]{shared: common, run: func(ctx context.Context, _ domain.ReconcileJob) error {
		return r.slice(ctx)
	}})
}

type reconciler struct {
	Reconcile
	log     *slog.Logger
	metrics *reconcileMetrics
}

// slice does a piece of a run, tells of it, and says when the next one is to come.
func (r *reconciler) slice(ctx context.Context) error {
	if r.Interval <= 0 {
		return nil
	}
	s, err := r.UseCase.Slice(ctx, r.Interval, func(p usecase.ReconcileProgress) {
		if p.Stage == usecase.ReconcileFault {
			r.log.LogAttrs(ctx, slog.LevelWarn, "reconciliation: somebody is left out", slog.String("run", p.Run.ID), slog.String("reason", p.Reason))
		}
	})
	r.metrics.people(s.Done)
	if s.Run.ID != "" {
		r.tell(ctx, s)
	}
	switch {
	case err == nil && s.Finished:
		r.metrics.runs.WithLabelValues(*s.Run.Outcome).Inc()
		return nil
	case err == nil && s.Again == 0:
		return nil
	case err == nil:
		return &goOn{s.Again, "there is more to do"}
	case ctx.Err() != nil: // the process ends, or the time is over
		return err
	case errors.Is(err, domain.Unavailable), errors.Is(err, domain.Conflict): // away, or somebody else's now
		return &goOn{max(retryAfter(err), reconcilePause), describe(err)}
	}
	r.metrics.runs.WithLabelValues(string(failedRun)).Inc()
	return err
}

// tell logs how the run stands: its id and counts, nobody's.
func (r *reconciler) tell(ctx context.Context, s usecase.ReconcileSlice) {
	level, message := slog.LevelInfo, "reconciliation goes on"
	switch {
	case s.Finished && s.Run.EndedAs(domain.ReconcileRefused):
		level, message = slog.LevelError, "reconciliation refused: too many profiles have nobody at Clerk, or the key is another instance's; "+
			"look at it and at whom it created, then: profile-api reconcile --force"
	case s.Finished && !s.Run.Counts.Repaired():
		level, message = slog.LevelWarn, "reconciliation finished, with people left out"
	case s.Finished:
		message = "reconciliation finished"
	}
	c := s.Run.Counts
	r.log.LogAttrs(ctx, level, message, slog.String("run", s.Run.ID), slog.String("phase", string(s.Run.Phase)), //nolint:sloglint // one of four
		slog.Int("pages", s.Run.Pages), slog.Int("seen", c.Seen), slog.Int("created", c.Created), slog.Int("updated", c.Updated),
		slog.Int("unchanged", c.Unchanged), slog.Int("stale", c.Stale), slog.Int("skipped", c.Skipped), slog.Int("unreadable", c.Unreadable),
		slog.Int("failed", c.Failed), slog.Int("candidates", c.Candidates), slog.Int("erased", c.Erased), slog.Int("refused", c.Refused))
}

// failedRun is the outcome of a run that broke off for what waiting does not
// mend. It is gone on with, and may be completed yet.
const failedRun domain.ReconcileOutcome = "failed"

type reconcileMetrics struct {
	byOutcome *prometheus.CounterVec
	runs      *prometheus.CounterVec
}

func newReconcileMetrics(registry prometheus.Registerer) *reconcileMetrics {
	m := &reconcileMetrics{
		byOutcome: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconcile_people_total", Help: "People whom the periodic reconciliation dealt with, by what became of them.",
		}, []string{"outcome"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconcile_runs_total", Help: "Periodic reconciliations that ended, or broke off as failed, by how.",
		}, []string{"outcome"}),
	}
	registry.MustRegister(m.byOutcome, m.runs)
	m.people(domain.ReconcileCounts{}) // an alert needs the zero
	for _, o := range []domain.ReconcileOutcome{domain.ReconcileCompleted, domain.ReconcileRefused, failedRun} {
		m.runs.WithLabelValues(string(o))
	}
	return m
}

// people adds what one slice did.
func (m *reconcileMetrics) people(c domain.ReconcileCounts) {
	for outcome, n := range map[string]int{
		"created": c.Created, "updated": c.Updated, "unchanged": c.Unchanged, "stale": c.Stale, "skipped": c.Skipped,
		"unreadable": c.Unreadable, "failed": c.Failed, "erased": c.Erased, "refused": c.Refused,
	} {
		m.byOutcome.WithLabelValues(outcome).Add(float64(n))
	}
}
