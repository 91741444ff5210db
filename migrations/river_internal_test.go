package migrations

import (
	"database/sql"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/profile-api/profile-api/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// The target is kept whatever River brings beyond it, also when it was reached before.
func TestRiverStopsAtItsTarget(t *testing.T) {
	db, err := sql.Open("pgx", testservers.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, step := range []struct{ target, want int }{{3, 3}, {5, 5}, {5, 5}, {3, 5}, {riverVersion, riverVersion}, {riverVersion, riverVersion}} {
		if err := riverUpTo(t.Context(), db, step.target); err != nil {
			t.Fatalf("to %d: %v", step.target, err)
		}
		var version, versions int
		if err := db.QueryRowContext(t.Context(), "SELECT max(version), count(*) FROM river_migration").Scan(&version, &versions); err != nil {
			t.Fatal(err)
		}
		if version != step.want || versions != step.want {
			t.Errorf("to %d: at %d after %d migrations, want %d", step.target, version, versions, step.want)
		}
	}
	for range 2 { // down from the bottom changes nothing
		if err := riverDown(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	var left int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_class WHERE relname LIKE 'river%'").Scan(&left); err != nil || left != 0 {
		t.Errorf("left: %d, %v", left, err)
	}
}
