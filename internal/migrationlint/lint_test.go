package migrationlint_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/profile-api/profile-api/internal/migrationlint"
)

const released = "82a993d78ff47e61dad2a6c8378da1fa98df78b9"

// Ours pass, but for what the baseline excuses.
func TestTheMigrationsOfThisTree(t *testing.T) {
	list, err := os.ReadFile("../../deploy/releases/list")
	if err != nil {
		t.Fatal(err)
	}
	found, err := migrationlint.Dir(os.DirFS("../../migrations"), migrationlint.Releases(string(list)), migrationlint.Baseline())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

const (
	inTransaction = "-- +goose Up\nSET LOCAL lock_timeout = '3s';\n"
	without       = "-- +goose NO TRANSACTION\n-- +goose Up\nSET lock_timeout = '3s';\n"
	contract      = "-- contract: since " + released + "\n" + inTransaction
	apart         = "-- contract: since " + released + "\n" + without
)

func TestStatements(t *testing.T) {
	for _, c := range []struct {
		head, sql string
		want      migrationlint.Rule // empty: good
	}{
		{inTransaction, "CREATE INDEX i ON profiles (bio)", migrationlint.IndexLocks},
		{inTransaction, "CREATE UNIQUE INDEX ON ONLY public.profiles (bio)", migrationlint.IndexLocks},
		{inTransaction, "CREATE INDEX CONCURRENTLY i ON profiles (bio)", migrationlint.ConcurrentlyInTransaction},
		{inTransaction, "DROP INDEX CONCURRENTLY i; SELECT", migrationlint.ConcurrentlyInTransaction},
		{without, "CREATE INDEX CONCURRENTLY i ON profiles (bio)", migrationlint.IndexStaysInvalid},
		{without, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON profiles (bio)", migrationlint.IndexStaysInvalid},
		{without, "DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY i ON profiles (bio)", ""},
		{without, "DROP INDEX i; CREATE INDEX CONCURRENTLY i ON profiles (bio)", migrationlint.IndexLocks},
		{without, "DROP INDEX CONCURRENTLY IF EXISTS i", migrationlint.Contract},
		{inTransaction, "CREATE TABLE n (a int); CREATE INDEX i ON public.n (a); ALTER TABLE n ALTER a TYPE text; UPDATE n SET a = 1", ""},
		{inTransaction, "CREATE TABLE n AS SELECT * FROM profiles", migrationlint.Unknown},
		{inTransaction, `CREATE TABLE "profiles; " (a int); CREATE INDEX i ON profiles (a)`, migrationlint.IndexLocks},

		{inTransaction, "ALTER TABLE profiles ADD COLUMN c int, ADD d text DEFAULT 'it''s', ADD e boolean NOT NULL DEFAULT false", ""},
		{inTransaction, "ALTER TABLE profiles ADD c jsonb NOT NULL DEFAULT '{}'::jsonb, ADD d int DEFAULT -1, ADD e timestamptz DEFAULT now() NOT NULL", ""},
		{inTransaction, "ALTER TABLE profiles ADD c int, ADD d int NOT NULL", migrationlint.NotNullWithoutDefault},
		{inTransaction, "ALTER TABLE profiles ADD c uuid DEFAULT gen_random_uuid()", migrationlint.VolatileDefault},
		{inTransaction, "ALTER TABLE profiles ADD c timestamptz DEFAULT clock_timestamp()", migrationlint.VolatileDefault},
		{inTransaction, "ALTER TABLE profiles ADD c float DEFAULT 1 + random()", migrationlint.VolatileDefault},
		{inTransaction, "ALTER TABLE profiles ADD c bigserial", migrationlint.RewritesTable},
		{inTransaction, "ALTER TABLE profiles ADD c text GENERATED ALWAYS AS (lower(bio)) STORED", migrationlint.RewritesTable},
		{inTransaction, "ALTER TABLE profiles ADD c int UNIQUE", migrationlint.IndexLocks},
		{inTransaction, "ALTER TABLE profiles ADD c int CHECK (c > 0)", migrationlint.ConstraintScans},
		{inTransaction, "ALTER TABLE profiles ADD c uuid REFERENCES profiles (id)", migrationlint.ConstraintScans},

		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio <> 'not valid')", migrationlint.ConstraintScans},
		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES preferences", migrationlint.ConstraintScans},
		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES preferences ON DELETE CASCADE NOT VALID", migrationlint.Narrows},
		{contract, "ALTER TABLE profiles ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES preferences NOT VALID", ""},
		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k UNIQUE (bio)", migrationlint.IndexLocks},
		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k UNIQUE USING INDEX i", ""},
		{inTransaction, "ALTER TABLE profiles ADD CHECK (bio <> '') NOT VALID", migrationlint.Unknown},
		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio <> '') NOT VALID; ALTER TABLE profiles VALIDATE CONSTRAINT k", migrationlint.ValidateHoldsLocks},
		{inTransaction, "ALTER TABLE profiles VALIDATE CONSTRAINT k", ""},
		{inTransaction, "ALTER TABLE profiles ALTER bio SET NOT NULL", migrationlint.SetNotNullScans},
		{without, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL) NOT VALID; ALTER TABLE profiles ALTER bio SET NOT NULL", migrationlint.SetNotNullScans},
		{apart, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL) NOT VALID; ALTER TABLE profiles VALIDATE CONSTRAINT k; " +
			"ALTER TABLE profiles ALTER COLUMN bio SET NOT NULL", ""},
		{without, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL OR true) NOT VALID; ALTER TABLE profiles VALIDATE CONSTRAINT k; " +
			"ALTER TABLE profiles ALTER bio SET NOT NULL", migrationlint.SetNotNullScans},

		{inTransaction, "ALTER TABLE profiles ALTER COLUMN bio TYPE varchar(9)", migrationlint.RewritesTable},
		{inTransaction, "ALTER TABLE profiles ALTER bio SET DATA TYPE text", migrationlint.RewritesTable},
		{inTransaction, "ALTER TABLE profiles RENAME bio TO b", migrationlint.Rename},
		{contract, "ALTER TABLE profiles RENAME TO p", migrationlint.Rename},
		{inTransaction, "ALTER TABLE profiles DROP COLUMN bio", migrationlint.Contract},
		{inTransaction, "ALTER TABLE profiles ADD c int, DROP bio", migrationlint.Contract},
		{inTransaction, "DROP TABLE preferences", migrationlint.Contract},
		{inTransaction, "ALTER TABLE profiles ALTER bio DROP DEFAULT", migrationlint.Contract},
		{contract, "ALTER TABLE profiles DROP COLUMN bio", ""},
		{contract, "DROP TABLE IF EXISTS preferences", ""},
		{apart, "ALTER TABLE profiles DROP COLUMN bio; DROP TABLE IF EXISTS preferences", ""},
		{contract, "DROP TABLE preferences CASCADE", migrationlint.Hidden},
		{contract, "DROP TABLE preferences; ALTER TABLE profiles ADD c int", migrationlint.Mixed},
		{strings.Replace(contract, "82a", "92a", 1), "DROP TABLE preferences", migrationlint.NotReleased},

		{inTransaction, "LOCK TABLE profiles", migrationlint.LocksTable},
		{inTransaction, "CLUSTER profiles", migrationlint.LocksTable},
		{without, "VACUUM FULL profiles", migrationlint.LocksTable},
		{without, "REINDEX TABLE profiles", migrationlint.LocksTable},
		{inTransaction, "UPDATE profiles SET bio = 'limit 5'", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = NULL WHERE id IN (SELECT id FROM profiles LIMIT 100000)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = NULL WHERE id IN (SELECT id FROM profiles WHERE bio = '' LIMIT 1000)", ""},
		{inTransaction, "DELETE FROM profiles WHERE bio = ''", migrationlint.UnboundedRows},
		{inTransaction, "INSERT INTO preferences SELECT * FROM preferences", migrationlint.UnboundedRows},
		{inTransaction, "WITH x AS (DELETE FROM profiles RETURNING 1) SELECT 1", migrationlint.Unknown},
		{inTransaction, "DO $$ BEGIN DROP TABLE profiles; END $$", migrationlint.Hidden},
		{inTransaction, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $a$ SELECT 1; DROP TABLE $b$ profiles $a$", ""},
		{inTransaction, "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", migrationlint.Unknown},
		{inTransaction, "SET search_path = 'x'", migrationlint.Unknown},

		{"-- +goose Up\n", "ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{"-- +goose Up\nSET lock_timeout = '3s';\n", "ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{"-- +goose NO TRANSACTION\n-- +goose Up\nSET LOCAL lock_timeout = '3s';\n", "ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{"-- +goose Up\nSET LOCAL lock_timeout = '1min';\n", "ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{"-- +goose Up\nSET LOCAL lock_timeout = 0;\n", "ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{"-- +goose Up\n", "CREATE TABLE n (a int)", ""},
		{"-- +goose Up\n/* /* */ ; LOCK TABLE x; */ -- ; LOCK TABLE y;\n", "CREATE TABLE n (a int)", ""},
	} {
		judge(t, c.head, strings.ReplaceAll(c.sql, "; ", ";\n"), c.want)
	}
}

// judge has the lint judge a migration of these statements, and wants that rule to refuse it, or none.
func judge(t *testing.T, head, sql string, want migrationlint.Rule) {
	t.Helper()
	found, err := migrationlint.Source(head+sql+";\n-- +goose Down\nDROP TABLE profiles;\n", []string{released})
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	switch {
	case want == "" && len(found) > 0:
		t.Errorf("%s%s: refused: %v", head, sql, found)
	case want != "" && !slices.ContainsFunc(found, func(f migrationlint.Finding) bool { return f.Rule == want }):
		t.Errorf("%s%s: %v, want %s", head, sql, found, want.Name())
	}
}

func TestFindingsNameTheLineAndUnreadableFilesAreFaults(t *testing.T) {
	found, err := migrationlint.Source(inTransaction+"\nCREATE TABLE n (a int);\n\nDROP TABLE\nx;\n", nil)
	if err != nil || len(found) != 1 || found[0].Line != 6 {
		t.Errorf("%v, %v", found, err)
	}
	for _, src := range []string{
		"CREATE TABLE n (a int);", "-- +goose Up\nSELECT 'x;\n", "-- +goose Up\nSELECT $a$ x $b$;", "-- +goose Up\n/* x", "-- +goose Up\n-- +goose Sideways\n",
		"-- contract: soon\n-- +goose Up\n", "-- +goose Up\n-- +goose Up\n",
	} {
		if _, err := migrationlint.Source(src, nil); err == nil {
			t.Errorf("%q is taken", src)
		}
	}
}

// What the baseline excuses must occur, and a migration in Go is refused.
func TestTheBaselineExcusesWhatIsThere(t *testing.T) {
	dir := fstest.MapFS{"00001_a.go": {Data: []byte("package x")}, "migrations.go": {}, "00002_b.sql": {Data: []byte("-- +goose Up\nDROP TABLE x;")}}
	found, err := migrationlint.Dir(dir, nil, map[string][]migrationlint.Rule{"00002_b.sql": {migrationlint.Contract}})
	if err != nil || len(found) != 2 || found[0].Rule != migrationlint.NotSQL || found[1].Rule != migrationlint.LockTimeout {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := migrationlint.Dir(dir, nil, map[string][]migrationlint.Rule{"00002_b.sql": {migrationlint.Rename}}); err == nil {
		t.Error("an entry that excuses nothing is taken")
	}
}
