package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var _ usecase.IdempotencyStore = (*postgres.Idempotency)(nil)

func TestIdempotency(t *testing.T) {
	storetest.Idempotency(t, func(t *testing.T) (usecase.IdempotencyDeps, usecase.AuditLog, func(*testing.T) []domain.AuditEvent) {
		url := migrated(t)
		conn := asker(t, url)
		t.Cleanup(func() { noDeadlocks(t, conn) }) // after the pool is closed
		db := openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second})
		return usecase.IdempotencyDeps{Tx: db, Store: postgres.NewIdempotency(db)}, postgres.NewAuditLog(db),
			func(t *testing.T) []domain.AuditEvent { return events(t, conn) }
	})
}

// While one transaction has a key, no other gets it, under any key of the
// hashes that both know; nobody waits. It is free when the transaction ends, however it does.
func TestAKeyIsLockedUntilTheTransactionEnds(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	db := openDB(t, postgres.Options{URL: url})
	store := postgres.NewIdempotency(db)
	try := func(hashes ...string) (locked bool) {
		t.Helper()
		must(t, db.WithinTx(within(t), func(ctx context.Context) (err error) {
			locked, err = store.TryLock(ctx, hashes)
			return err
		}))
		return locked
	}
	for _, end := range []error{nil, context.Canceled} {
		err := db.WithinTx(within(t), func(ctx context.Context) error {
			if locked, err := store.TryLock(ctx, []string{"new", "old"}); !locked || err != nil {
				t.Errorf("%v, %v", locked, err)
			}
			for _, hashes := range [][]string{{"new"}, {"old"}, {"newer", "new"}, {"new", "old"}} {
				if try(hashes...) {
					t.Errorf("%q: two have it", hashes)
				}
			}
			if !try("other", "older") {
				t.Error("another key is locked too")
			}
			return end
		})
		if (err == nil) != (end == nil) {
			t.Error(err)
		}
		// Asked from beside: a connection of the pool could take its own lock again.
		held := ask[int](t, conn, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		if held != 0 || !try("new", "old") {
			t.Errorf("not free after the end with %v: %d locks", end, held)
		}
	}
}

// Two replicas whose keys are rotated one after the other shut each other out.
func TestReplicasAmidARotationShareTheLock(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	replica := func(key string, fallbacks ...string) *usecase.Idempotency {
		return usecase.NewIdempotency(usecase.IdempotencyDeps{
			Tx: db, Store: postgres.NewIdempotency(db), Clock: storetest.NewClock(), Hashes: domain.NewPseudonymizer(key, fallbacks...),
		})
	}
	req := usecase.IdempotentRequest{CallerID: "user_1", Key: "k", Method: "POST", Target: "/"}
	nothing := func(context.Context) (domain.KeptResponse, error) { return domain.KeptResponse{Status: 200}, nil }
	before, after := replica("old"), replica("new", "old")
	for _, pair := range [][2]*usecase.Idempotency{{before, after}, {after, before}} {
		_, _, err := pair[0].Run(within(t), req, func(context.Context) (domain.KeptResponse, error) {
			if _, _, err := pair[1].Run(within(t), req, nothing); !domain.HasCode(err, domain.CodeRequestInProgress) {
				t.Errorf("both run: %v", err)
			}
			return domain.KeptResponse{}, context.Canceled
		})
		if err == nil {
			t.Error("the failure is lost")
		}
	}
}

// A purge waits for nobody and takes nothing that was renewed meanwhile.
func TestPurgePassesOverWhatIsWorkedOn(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	store := postgres.NewIdempotency(db)
	record := func(key string, at time.Time) domain.IdempotencyRecord {
		return domain.NewIdempotencyRecord(key, "r", domain.KeptResponse{Status: 200}, at)
	}
	must(t, store.Put(within(t), record("renewed", storetest.Now)))
	must(t, store.Put(within(t), record("old", storetest.Now)))
	end := storetest.Now.Add(domain.IdempotencyKept)
	must(t, db.WithinTx(within(t), func(ctx context.Context) error {
		must(t, store.Put(ctx, record("renewed", end)))
		if n, err := store.PurgeExpired(within(t), end, 10); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		return nil
	}))
	if n, err := store.PurgeExpired(within(t), end, 10); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	_, err := store.Find(within(t), []string{"renewed"}, end)
	must(t, err)
}
