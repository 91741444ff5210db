package postgres_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/postgres"
)

// million is how many people the big database has.
const million = 1_000_000

// big is a database with a million people, the stores on it, and what these ask of it.
type big struct {
	asked    *recorder
	conn     *pgxpool.Pool // beside the stores; as many sessions at once as a test wants
	profiles *postgres.Profiles
	audit    *postgres.AuditLog
	db       *postgres.DB
	now      time.Time
}

// seeded makes the big database, some 1.7 GB, which goes when the test ends. A
// program of its own does the writing: the race detector in this one would make
// it five times as slow.
func seeded(tb testing.TB) *big {
	tb.Helper()
	url := testservers.Database(tb)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	must(testschema.Up(ctx, url))
	local := filepath.Join(tb.TempDir(), "local")
	for _, args := range [][]string{
		{"go", "build", "-o", local, "github.com/profile-api/profile-api/cmd/local"},
		{local, "seed", "--database", url, "--rebuild-indexes", strconv.Itoa(million)},
	} {
		start := time.Now()
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			tb.Fatalf("%s %s: %v\n%s", args[0], args[1], err, out)
		}
		tb.Logf("%s took %.1f s", filepath.Base(args[0])+" "+args[1], time.Since(start).Seconds())
	}
	b := &big{asked: &recorder{}, now: time.Now()}
	var err error
	b.conn, err = pgxpool.New(ctx, url)
	must(err)
	tb.Cleanup(b.conn.Close)
	_, err = b.conn.Exec(ctx, expiring)
	must(err)
	b.db, err = postgres.Open(ctx, postgres.Options{URL: url, Tracer: b.asked})
	must(err)
	tb.Cleanup(func() { _ = b.db.Close() })
	b.profiles, b.audit = postgres.NewProfiles(b.db), postgres.NewAuditLog(b.db)
	return b
}

// expiring fills the tables that are purged, half with what is over.
const expiring = `
	INSERT INTO handle_reservations
		SELECT md5(n::text), gen_random_uuid(), now() + n * interval '1 minute' FROM generate_series(-100000, 100000) AS n;
	INSERT INTO idempotency_keys
		SELECT md5(n::text), '', gen_random_uuid(), 200, '{}', '', now(), now() + n * interval '1 second' FROM generate_series(-100000, 100000) AS n;
	ANALYZE handle_reservations, idempotency_keys`

// value asks for one value.
func value[T any](tb testing.TB, b *big, query string, args ...any) T {
	tb.Helper()
	rows, err := b.conn.Query(context.Background(), query, args...)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return v
}
