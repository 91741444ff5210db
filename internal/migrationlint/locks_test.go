package migrationlint_test

import (
	"context"
	"errors"
	"strings"
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
	url := testservers.Database(t)
	mine, others := open(t, url), open(t, url)
	run(t, mine,
		"CREATE TABLE people (id int PRIMARY KEY, name text)", "INSERT INTO people SELECT n, 'x' FROM generate_series(1, 100) n",
		"ALTER TABLE people ADD CONSTRAINT later CHECK (name <> 'q') NOT VALID",
		"CREATE TABLE empty (id int)", "CREATE TABLE tied (id int REFERENCES people ON DELETE CASCADE)", "CREATE DOMAIN short AS text CHECK (length(value) < 9)")
	for _, c := range []struct{ refused, proposed, blocked string }{
		{"CREATE INDEX i ON people (name)", "", write},
		{"ALTER TABLE people ADD CONSTRAINT k CHECK (name <> '')", "ALTER TABLE people VALIDATE CONSTRAINT later", write},
		{"ALTER TABLE people ALTER name TYPE varchar(99)", "", read},
		{"ALTER TABLE people ADD c uuid DEFAULT gen_random_uuid()", "", read},
		{"ALTER TABLE people ADD COLUMN c int, VALIDATE CONSTRAINT later", "ALTER TABLE people VALIDATE CONSTRAINT later", read},
		{"ALTER TABLE people ADD c short", "ALTER TABLE people ALTER id SET STATISTICS 99", read},
		{"CREATE TABLE n (id int REFERENCES people)", "CREATE TABLE n (id int)", write},
		{"ALTER TABLE empty ADD FOREIGN KEY (id) REFERENCES people ON DELETE CASCADE", "ALTER TABLE empty ADD c text", write},
		{"INSERT INTO tied SELECT id FROM people", "INSERT INTO tied SELECT id FROM people WHERE id < 99 LIMIT 10", "DELETE FROM people WHERE id = 100"},
		{"INSERT INTO empty SELECT id FROM people FOR UPDATE", "INSERT INTO empty SELECT id FROM people", write},
		{"LOCK TABLE people", "UPDATE people SET name = 'z' WHERE id IN (SELECT id FROM people WHERE id > 1 LIMIT 10)", read},
	} {
		if !blocks(t, mine, others, c.refused, c.blocked) {
			t.Errorf("%s: others go on", c.refused)
		}
		if c.proposed != "" && (blocks(t, mine, others, c.proposed, c.blocked) || blocks(t, mine, others, c.proposed, read)) {
			t.Errorf("%s: others wait", c.proposed)
		}
	}
}

// A statement that waits without a strong lock, for a transaction or for somebody
// else's lock of its kind, lets everybody else work: so that it may wait for longer.
func TestAQuietWaitLetsOthersWork(t *testing.T) {
	for _, quiet := range []string{
		"CREATE INDEX CONCURRENTLY i ON people (name)", "DROP INDEX CONCURRENTLY old", "ALTER TABLE people VALIDATE CONSTRAINT later",
	} {
		url := testservers.Database(t)
		holder, waiter, others := open(t, url), open(t, url), open(t, url)
		run(t, holder, "CREATE TABLE people (id int PRIMARY KEY, name text)", "INSERT INTO people VALUES (1, 'x'), (2, 'x')",
			"CREATE INDEX old ON people (id, name)", "ALTER TABLE people ADD CONSTRAINT later CHECK (name <> 'q') NOT VALID",
			"BEGIN", "UPDATE people SET name = 'y' WHERE id = 1")
		if quiet[0] == 'A' { // which waits for no transaction
			run(t, holder, "COMMENT ON TABLE people IS 'takes the same lock'")
		}
		run(t, waiter, "SET lock_timeout = '100ms'")
		if err := exec(t.Context(), waiter, quiet); !isCode(err, "55P03") {
			t.Errorf("%s: %v, want that lock_timeout ends its wait", quiet, err)
		}
		run(t, waiter, "SET lock_timeout = 0")
		done := make(chan error, 1)
		again := strings.Replace(quiet, " i ", " j ", 1) // what broke off left i behind
		go func() { done <- exec(t.Context(), waiter, again) }()
		for waiting := false; !waiting; {
			err := others.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", waiter.PgConn().PID()).Scan(&waiting)
			if err != nil {
				t.Fatal(err)
			}
		}
		run(t, others, "SET lock_timeout = '1s'", "SELECT count(*) FROM people", "UPDATE people SET name = 'z' WHERE id = 2")
		run(t, holder, "COMMIT")
		if err := <-done; err != nil {
			t.Errorf("%s: %v", again, err)
		}
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
	if err := exec(t.Context(), others, "SET lock_timeout = '100ms'"); err != nil {
		t.Fatal(err)
	}
	err = exec(t.Context(), others, other)
	if isCode(err, "55P03") { // lock_not_available
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

func isCode(err error, code string) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && refusal.Code == code
}

func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := exec(t.Context(), conn, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func exec(ctx context.Context, conn *pgx.Conn, statement string) error {
	_, err := conn.Exec(ctx, statement)
	return err
}
