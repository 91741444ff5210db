package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
)

// A lost conflict repeats the whole function, three times at most; any other error not once.
func TestLostConflictsAreRepeated(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	raise := func(ctx context.Context, state string) error {
		return postgres.Translate(ctx, db.Conn(ctx).Exec("DO $$BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '"+state+"'; END$$").Error)
	}
	for _, c := range []struct {
		state    string
		failures int // before it succeeds
		runs     int
		kind     domain.Kind // of the outcome; empty: success
	}{
		{"40001", 1, 2, ""},
		{"40P01", 3, 4, ""},
		{"40001", 9, 4, domain.Unavailable},
		{"55P03", 9, 1, domain.Unavailable},
		{"23514", 9, 1, domain.Internal},
	} {
		runs := 0
		err := db.WithinTx(within(t), func(ctx context.Context) error {
			runs++
			inserted, err := postgres.NewProfiles(db).Insert(ctx, storetest.Profile(storetest.Handle()))
			if err != nil || !inserted {
				t.Errorf("insert: %v, %v", inserted, err)
			}
			if runs > c.failures {
				return nil
			}
			return db.WithinTx(ctx, func(ctx context.Context) error { return raise(ctx, c.state) }) // repeated from the outermost
		})
		if runs != c.runs || c.kind == "" && err != nil || c.kind != "" && !errors.Is(err, c.kind) {
			t.Errorf("%s: %d runs, %v", c.state, runs, err)
		}
	}
	var n int
	must(t, db.Conn(within(t)).Raw("SELECT count(*) FROM profiles").Scan(&n).Error)
	if n != 2 {
		t.Errorf("%d rows, want one for each success", n)
	}
	gone, cancel := context.WithCancel(within(t))
	runs := 0
	err := db.WithinTx(gone, func(ctx context.Context) error {
		runs++
		err := raise(ctx, "40001")
		cancel()
		return err
	})
	if runs != 1 || !errors.Is(err, context.Canceled) && !errors.Is(err, domain.Unavailable) {
		t.Errorf("repeated %d times for nobody: %v", runs-1, err)
	}
}

// A real deadlock: one side is repeated, both succeed. It also shows that the
// counter which other tests want at 0 does count.
func TestADeadlockIsRepeated(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	must(t, err)
	holds := make(chan struct{}, 2)
	lock := func(ctx context.Context, key int) error {
		return postgres.Translate(ctx, db.Conn(ctx).Exec("SELECT pg_advisory_xact_lock(?)", key).Error)
	}
	var wg sync.WaitGroup
	for _, keys := range [][2]int{{1, 2}, {2, 1}} {
		wg.Go(func() {
			first := true
			must2(t, db.WithinTx(within(t), func(ctx context.Context) error {
				if err := lock(ctx, keys[0]); err != nil {
					return err
				}
				if first {
					first = false
					holds <- struct{}{}
					for len(holds) < 2 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
				}
				return lock(ctx, keys[1])
			}))
		})
	}
	wg.Wait()
	must(t, db.Close())
	eventually(t, "the deadlock is counted", func() bool {
		return ask[int](t, conn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 1
	})
}

// What fails only at the commit is not reported as done.
func TestTheCommitsErrorCounts(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	_, err := conn.Exec(within(t), `CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (1)`)
	must(t, err)
	db := openDB(t, postgres.Options{URL: url})
	err = db.WithinTx(within(t), func(ctx context.Context) error { return db.Conn(ctx).Exec("INSERT INTO late VALUES (1)").Error })
	var pg *pgconn.PgError
	if !errors.Is(err, domain.Conflict) || !errors.As(err, &pg) {
		t.Errorf("got %v", err)
	}
	if n := ask[int](t, conn, "SELECT count(*) FROM late"); n != 1 {
		t.Errorf("%d rows", n)
	}
}
