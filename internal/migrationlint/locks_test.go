package migrationlint_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/profile-api/profile-api/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// What the rules say of PostgreSQL is so: while the refused statement's
// transaction runs, others cannot do their work; beside the one proposed they can.
func TestTheRefusedStatementBlocksAndTheProposedOneDoesNot(t *testing.T) {
	const read, write = "SELECT count(*) FROM people", "UPDATE people SET name = 'y' WHERE id = 1"
	for _, c := range []struct{ refused, proposed, blocked string }{
		{"CREATE INDEX i ON people (name)", "", write},
		{"ALTER TABLE people ADD CONSTRAINT k CHECK (name <> '')", "ALTER TABLE people VALIDATE CONSTRAINT later", write},
		{"ALTER TABLE people ALTER name TYPE varchar(99)", "", read},
		{"ALTER TABLE people ADD c uuid DEFAULT gen_random_uuid()", "", read},
		{"LOCK TABLE people", "UPDATE people SET name = 'z' WHERE id IN (SELECT id FROM people WHERE id > 1 LIMIT 10)", read},
	} {
		url := testservers.Database(t)
		mine, others := open(t, url), open(t, url)
		for _, s := range []string{
			"CREATE TABLE people (id int PRIMARY KEY, name text)", "INSERT INTO people SELECT n, 'x' FROM generate_series(1, 100) n",
			"ALTER TABLE people ADD CONSTRAINT later CHECK (name <> 'q') NOT VALID",
		} {
			if err := exec(t.Context(), mine, s); err != nil {
				t.Fatal(err)
			}
		}
		if !blocks(t, mine, others, c.refused, c.blocked) {
			t.Errorf("%s: others go on", c.refused)
		}
		if c.proposed != "" && (blocks(t, mine, others, c.proposed, c.blocked) || blocks(t, mine, others, c.proposed, read)) {
			t.Errorf("%s: others wait", c.proposed)
		}
	}
}

// A concurrent build that waits for somebody's transaction lets everybody else work.
func TestAConcurrentBuildLetsOthersWork(t *testing.T) {
	url := testservers.Database(t)
	holder, builder, others := open(t, url), open(t, url), open(t, url)
	for _, s := range []string{"CREATE TABLE people (id int PRIMARY KEY, name text)", "INSERT INTO people VALUES (1, 'x'), (2, 'x')"} {
		if err := exec(t.Context(), holder, s); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE people SET name = 'y' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	built := make(chan error, 1)
	go func() { built <- exec(t.Context(), builder, "CREATE INDEX CONCURRENTLY i ON people (name)") }()
	for waiting := false; !waiting; {
		err := others.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", builder.PgConn().PID()).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"SET lock_timeout = '1s'", "SELECT count(*) FROM people", "UPDATE people SET name = 'z' WHERE id = 2"} {
		if err := exec(t.Context(), others, s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	if err := errors.Join(tx.Commit(t.Context()), <-built); err != nil {
		t.Error(err)
	}
}

// blocks tells whether the other's statement has to wait while mine is in an open transaction.
func blocks(t *testing.T, mine, others *pgx.Conn, statement, other string) bool {
	t.Helper()
	tx, err := mine.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if err := exec(t.Context(), others, "SET lock_timeout = '300ms'"); err != nil {
		t.Fatal(err)
	}
	err = exec(t.Context(), others, other)
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) && refusal.Code == "55P03" { // lock_not_available
		return true
	}
	if err != nil {
		t.Fatalf("%s: %v", other, err)
	}
	return false
}

func open(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func exec(ctx context.Context, conn *pgx.Conn, statement string) error {
	_, err := conn.Exec(ctx, statement)
	return err
}
