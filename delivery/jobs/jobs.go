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
)

// Deps is what the jobs need. All fields but Backoff are required.
type Deps struct {
	ClerkDeletion *usecase.ClerkDeletion
	Inbox         *usecase.Inbox
	Purge         *usecase.Purge
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
	common.metrics = newMetrics(d.Registry, domain.ClerkDeletionJob{}.Kind(), domain.PurgeJob{}.Kind(), domain.WebhookDeliveryJob{}.Kind())
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker[domain.ClerkDeletionJob]{shared: common, run: func(ctx context.Context, job domain.ClerkDeletionJob) error {
		return d.ClerkDeletion.Run(ctx, job.ID)
	}})
	river.AddWorker(workers, &worker[domain.PurgeJob]{shared: common, timeout: purgeTimeout, run: func(ctx context.Context, _ domain.PurgeJob) error {
		return d.Purge.Run(ctx)
	}})
	river.AddWorker(workers, webhookDeliveries(common, d.Inbox))
	return Jobs{Workers: workers, Periodic: []*river.PeriodicJob{purgePeriodically()}, RetryPolicy: common.policy}
}

// purgePeriodically has one purge in the queue at a time, however many replicas
// start and leaders change.
func purgePeriodically() *river.PeriodicJob {
	opts := &river.InsertOpts{MaxAttempts: purgeAttempts, UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
	return river.NewPeriodicJob(river.PeriodicInterval(purgeEvery),
		func() (river.JobArgs, *river.InsertOpts) { return domain.PurgeJob{}, opts }, &river.PeriodicJobOpts{RunOnStart: true})
}
