package service

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/jobs"
	"github.com/profile-api/profile-api/delivery/ops"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// newJobs wires the background work: what puts jobs into the queue, what works
// them, and what each of them does.
func newJobs(
	ctx context.Context, s *config.Settings, log *slog.Logger, db *postgres.DB, queue *postgres.JobQueue,
	migrator *postgres.Migrator, outbox usecase.Purger, registry prometheus.Registerer, stores usecase.ProfilesDeps, tracer trace.Tracer,
) (background, error) {
	clock := systemClock{}
	users, err := NewClerkUsers(s, tracer)
	if err != nil {
		return background{}, err
	}
	deletion := usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: db, Deletions: postgres.NewClerkDeletions(db), Queue: queue, Users: users,
		Sealer: sealerOf(s), Clock: clock,
	})
	mirror := usecase.NewMirror(stores)
	deliveries := postgres.NewWebhookDeliveries(db)
	inbox := usecase.NewInbox(usecase.InboxDeps{
		Tx: db, Deliveries: deliveries, Queue: queue, Identities: stores.Identities, Mirror: mirror,
		Sealer: sealerOf(s), Hashes: stores.Hashes, Clock: clock, Observer: ops.NewInbox(registry, log),
	})
	purge := usecase.NewPurge(clock, // one line for each kind of rows that end by themselves
		usecase.PurgeTask{Name: "handle reservations", Rows: postgres.NewHandleReservations(db)},
		usecase.PurgeTask{Name: "idempotency keys", Rows: postgres.NewIdempotency(db)},
		usecase.PurgeTask{Name: "events of former sinks", Rows: outbox},
		usecase.PurgeTask{Name: "webhook deliveries", Rows: deliveries},
		usecase.PurgeTask{Name: "webhook deliveries without a job", Rows: usecase.NewInboxOrphans(inbox)},
		usecase.PurgeTask{Name: "reconciliation", Rows: postgres.NewReconciliations(db)},
	)
	work := jobs.New(jobs.Deps{
		ClerkDeletion: deletion, Inbox: inbox, Refresh: usecase.NewRefresh(stores, users, mirror), Purge: purge, Clock: clock, Registry: registry, Log: log,
		Reconcile: jobs.Reconcile{UseCase: newReconcile(s, db, stores, users, mirror), Interval: s.ReconcileInterval},
	})
	runner, err := postgres.NewJobRunner(ctx, db, postgres.JobRunnerOptions{
		Workers: work.Workers, Periodic: work.Periodic, RetryPolicy: work.RetryPolicy, Migrator: migrator, Logger: log,
	})
	return background{deletion, inbox, runner}, err
}

// background is what the rest of the service needs of it.
type background struct {
	clerkDeletion *usecase.ClerkDeletion // the erasure requests it
	inbox         *usecase.Inbox         // the edge fills it
	runner        *postgres.JobRunner
}
