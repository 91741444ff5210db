package seed_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/seed"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
)

// several is more than the two streams write at once.
const several = 25_000

func TestMain(m *testing.M) { testservers.Main(m) }

func migrated(t *testing.T) (string, *pgx.Conn) {
	t.Helper()
	url := testschema.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return url, conn
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	must(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return found
}

func options(rows int) seed.Options {
	return seed.Options{Rows: rows, Seed: 3, Until: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
}

const (
	indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
	// Of a person who is not whole, or not as often as there are events.
	broken = `SELECT count(*) FROM profiles p LEFT JOIN preferences s ON s.profile_id = p.id
		WHERE s.profile_id IS NULL OR p.version <> (SELECT count(*) FROM audit_events e WHERE e.profile_id = p.id)`
)

func TestRunsAddPeopleToPeople(t *testing.T) {
	address, conn := migrated(t)
	before := ask[string](t, conn, indexes)
	var shown []int
	opts := options(several)
	opts.Progress = func(done int) { shown = append(shown, done) }
	first, err := seed.Run(t.Context(), address, opts)
	must(t, err)
	if !slices.IsSorted(shown) || len(shown) != 3 || shown[2] != several {
		t.Errorf("progress %v", shown)
	}
	if n := ask[float32](t, conn, "SELECT reltuples FROM pg_class WHERE relname = 'profiles'"); n[0] != several {
		t.Errorf("the planner believes in %v people", n)
	}
	opts = options(500)
	opts.RebuildIndexes = true
	second, err := seed.Run(t.Context(), address, opts)
	must(t, err)
	for table, want := range map[string]int64{
		"profiles": several + 500, "preferences": several + 500, "audit_events": int64(first.Events + second.Events),
	} {
		if n := ask[int64](t, conn, "SELECT count(*) FROM "+table); n[0] != want {
			t.Errorf("%d rows in %s, want %d", n[0], table, want)
		}
	}
	if n := ask[int64](t, conn, broken); n[0] != 0 {
		t.Errorf("%d people are not whole", n[0])
	}
	if after := ask[string](t, conn, indexes); !slices.Equal(after, before) {
		t.Errorf("the indexes were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestAnInterruptedRunLeavesWholePeopleAndTheIndexes(t *testing.T) {
	address, conn := migrated(t)
	before := ask[string](t, conn, indexes)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	opts := options(5 * several)
	opts.RebuildIndexes = true
	opts.Progress = func(int) { interrupt() }
	if _, err := seed.Run(ctx, address, opts); !errors.Is(err, context.Canceled) {
		t.Fatalf("the interrupted run gave %v", err)
	}
	if n := ask[int64](t, conn, "SELECT count(*) FROM profiles"); n[0] == 0 || n[0] >= 5*several {
		t.Errorf("%d people", n[0])
	}
	if n := ask[int64](t, conn, broken); n[0] != 0 {
		t.Errorf("%d people are not whole", n[0])
	}
	if after := ask[string](t, conn, indexes); !slices.Equal(after, before) {
		t.Errorf("the indexes are %v", after)
	}
	if _, err := seed.Run(t.Context(), address, options(100)); err != nil {
		t.Errorf("a run after an interrupted one: %v", err)
	}
}

func TestOneRunAtATime(t *testing.T) {
	address, _ := migrated(t)
	opts := options(20)
	opts.Progress = func(int) {
		if _, err := seed.Run(t.Context(), address, options(20)); !errors.Is(err, seed.ErrBusy) {
			t.Errorf("a second run gave %v", err)
		}
	}
	if _, err := seed.Run(t.Context(), address, opts); err != nil {
		t.Fatal(err)
	}
}

func TestARoleWithoutPrivilegesSeedsToo(t *testing.T) {
	address, conn := migrated(t)
	u, err := url.Parse(address)
	must(t, err)
	role := "seeder_" + strings.TrimPrefix(u.Path, "/") // roles belong to the whole server
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'x'", "GRANT INSERT, SELECT ON profiles, preferences, audit_events TO " + role,
	} {
		_, err := conn.Exec(t.Context(), statement)
		must(t, err)
	}
	t.Cleanup(func() {
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := conn.Exec(context.Background(), statement); err != nil {
				t.Error(err)
			}
		}
	})
	u.User = url.UserPassword(role, "x")
	if _, err := seed.Run(t.Context(), u.String(), options(50)); err != nil {
		t.Fatal(err)
	}
}

func TestRunRefusesWhatItCannotDo(t *testing.T) {
	empty := testservers.Database(t)
	if _, err := seed.Run(t.Context(), empty, options(1)); err == nil || !strings.Contains(err.Error(), "schema") {
		t.Errorf("a database without the schema: %v", err)
	}
	for _, n := range []int{-1, 0, seed.MaxRows + 1} {
		if _, err := seed.Run(t.Context(), empty, options(n)); err == nil {
			t.Errorf("%d people were accepted", n)
		}
	}
}
