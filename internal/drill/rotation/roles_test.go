package rotation_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/profile-api/profile-api/deploy/database"
	"github.com/profile-api/profile-api/internal/drill"
)

// Everything that the program does, it can do under the rights of
// deploy/database; nothing that is denied to it shows up in a log.
func TestTheProgramNeedsNoMoreThanItsRole(t *testing.T) {
	s := stand(t)
	for n := range 40 {
		if err := s.do(t.Context(), n); err != nil {
			t.Errorf("call %d: %v", n, err)
		}
	}
	// An erasure's job, the deliveries' and those that run by themselves.
	eventually(t, "the erased person is gone at Clerk", func() bool { _, found := s.clerk.Person(s.erased); return !found })
	eventually(t, "all deliveries are applied", func() bool {
		return count(t, s.owner, "SELECT count(*) FROM webhook_deliveries WHERE state NOT IN ('applied', 'ignored')") == 0
	})
	who := s.people[0]
	routes := []struct{ method, path, body string }{
		{http.MethodGet, "/v1/profiles/me/export", ""}, {http.MethodGet, "/v1/profiles/me/activity", ""},
		{http.MethodGet, "/v1/profiles/me/preferences", ""}, {http.MethodPatch, "/v1/profiles/me/preferences", `{"theme":"dark"}`},
		{http.MethodPatch, "/v1/profiles/me", `{"handle":"another_name"}`}, {http.MethodGet, "/v1/handles/free_name", ""},
		{http.MethodGet, "/v1/profiles?handles=another_name", ""},
	}
	for _, r := range routes {
		if err := s.call(t.Context(), r.method, r.path, s.token(who), r.body, nil, 200, nil); err != nil {
			t.Errorf("%s: %v", r.path, err)
		}
	}
	if err := s.call(t.Context(), http.MethodGet, "/v1/admin/profiles?q=another", s.admin(), "", nil, 200, nil); err != nil {
		t.Error(err)
	}
	for _, command := range [][]string{{"webhooks", "list"}, {"reconcile"}, {"migrate", "status"}} {
		if out, err := drill.Command(t.Context(), s.fleet.Binary, s.settings, command...); err != nil {
			t.Errorf("%v: %v: %s", command, err, out)
		}
	}
	if out, err := drill.Command(t.Context(), s.fleet.Binary, s.settings, "migrate", "down"); err == nil {
		t.Errorf("the program's role goes back a migration: %s", out)
	}
	for _, path := range s.fleet.LogPaths() {
		text, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(text), "permission denied") || strings.Contains(string(text), "42501") {
			t.Errorf("something was denied: %v, %s", err, text)
		}
	}
}

// What a burglar in the program would like to do.
func TestTheProgramsRoleIsDenied(t *testing.T) {
	s := stand(t)
	execute(t, s.owner, database.Roles) // once more, after the migrations: the same rights
	conn, err := pgx.Connect(t.Context(), s.settings["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range []string{
		"ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only",
		"DROP TRIGGER audit_events_append_only ON audit_events",
		"SET session_replication_role = replica",
		"UPDATE audit_events SET request_id = ''", "DELETE FROM audit_events", "TRUNCATE audit_events",
		"DROP TABLE audit_events", "ALTER TABLE profiles ADD COLUMN more text", "DROP TABLE profiles", "TRUNCATE profiles",
		"CREATE TABLE mine (a int)", "CREATE TEMPORARY TABLE mine (a int)", "CREATE SCHEMA mine",
		"CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE ROLE mine", "CREATE DATABASE mine",
		"CREATE OR REPLACE FUNCTION audit_events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)", "DELETE FROM goose_db_version",
		"SELECT pg_read_file('/etc/passwd')", "COPY profiles TO '/tmp/profiles'", "COPY profiles TO PROGRAM 'true'",
		"SELECT rolpassword FROM pg_authid", "GRANT profile_api_app TO pg_monitor", "ALTER ROLE profile_api_b SUPERUSER", "SET ROLE postgres",
	} {
		_, err := conn.Exec(t.Context(), sql)
		var denied *pgconn.PgError
		if !errors.As(err, &denied) || denied.Code != "42501" {
			t.Errorf("%s: %v, want 42501 (insufficient privilege)", sql, err)
		}
	}
	if n := count(t, s.settings["DATABASE_URL"], "SELECT count(*) FROM audit_events"); n == 0 {
		t.Error("the trail cannot be read, or is empty: the denials above prove nothing")
	}
}

func count(t *testing.T, address, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited a minute in vain: %s", what)
}
