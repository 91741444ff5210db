package postgres_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/internal/teststores"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// The stores satisfy the ports, which they may not import.
var (
	_ usecase.UnitOfWork         = (*postgres.DB)(nil)
	_ usecase.Probe              = (*postgres.DB)(nil)
	_ usecase.ProfileStore       = (*postgres.Profiles)(nil)
	_ usecase.ProfileMirror      = (*postgres.Profiles)(nil)
	_ usecase.ProfileFinder      = (*postgres.Profiles)(nil)
	_ usecase.PreferencesStore   = (*postgres.Preferences)(nil)
	_ usecase.AuditLog           = (*postgres.AuditLog)(nil)
	_ usecase.HandleReservations = (*postgres.HandleReservations)(nil)
	_ usecase.IdentityRegister   = (*postgres.Identities)(nil)
)

func TestMain(m *testing.M) { testservers.Main(m) }

// liveness is how long anything may take before a test gives up on it; no
// statement about speed.
const liveness = time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), liveness)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openDB(t *testing.T, opts postgres.Options) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), opts)
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// migrated gives the URL of a fresh database with the whole schema.
func migrated(t *testing.T) string {
	t.Helper()
	return testschema.Database(t)
}

// asker is a plain connection beside the code under test.
func asker(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(within(t), url)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(within(t), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(liveness); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func deps(db *postgres.DB) usecase.ProfilesDeps {
	return teststores.Over(db, storetest.NewClock(), storetest.Hashes, domain.Cursors{})
}

func counts(t *testing.T, conn *pgx.Conn) (profiles, preferences, events int) {
	t.Helper()
	return ask[int](t, conn, "SELECT count(*) FROM profiles"), ask[int](t, conn, "SELECT count(*) FROM preferences"),
		ask[int](t, conn, "SELECT count(*) FROM audit_events")
}

// noDeadlocks asks the counter of the test's own database, once every other
// session has ended: a session may keep its counts to itself for a while.
func noDeadlocks(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	eventually(t, "the other sessions end", func() bool {
		return ask[int](t, conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") == 0
	})
	if n := ask[int](t, conn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

func newClerkID() string { return "user_" + rand.Text() }

func caller(id string) domain.Caller { return storetest.Caller(id) }
