package service

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/jobs"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// newJobs wires the background work: what puts jobs into the queue, what works
// them, and what each of them does.
func newJobs(
	ctx context.Context, s *config.Settings, log *slog.Logger, db *postgres.DB, queue *postgres.JobQueue,
	migrator *postgres.Migrator, registry prometheus.Registerer,
) (background, error) {
	clock := systemClock{}
	users, err := clerk.NewUsers(clerk.UsersOptions{APIURL: s.ClerkAPIURL, SecretKey: s.ClerkSecretKey.Reveal(), Clock: clock})
	if err != nil {
		return background{}, err
	}
	deletion := usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: db, Deletions: postgres.NewClerkDeletions(db), Queue: queue, Users: users,
		Sealer: sealerOf(s), Clock: clock,
	})
	purge := usecase.NewPurge(clock, // one line for each kind of rows that end by themselves
		usecase.PurgeTask{Name: "handle reservations", Rows: postgres.NewHandleReservations(db)},
		usecase.PurgeTask{Name: "idempotency keys", Rows: postgres.NewIdempotency(db)},
	)
	work := jobs.New(jobs.Deps{ClerkDeletion: deletion, Purge: purge, Clock: clock, Registry: registry, Log: log})
	runner, err := postgres.NewJobRunner(ctx, db, postgres.JobRunnerOptions{
		Workers: work.Workers, Periodic: work.Periodic, RetryPolicy: work.RetryPolicy, Migrator: migrator, Logger: log,
	})
	return background{deletion, runner}, err
}

// background is what the rest of the service needs of it.
type background struct {
	clerkDeletion *usecase.ClerkDeletion // the erasure requests it
	runner        *postgres.JobRunner
}
