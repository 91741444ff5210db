package migrationlint_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/profile-api/profile-api/internal/migrationlint"
)

// Statements that lock, rewrite or break what runs although they look like safe ones, and beside them the safe ones.
func TestStatementsThatLookSafe(t *testing.T) {
	const (
		in10 = " WHERE id IN (SELECT id FROM profiles ORDER BY id LIMIT 10)"
		most = " WHERE id IN (SELECT id FROM profiles LIMIT 6000)"
	)
	for _, c := range []struct {
		head, sql string
		want      migrationlint.Rule // empty: good
	}{
		// VALIDATE beside anything else.
		{inTransaction, "ALTER TABLE profiles ADD COLUMN c int, VALIDATE CONSTRAINT k", migrationlint.ValidateHoldsLocks},
		{apart, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT k", migrationlint.ValidateHoldsLocks},
		{apart, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT k, ALTER bio SET NOT NULL", migrationlint.SetNotNullScans},
		{without, "ALTER TABLE profiles VALIDATE CONSTRAINT k, VALIDATE CONSTRAINT l", migrationlint.ValidateHoldsLocks},
		{apart, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL) NOT VALID; ALTER TABLE profiles VALIDATE CONSTRAINT k; " +
			"ALTER TABLE profiles ALTER bio SET NOT NULL, DROP CONSTRAINT k", migrationlint.SetNotNullScans},
		{apart, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio IS NOT NULL) NOT VALID; ALTER TABLE profiles VALIDATE CONSTRAINT k; " +
			"ALTER TABLE profiles DROP CONSTRAINT k; ALTER TABLE profiles ALTER bio SET NOT NULL", migrationlint.SetNotNullScans},
		{contract, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (NOT valid)", migrationlint.ConstraintScans},

		// A LIMIT that bounds nothing.
		{inTransaction, "UPDATE profiles SET bio = (SELECT name FROM plans ORDER BY id LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "DELETE FROM profiles WHERE id NOT IN (SELECT id FROM profiles LIMIT 10)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = '' WHERE bio IN (SELECT bio FROM profiles LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = ''" + in10 + " OR true", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = '' WHERE true OR id IN (SELECT id FROM profiles LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = '' WHERE id IN (SELECT id FROM settings LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles p SET bio = '' WHERE id IN (SELECT id FROM profiles WHERE bio = p.bio LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE profiles SET bio = '' WHERE id IN (SELECT id FROM profiles q WHERE q.bio = profiles.bio LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "UPDATE preferences SET theme = 'dark' FROM profiles WHERE id IN (SELECT id FROM preferences LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "DELETE FROM preferences USING profiles WHERE id IN (SELECT id FROM preferences LIMIT 1)", migrationlint.UnboundedRows},
		{inTransaction, "DELETE FROM profiles WHERE id IN (SELECT id FROM profiles LIMIT 10 FOR UPDATE SKIP LOCKED)", migrationlint.UnboundedRows},
		{inTransaction, "DELETE FROM profiles WHERE ctid IN (SELECT ctid FROM public.profiles WHERE bio IN (SELECT 'x') LIMIT 10)", ""},
		{inTransaction, "UPDATE profiles SET bio = NULL" + most + "; UPDATE profiles SET bio = NULL" + most, migrationlint.UnboundedRows},
		{without, "UPDATE profiles SET bio = NULL" + most + "; UPDATE profiles SET bio = NULL" + most, ""},
		{inTransaction, "INSERT INTO preferences SELECT id FROM (SELECT id FROM profiles LIMIT 10) x, y", migrationlint.UnboundedRows},
		{inTransaction, "INSERT INTO preferences SELECT id FROM profiles LIMIT 10 ON CONFLICT DO NOTHING", ""},
		{inTransaction, "INSERT INTO preferences (values) TABLE old", migrationlint.UnboundedRows},
		{inTransaction, "INSERT INTO preferences VALUES (1) UNION ALL TABLE old", migrationlint.UnboundedRows},
		{inTransaction, "INSERT INTO preferences (id) VALUES (1), (2)", ""},
	} {
		judge(t, c.head, strings.ReplaceAll(c.sql, "; ", ";\n"), c.want)
	}
}

// Tables that look new, and locks that are held for longer than it looks.
func TestTablesAndLocksThatLookSafe(t *testing.T) {
	const (
		made = "CREATE TABLE n (id int, b uuid); "
		refs = "CREATE TABLE n (id uuid REFERENCES profiles ON DELETE CASCADE); "
		in10 = " WHERE id IN (SELECT id FROM profiles ORDER BY id LIMIT 10)"
	)
	for _, c := range []struct {
		head, sql string
		want      migrationlint.Rule // empty: good
	}{
		// A table that only seems to be made here, or that ties one in use to it.
		{inTransaction, "CREATE TABLE IF NOT EXISTS profiles (id int); CREATE INDEX i ON profiles (id)", migrationlint.IndexLocks},
		{inTransaction, "CREATE TABLE IF NOT EXISTS profiles (id int); UPDATE profiles SET id = 1", migrationlint.UnboundedRows},
		{inTransaction, "CREATE TABLE IF NOT EXISTS profiles (id int); ALTER TABLE profiles ALTER id TYPE text", migrationlint.RewritesTable},
		{"-- +goose Up\n", made + "ALTER TABLE n ADD FOREIGN KEY (b) REFERENCES profiles ON DELETE CASCADE", migrationlint.LockTimeout},
		{"-- +goose Up\n", "CREATE TABLE n (id int); CREATE TABLE m (a uuid REFERENCES profiles ON DELETE CASCADE, b int REFERENCES n)", migrationlint.LockTimeout},
		{inTransaction, made + "ALTER TABLE n ADD FOREIGN KEY (b) REFERENCES profiles ON DELETE CASCADE", ""},
		{inTransaction, made + "ALTER TABLE n ATTACH PARTITION profiles DEFAULT", migrationlint.Unknown},
		{inTransaction, made + "ALTER TABLE n INHERIT profiles", migrationlint.Unknown},
		{inTransaction, "CREATE TABLE n (id uuid REFERENCES profiles)", migrationlint.Narrows},
		{inTransaction, "CREATE TABLE n (id uuid NOT NULL REFERENCES profiles ON DELETE SET NULL)", migrationlint.Narrows},
		{inTransaction, "CREATE TABLE n (id uuid REFERENCES profiles ON DELETE SET NULL)", ""},
		{inTransaction, "CREATE TABLE n (id uuid, PRIMARY KEY (id), CONSTRAINT k FOREIGN KEY (id) REFERENCES profiles ON DELETE SET NULL)", migrationlint.Narrows},
		{inTransaction, made + "ALTER TABLE n ALTER COLUMN b SET NOT NULL; ALTER TABLE n ADD FOREIGN KEY (b) REFERENCES profiles ON DELETE SET NULL", migrationlint.Narrows},
		{inTransaction, "CREATE TABLE n (id uuid REFERENCES profiles REFERENCES plans ON DELETE CASCADE)", migrationlint.Narrows},
		{inTransaction, "CREATE TABLE n (id text REFERENCES profiles (clerk_user_id) ON DELETE CASCADE)", migrationlint.Narrows},
		{inTransaction, "CREATE TABLE n (id text REFERENCES profiles (clerk_user_id) ON DELETE CASCADE ON UPDATE CASCADE)", ""},
		{inTransaction, refs + "CREATE TABLE m (id uuid REFERENCES n)", migrationlint.Narrows},
		{inTransaction, refs + "CREATE TABLE m (id uuid REFERENCES n ON DELETE CASCADE); CREATE TABLE o (id uuid REFERENCES m)", migrationlint.Narrows},
		{inTransaction, made + "CREATE TABLE m (id uuid REFERENCES n)", ""},
		{inTransaction, `CREATE TABLE "s.profiles" (a int); CREATE INDEX i ON s.profiles (a)`, migrationlint.IndexLocks},
		{inTransaction, made + "INSERT INTO n SELECT 1 FROM profiles FOR UPDATE", migrationlint.UnboundedRows},
		{without, refs + "INSERT INTO n SELECT id FROM profiles", migrationlint.UnboundedRows},
		{inTransaction, made + "INSERT INTO n SELECT 1, id FROM profiles", ""},
		{without, made + "INSERT INTO n SELECT 1, id FROM profiles; ALTER TABLE n ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES profiles ON DELETE CASCADE", migrationlint.ConstraintScans},

		// A lock that is held while something takes its time.
		{inTransaction, "ALTER TABLE profiles ADD c text; UPDATE profiles SET c = ''" + in10, migrationlint.HoldsLocks},
		{inTransaction, "UPDATE profiles SET bio = ''" + in10 + "; ALTER TABLE profiles ADD c text", migrationlint.HoldsLocks},
		{inTransaction, "ALTER TABLE profiles ADD c text; " + made + "INSERT INTO n SELECT 1 FROM profiles", migrationlint.HoldsLocks},
		{inTransaction, refs + "INSERT INTO n SELECT id FROM profiles LIMIT 10", migrationlint.HoldsLocks},
		{inTransaction, refs + "UPDATE n SET id = (SELECT min(id) FROM profiles)", migrationlint.HoldsLocks},
		{inTransaction, "ALTER TABLE profiles ADD c text; ANALYZE", migrationlint.HoldsLocks},
		{inTransaction, "ALTER TABLE profiles ADD c text; ALTER TABLE preferences ADD c text", migrationlint.HoldsLocks},
		{contract, "DROP TABLE preferences, profiles", migrationlint.HoldsLocks},
		{inTransaction, "ALTER TABLE profiles ADD c text; ALTER TABLE profiles ADD d text; " + made + "INSERT INTO n VALUES (1)", ""},
		{without, "ALTER TABLE profiles ADD c text; ALTER TABLE preferences ADD c text; ANALYZE profiles", ""},

		// The wait for a lock.
		{inTransaction, "RESET lock_timeout; ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{"-- +goose Up\nSET LOCAL lock_timeout = '100us';\n", "CREATE TABLE n (a int)", migrationlint.LockTimeout},
		{"-- +goose Up\nSET LOCAL lock_timeout = '3'\n'0min';\n", "CREATE TABLE n (a int)", migrationlint.LockTimeout},
		{strings.Replace(without, "3s", "5min", 1), "DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY i ON profiles (bio); ALTER TABLE profiles VALIDATE CONSTRAINT k", ""},
		{strings.Replace(without, "3s", "5min", 1), "ALTER TABLE profiles ADD c int", migrationlint.LockTimeout},
		{strings.Replace(without, "3s", "6min", 1), "ALTER TABLE profiles VALIDATE CONSTRAINT k", migrationlint.LockTimeout},
	} {
		judge(t, c.head, strings.ReplaceAll(c.sql, "; ", ";\n"), c.want)
	}
}

// Columns that look constant, names that look new, and what the previous release may no longer write.
func TestColumnsAndConditionsThatLookSafe(t *testing.T) {
	const (
		build = "DROP INDEX CONCURRENTLY IF EXISTS i; "
		check = "; ALTER TABLE profiles ADD CONSTRAINT k CHECK "
		valid = " NOT VALID; ALTER TABLE profiles VALIDATE CONSTRAINT k"
	)
	for _, c := range []struct {
		head, sql string
		want      migrationlint.Rule // empty: good
	}{
		{inTransaction, "ALTER TABLE profiles ADD c int NOT NULL DEFAULT NULL", migrationlint.NotNullWithoutDefault},
		{inTransaction, "ALTER TABLE profiles ADD c int DEFAULT NULL::int NOT NULL", migrationlint.NotNullWithoutDefault},
		{inTransaction, `ALTER TABLE profiles ADD c "serial"`, migrationlint.RewritesTable},
		{inTransaction, "ALTER TABLE profiles ADD c short_text", migrationlint.Unknown},
		{inTransaction, `ALTER TABLE profiles ADD c "integer"`, migrationlint.Unknown},
		{inTransaction, "ALTER TABLE profiles ADD c text DEFAULT 'x'::short_text", migrationlint.VolatileDefault},
		{inTransaction, "CREATE TYPE mood AS ENUM ('a'); ALTER TABLE profiles ADD c mood DEFAULT 'a'::mood", ""},
		{inTransaction, "ALTER TABLE profiles ADD c numeric(10,2)[] DEFAULT '{}', ADD d timestamp (3) with time zone NOT NULL DEFAULT now(), ADD e double precision", ""},
		{inTransaction, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM profiles RETURNING 1'; INSERT INTO n VALUES (f())", migrationlint.Hidden},

		{apart, "DROP OWNED BY CURRENT_USER", migrationlint.Unknown},
		{apart, "DROP SCHEMA public", migrationlint.Unknown},
		{without, build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles (bio)", migrationlint.Narrows},
		{apart, build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles (bio)", ""},
		{without, "ALTER TABLE profiles ADD c text; " + build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles (visibility, c) WHERE c <> ''", ""},
		{without, "ALTER TABLE profiles ADD c text DEFAULT ''; " + build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles (c)", migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text; " + build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles (c) NULLS NOT DISTINCT", migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text; " + build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles ((c IS NULL))", migrationlint.Narrows},
		{inTransaction, "ALTER TABLE profiles ADD CONSTRAINT k UNIQUE USING INDEX i DEFERRABLE", migrationlint.Unknown},
		{apart, "ALTER TABLE profiles ALTER bio SET NOT NULL", migrationlint.SetNotNullScans},
		{without, "ALTER TABLE profiles ADD CONSTRAINT k CHECK (bio <> '')" + valid, migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text" + check + "(char_length(c) <= 40 AND c IN ('a', 'b'))" + valid, ""},
		{without, "ALTER TABLE profiles ADD c text DEFAULT 'a'" + check + "(c IN ('a', 'b'))" + valid, ""},
		{without, "ALTER TABLE profiles ADD c text DEFAULT ''" + check + "(c <> '') NOT VALID", migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text" + check + "(c IS NOT NULL)" + valid, migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text" + check + "(coalesce(c, '') <> '')" + valid, migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text" + check + "(c(c))" + valid, migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text; " + build + "CREATE UNIQUE INDEX CONCURRENTLY i ON profiles (c(bio))", migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c uuid; ALTER TABLE profiles ADD CONSTRAINT k FOREIGN KEY (c, bio) REFERENCES plans MATCH FULL ON DELETE CASCADE" + valid, migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c text" + check + "(c <> bio)" + valid, migrationlint.Narrows},
		{without, "ALTER TABLE profiles ADD c uuid; ALTER TABLE profiles ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES plans ON DELETE SET NULL" + valid, ""},
		{without, "ALTER TABLE profiles ADD c uuid; ALTER TABLE profiles ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES plans" + valid, migrationlint.Narrows},
		{inTransaction, "ALTER TABLE profiles ADD c text, ADD CONSTRAINT k CHECK (c <> '') NOT VALID", ""},
	} {
		judge(t, c.head, strings.ReplaceAll(c.sql, "; ", ";\n"), c.want)
	}
}

// How goose cuts a file and PostgreSQL a statement is not always how it looks.
func TestFilesThatReadOtherwise(t *testing.T) {
	judge(t, inTransaction, "CREATE TABLE n (a int) -- x\r; DROP TABLE profiles", migrationlint.Contract)
	const two = "ALTER TABLE profiles ADD c text; ALTER TABLE preferences ADD c text"
	judge(t, without, two, migrationlint.SentTogether)
	judge(t, without, "-- +goose StatementBegin\n"+strings.ReplaceAll(two, "; ", ";\n")+";\n-- +goose StatementEnd\nANALYZE n", migrationlint.SentTogether)
	judge(t, without, strings.ReplaceAll(two, "; ", "; /* so */\n"), migrationlint.SentTogether)
	judge(t, without, strings.ReplaceAll(two, "; ", "\n; -- so\n"), "")
	judge(t, inTransaction, "CREATE TABLE WEBHOO\u212a_DELIVERIES (a int); CREATE INDEX i ON webhook_deliveries (a)", migrationlint.IndexLocks)
	judge(t, inTransaction, "CREATE TABLE n\u00a0 (a int); CREATE INDEX i ON n (a)", migrationlint.IndexLocks)
	for _, src := range []string{
		"-- +gooseNO TRANSACTION\n-- +goose Up\n", "-- NO TRANSACTION+goose\n-- +goose Up\n", "-- +goose Up\nCREATE TABLE U&\"pr\\006ffiles\" (a int);\n",
	} {
		if _, err := migrationlint.Source(src, nil); err == nil {
			t.Errorf("%q is taken", src)
		}
	}
}

// What is dropped and made anew is the remains of a failed attempt, unless an earlier file made it.
func TestWhatAnEarlierFileMadeIsNotMadeAnew(t *testing.T) {
	first := "-- +goose Up\nCREATE TABLE people (id int PRIMARY KEY, name text CONSTRAINT people_name_check CHECK (name <> ''));\n" +
		"CREATE UNIQUE INDEX people_name_key ON people (name);\n"
	const again = "DROP CONSTRAINT IF EXISTS people_name_check, ADD CONSTRAINT people_name_check CHECK (true) NOT VALID"
	for sql, want := range map[string]migrationlint.Rule{
		without + "DROP INDEX CONCURRENTLY IF EXISTS people_name_key;\nCREATE INDEX CONCURRENTLY people_name_key ON people (id);\n":                                      migrationlint.Contract,
		without + "DROP INDEX CONCURRENTLY people_other;\nCREATE INDEX CONCURRENTLY people_other ON people (id);\n":                                                      migrationlint.Contract,
		without + "DROP INDEX CONCURRENTLY IF EXISTS people_new_idx;\nCREATE INDEX CONCURRENTLY people_new_idx ON people (id);\n":                                        "",
		inTransaction + "ALTER TABLE people " + again + ";\n":                                                                                                            migrationlint.Contract,
		contract + "ALTER TABLE people " + again + ";\n":                                                                                                                 "",
		inTransaction + "ALTER TABLE people DROP CONSTRAINT other, ADD CONSTRAINT other UNIQUE USING INDEX people_id;\n":                                                 migrationlint.Contract,
		inTransaction + "ALTER TABLE people DROP CONSTRAINT IF EXISTS people_pkey, ADD CONSTRAINT people_pkey UNIQUE USING INDEX people_id;\n":                           migrationlint.Contract,
		without + "ALTER TABLE people ADD COLUMN IF NOT EXISTS name text;\nDROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE UNIQUE INDEX CONCURRENTLY i ON people (name);\n": migrationlint.Narrows,
	} {
		dir := fstest.MapFS{"00001_a.sql": {Data: []byte(first)}, "00002_b.sql": {Data: []byte(sql)}}
		found, err := migrationlint.Dir(dir, []string{released}, nil)
		if err != nil || (want == "") != (len(found) == 0) || want != "" && found[0].Rule != want {
			t.Errorf("%s%v, %v, want %s", sql, found, err, want.Name())
		}
	}
}
