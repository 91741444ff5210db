package migrationlint_test

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/profile-api/profile-api/internal/testservers"
)

// Statements that do more than they seem to; the lint refuses each of them.
func TestStatementsDoMoreThanTheySeemTo(t *testing.T) {
	const all = "SELECT count(*) = 100 FROM people WHERE name = 'q'"
	conn := open(t, testservers.Database(t))
	run(t, conn, "CREATE TABLE people (id int PRIMARY KEY, name text, valid boolean)", "INSERT INTO people SELECT n, 'x' FROM generate_series(1, 100) n",
		"CREATE TABLE settings (name text)", "INSERT INTO settings VALUES ('x'), ('y')", "CREATE TABLE child (name text)", "INSERT INTO child VALUES ('z')",
		"CREATE DOMAIN short AS text CHECK (length(value) < 9)")
	for _, c := range []struct {
		statement, shown string // what is true afterwards
	}{
		{"UPDATE people SET name = 'q' WHERE id IN (SELECT id FROM settings LIMIT 1)", all},
		{"UPDATE people SET name = 'q' WHERE name IN (SELECT name FROM people LIMIT 1)", all},
		{"UPDATE people p SET name = 'q' WHERE id IN (SELECT id FROM people WHERE id = p.id LIMIT 1)", all},
		{"UPDATE settings SET name = 'q' FROM people WHERE id IN (SELECT id FROM people LIMIT 1)", "SELECT count(*) = 2 FROM settings WHERE name = 'q'"},
		{"SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off; SET LOCAL enable_hashagg = off; SET LOCAL enable_sort = off;" +
			"DELETE FROM people WHERE id IN (SELECT id FROM people LIMIT 1 FOR UPDATE SKIP LOCKED)", "SELECT count(*) < 99 FROM people"},
		{"ALTER TABLE people ADD CONSTRAINT k CHECK (NOT valid)", "SELECT convalidated FROM pg_constraint WHERE conname = 'k'"},
		{"ALTER TABLE child INHERIT settings", "SELECT count(*) = 3 FROM settings"},
		{"ALTER TABLE people ADD c short", "SELECT relfilenode <> oid FROM pg_class WHERE relname = 'people'"},
		{`ALTER TABLE people ADD c "serial"`, "SELECT relfilenode <> oid FROM pg_class WHERE relname = 'people'"},
		{"SET LOCAL lock_timeout = '100us'", "SELECT current_setting('lock_timeout') = '0'"},
		{"SET LOCAL lock_timeout = '3'\n'0min'", "SELECT current_setting('lock_timeout') = '30min'"},
		{"CREATE TABLE n (a int) -- x\r; DROP TABLE child", "SELECT to_regclass('child') IS NULL"},
	} {
		if !after(t, conn, c.statement, c.shown) {
			t.Errorf("%s: not so: %s", c.statement, c.shown)
		}
	}
	// And what these are compared with.
	for statement, shown := range map[string]string{
		"UPDATE people SET name = 'q' WHERE id IN (SELECT id FROM people LIMIT 1)": "SELECT count(*) = 1 FROM people WHERE name = 'q'",
		"ALTER TABLE people ADD c numeric(10,2) DEFAULT 1::numeric":                "SELECT relfilenode = oid FROM pg_class WHERE relname = 'people'",
	} {
		if !after(t, conn, statement, shown) {
			t.Errorf("%s: not so: %s", statement, shown)
		}
	}
}

// after runs statements in a transaction, asks for what should then be true, and takes all of it back.
func after(t *testing.T, conn *pgx.Conn, statement, question string) (yes bool) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if err := tx.QueryRow(t.Context(), question).Scan(&yes); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return yes
}

// The previous release's statements fail after what the lint says narrows them.
func TestWhatNarrowsBreaksThePreviousRelease(t *testing.T) {
	const insert = "INSERT INTO people (id, name) VALUES (2, 'x') ON CONFLICT (name) DO NOTHING"
	conn := open(t, testservers.Database(t))
	for _, c := range []struct{ step, before, code string }{
		{"ALTER TABLE people ADD CONSTRAINT k CHECK (name <> 'x') NOT VALID", insert, "23514"},
		{"ALTER TABLE people ADD c text; ALTER TABLE people ADD CONSTRAINT k CHECK (c IS NOT NULL) NOT VALID", insert, "23514"},
		{"ALTER TABLE people ADD c text; CREATE UNIQUE INDEX ON people (c) NULLS NOT DISTINCT", insert, "23505"},
		{"ALTER TABLE people ADD c text DEFAULT ''; CREATE UNIQUE INDEX ON people (c)", insert, "23505"},
		{"ALTER TABLE people ADD c text; CREATE UNIQUE INDEX ON people (c); ALTER TABLE people ADD CONSTRAINT k CHECK (c <> '') NOT VALID", insert, ""},
		{"ALTER TABLE people DROP CONSTRAINT people_name_key; ALTER TABLE people ADD UNIQUE (name) DEFERRABLE", insert, "55000"},
		{"CREATE TABLE n (id int REFERENCES people); INSERT INTO n VALUES (1)", "DELETE FROM people", "23503"},
		{"CREATE TABLE n (id int NOT NULL REFERENCES people ON DELETE SET NULL); INSERT INTO n VALUES (1)", "DELETE FROM people", "23502"},
		{"CREATE TABLE n (name text REFERENCES people (name) ON DELETE CASCADE); INSERT INTO n VALUES ('y')", "UPDATE people SET name = 'z'", "23503"},
		{"CREATE TABLE n (id int PRIMARY KEY REFERENCES people ON DELETE CASCADE); CREATE TABLE m (id int REFERENCES n); INSERT INTO n VALUES (1); INSERT INTO m VALUES (1)",
			"DELETE FROM people", "23503"},
		{"CREATE TABLE n (id int REFERENCES people ON DELETE SET NULL); INSERT INTO n VALUES (1)", "DELETE FROM people", ""},
	} {
		run(t, conn, "BEGIN", "CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE)", "INSERT INTO people VALUES (1, 'y')", c.step)
		if err := exec(t.Context(), conn, c.before); (c.code == "") != (err == nil) || c.code != "" && !isCode(err, c.code) {
			t.Errorf("%s; then %s: %v, want %q", c.step, c.before, err, c.code)
		}
		run(t, conn, "ROLLBACK")
	}
}

// What goose sends together is one transaction, NO TRANSACTION or not: when the second one fails, the first is undone.
func TestWhatGooseSendsTogetherIsOneTransaction(t *testing.T) {
	db, err := sql.Open("pgx", testservers.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for between, want := range map[string]bool{"; ": false, ";\n": true, "\n; -- so\n": true, "; /* so */\n": false} {
		files := fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE n (a int)" + between + "SELECT 1/0;\n")}}
		provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Up(t.Context()); err == nil {
			t.Error("1/0 is taken")
		}
		var stayed bool
		if err := db.QueryRow("SELECT to_regclass('n') IS NOT NULL").Scan(&stayed); err != nil || stayed != want {
			t.Errorf("%q between them: the first one stayed: %v, %v", between, stayed, err)
		}
		if _, err := db.Exec("DROP TABLE IF EXISTS n"); err != nil {
			t.Fatal(err)
		}
	}
}
