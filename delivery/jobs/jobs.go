// Package jobs is where background work comes in: a worker for each kind of job,
// which calls a use case and judges what came of it. River's client with its
// driver is the repository's; here are River's workers alone.
package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

const (
	purgeEvery    = 10 * time.Minute
	purgeTimeout  = time.Minute // what is left then goes in the next round
	purgeAttempts = 3           // the next round comes anyway

	periodicPriority = 4 // after everything that somebody waits for
)

// Deps is what the jobs need. All fields but Backoff are required.
type Deps struct {
	ClerkDeletion *usecase.ClerkDeletion
	Inbox         *usecase.Inbox
	Refresh       *usecase.Refresh
	Purge         *usecase.Purge
	Reconcile     Reconcile
	Clock         usecase.Clock
	Registry      prometheus.Registerer
	Log           *slog.Logger
	Backoff       Backoff // between the tries of one job; the zero value is two seconds to an hour
}

// Jobs is what a runner runs.
type Jobs struct {
	Workers     *river.Workers
	Periodic    []*river.PeriodicJob
	RetryPolicy river.ClientRetryPolicy
}

// New makes a worker for each kind of job and registers their metrics.
func New(d Deps) Jobs {
	common := &shared{clock: d.Clock, log: d.Log, policy: retryPolicy{d.Backoff.withDefaults(), d.Clock}}
	common.metrics = newMetrics(d.Registry, domain.JobKinds()...)
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker[domain.ClerkDeletionJob]{shared: common, run: func(ctx context.Context, job domain.ClerkDeletionJob) error {
		return d.ClerkDeletion.Run(ctx, job.ID)
	}})
	river.AddWorker(workers, &worker[domain.PurgeJob]{shared: common, timeout: purgeTimeout, run: func(ctx context.Context, _ domain.PurgeJob) error {
		return d.Purge.Run(ctx)
	}})
	river.AddWorker(workers, webhookDeliveries(common, d.Inbox))
	river.AddWorker(workers, &worker[domain.ProfileRefreshJob]{shared: common, run: func(ctx context.Context, job domain.ProfileRefreshJob) error {
		again, err := d.Refresh.Run(ctx, job)
		if err == nil && again > 0 {
			return &goOn{again, "the lockout is not over"}
		}
		return err
	}})
	addReconcile(workers, common, d)
	periodic := append([]*river.PeriodicJob{purgePeriodically()}, reconcilePeriodically(d.Reconcile.Interval)...)
	return Jobs{Workers: workers, Periodic: periodic, RetryPolicy: common.policy}
}

// purgePeriodically has one purge in the queue at a time, however many replicas
// start and leaders change.
func purgePeriodically() *river.PeriodicJob {
	opts := &river.InsertOpts{MaxAttempts: purgeAttempts, Priority: periodicPriority, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
	return river.NewPeriodicJob(river.PeriodicInterval(purgeEvery),
		func() (river.JobArgs, *river.InsertOpts) { return domain.PurgeJob{}, opts }, &river.PeriodicJobOpts{RunOnStart: true})
}
