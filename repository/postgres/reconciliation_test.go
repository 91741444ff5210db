package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	_ usecase.ReconcileRuns   = (*postgres.Reconciliations)(nil)
	_ usecase.ReconcileLease  = (*postgres.Reconciliations)(nil)
	_ usecase.ReconcilePeople = (*postgres.Reconciliations)(nil)
)

func TestReconciliation(t *testing.T) {
	storetest.Reconciliation(t, func(t *testing.T) storetest.ReconcileStores { return reconcileStores(t, migrated(t)) })
}

// No session holds the lease, so that it works through PgBouncer too.
func TestReconciliationThroughPgBouncer(t *testing.T) {
	program := findPgBouncer(t)
	through := startPgBouncer(t, program, migrated(t))
	storetest.Reconciliation(t, func(t *testing.T) storetest.ReconcileStores { return reconcileStores(t, through(t, migrated(t))) })
}

func reconcileStores(t *testing.T, url string) storetest.ReconcileStores {
	t.Helper()
	db := openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second})
	r := postgres.NewReconciliations(db)
	return storetest.ReconcileStores{Tx: db, Runs: r, Lease: r, People: r, Put: func(t *testing.T, p domain.Profile) {
		inserted, err := postgres.NewProfiles(db).Insert(within(t), &p)
		if err != nil || !inserted {
			t.Fatalf("put a profile: %v, %v", inserted, err)
		}
	}}
}

// Whatever becomes of the lease: there is one unfinished run at most.
func TestOneUnfinishedReconciliation(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	runs := postgres.NewReconciliations(db)
	must(t, runs.Begin(within(t), domain.NewReconciliation(false, storetest.Now)))
	second := domain.NewReconciliation(false, storetest.Now)
	var pg *pgconn.PgError
	if err := db.Conn(within(t)).Create(&second).Error; !errors.As(err, &pg) || pg.ConstraintName != "reconciliation_runs_unfinished_key" {
		t.Errorf("a second one: %v", err)
	}
	if err := db.Conn(within(t)).Exec("INSERT INTO reconciliation_lease DEFAULT VALUES").Error; !errors.As(err, &pg) || pg.Code != "23505" {
		t.Errorf("a second lease: %v", err)
	}
}

// Runs are kept for operators, but not for ever.
func TestOldReconciliationsGo(t *testing.T) {
	url := migrated(t)
	conn, runs := asker(t, url), postgres.NewReconciliations(openDB(t, postgres.Options{URL: url}))
	var kept []string
	for _, age := range []time.Duration{200 * 24 * time.Hour, 91 * 24 * time.Hour, 89 * 24 * time.Hour, time.Hour} {
		r := domain.NewReconciliation(true, storetest.Now.Add(-age))
		must(t, runs.Begin(within(t), r))
		r.Finish(domain.ReconcileCompleted, r.BegunAt)
		must(t, runs.Save(within(t), r))
		if age < 90*24*time.Hour {
			kept = append(kept, r.ID)
		}
	}
	now := domain.NewReconciliation(true, storetest.Now)
	must(t, runs.Begin(within(t), now))
	if got := ask[[]string](t, conn, "SELECT array_agg(id::text ORDER BY begun_at) FROM reconciliation_runs"); !slices.Equal(got, append(kept, now.ID)) {
		t.Errorf("kept %v", got)
	}
}
