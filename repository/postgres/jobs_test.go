package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/migrations"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	_ usecase.ClerkDeletions = (*postgres.ClerkDeletions)(nil)
	_ usecase.JobQueue       = (*postgres.JobQueue)(nil)
	_ usecase.Purger         = (*postgres.HandleReservations)(nil)
)

func TestJobs(t *testing.T) {
	storetest.Jobs(t, func(t *testing.T) storetest.JobStores {
		url := migrated(t)
		return jobStores(t, url, asker(t, url))
	})
}

func jobStores(t *testing.T, url string, conn *pgx.Conn) storetest.JobStores {
	t.Helper()
	db := openDB(t, postgres.Options{URL: url})
	queue, err := postgres.NewJobQueue(db)
	must(t, err)
	return storetest.JobStores{
		Tx: db, Deletions: postgres.NewClerkDeletions(db), Queue: queue, Reservations: postgres.NewHandleReservations(db),
		Queued: func(t *testing.T) []string {
			rows, err := conn.Query(within(t), "SELECT args->>'id' FROM river_job WHERE kind = 'clerk_deletion' ORDER BY id")
			must(t, err)
			list, err := pgx.CollectRows(rows, pgx.RowTo[string])
			must(t, err)
			return list
		},
	}
}

// A job of one database's transaction must not go into another's.
func TestTheQueueKnowsWhoseTransactionItIs(t *testing.T) {
	url := migrated(t)
	ours, theirs := openDB(t, postgres.Options{URL: url}), openDB(t, postgres.Options{URL: url})
	queue, err := postgres.NewJobQueue(ours)
	must(t, err)
	err = theirs.WithinTx(within(t), func(ctx context.Context) error { return queue.EnqueueClerkDeletion(ctx, domain.NewID(storetest.Now)) })
	if !errors.Is(err, domain.Internal) {
		t.Errorf("got %v", err)
	}
}

// Before the migration the errors of the queue are the database's, translated.
func TestTheQueueWithoutItsTables(t *testing.T) {
	db := openDB(t, postgres.Options{URL: testservers.Database(t)})
	queue, err := postgres.NewJobQueue(db)
	must(t, err)
	err = db.WithinTx(within(t), func(ctx context.Context) error { return queue.EnqueueClerkDeletion(ctx, domain.NewID(storetest.Now)) })
	if !errors.Is(err, domain.Unavailable) {
		t.Errorf("enqueue: %v", err)
	}
	if counts, err := db.UnfinishedJobs(within(t)); !errors.Is(err, domain.Unavailable) || counts != nil {
		t.Errorf("count: %v, %v", counts, err)
	}
}

func TestUnfinishedJobs(t *testing.T) {
	url := migrated(t)
	conn, db := asker(t, url), openDB(t, postgres.Options{URL: url})
	for state, n := range map[string]int{"available": 3, "retryable": 2, "scheduled": 1, "completed": 4, "discarded": 5, "cancelled": 6} {
		for range n {
			_, err := conn.Exec(within(t), `INSERT INTO river_job (state, kind, args, max_attempts, finalized_at)
				VALUES ($1::text::river_job_state, 'x', '{}', 1, CASE WHEN $1::text IN ('completed', 'discarded', 'cancelled') THEN now() END)`, state)
			must(t, err)
		}
	}
	counts, err := db.UnfinishedJobs(within(t))
	want := map[string]int64{"available": 3, "retryable": 2, "scheduled": 1, "pending": 0, "running": 0}
	if err != nil || len(counts) != len(want) {
		t.Fatalf("%v, %v", counts, err)
	}
	for state, n := range want {
		if counts[state] != n {
			t.Errorf("%s: %d, want %d", state, counts[state], n)
		}
	}
}

// River's schema is the pinned one, also when the migration broke off in the middle and is run again.
func TestRiverMigrationIsPinnedAndGoesOn(t *testing.T) {
	url := testservers.Database(t)
	conn := asker(t, url)
	m := migrator(t, openDB(t, postgres.Options{URL: url}))
	_, err := m.Up(within(t))
	must(t, err)
	versions := func() []int {
		rows, err := conn.Query(within(t), "SELECT version FROM river_migration WHERE line = 'main' ORDER BY version")
		must(t, err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[int])
		must(t, err)
		return list
	}
	want := []int{1, 2, 3, 4, 5, 6, 7}
	if got := versions(); !slices.Equal(got, want) {
		t.Errorf("River's versions are %v, want %v", got, want)
	}
	for latest := len(files(t)); latest > 9; latest-- { // what came after it is in nobody's way
		if undone, ok, err := m.Down(within(t)); err != nil || !ok || undone.Version <= 9 {
			t.Fatalf("down: %+v, %v, %v", undone, ok, err)
		}
	}
	// As if the process had died after River's work, before goose noted it.
	for ask[int](t, conn, "SELECT max(version_id) FROM goose_db_version") > 9 {
		_, _, err = m.Down(within(t))
		must(t, err)
	}
	_, err = conn.Exec(within(t), "DELETE FROM goose_db_version WHERE version_id >= 9")
	must(t, err)
	if pending, err := m.Pending(within(t)); err != nil || !pending {
		t.Errorf("pending %v, %v", pending, err)
	}
	_, err = m.Up(within(t))
	must(t, err)
	if got := versions(); !slices.Equal(got, want) {
		t.Errorf("the second time River's versions are %v", got)
	}
	names := files(t)
	if !slices.Contains(names, "00009_river.go") || slices.Contains(names, "migrations.go") || len(migrations.Go()) != 1 {
		t.Errorf("the migrations are %v", names)
	}
}

// What stands in the tables for days while Clerk is away names nobody.
func TestADumpNamesNobody(t *testing.T) {
	url := migrated(t)
	conn, db := asker(t, url), openDB(t, postgres.Options{URL: url})
	queue, err := postgres.NewJobQueue(db)
	must(t, err)
	deletion := usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: db, Deletions: postgres.NewClerkDeletions(db), Queue: queue, Sealer: storetest.Sealer, Clock: storetest.NewClock(),
	})
	id := newClerkID()
	must(t, deletion.Request(within(t), id))
	text := ask[string](t, conn, `SELECT string_agg(query_to_xml(format('SELECT * FROM %I', tablename), true, false, '')::text, '')
		FROM pg_tables WHERE schemaname = 'public'`)
	if !strings.Contains(text, "clerk_deletion") || strings.Contains(text, id) || strings.Contains(text, strings.TrimPrefix(id, "user_")) {
		t.Errorf("the dump shows whom: %v", strings.Contains(text, id))
	}
}
