package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/migrations"
	"github.com/profile-api/profile-api/repository/postgres"
)

func migrator(t *testing.T, db *postgres.DB) *postgres.Migrator {
	t.Helper()
	m, err := db.Migrator()
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func files(t *testing.T) []string {
	t.Helper()
	entries, err := migrations.FS.ReadDir(".")
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func schema(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(within(t), `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '')
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'
		UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
			AND conrelid <> coalesce(to_regclass('goose_db_version'), 0)
		UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1`)
	must(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return list
}

func TestMigrationsUpDownUp(t *testing.T) {
	url := testservers.Database(t)
	conn := asker(t, url)
	db := openDB(t, postgres.Options{URL: url})
	m := migrator(t, db)
	pending := func(want bool) {
		t.Helper()
		if got, err := m.Pending(within(t)); err != nil || got != want {
			t.Errorf("pending %v, %v; want %v", got, err, want)
		}
	}
	pending(true)
	_, err := postgres.NewProfiles(db).ByClerkID(within(t), "user_1")
	if !errors.Is(err, domain.Unavailable) {
		t.Errorf("before the migrations: %v", err)
	}
	applied, err := m.Up(within(t))
	must(t, err)
	if len(applied) != len(files(t)) || !applied[0].Applied {
		t.Errorf("applied %+v", applied)
	}
	pending(false)
	first := schema(t, conn)
	if again, err := m.Up(within(t)); err != nil || len(again) != 0 {
		t.Errorf("up twice: %v, %v", again, err)
	}
	names := files(t)
	for i, name := range slices.Backward(names) {
		undone, ok, err := m.Down(within(t))
		if err != nil || !ok || undone.Name != name {
			t.Fatalf("down: %+v, %v, %v; want %s", undone, ok, err, name)
		}
		pending(true)
		status, err := m.Status(within(t))
		must(t, err)
		for j, s := range status {
			if s.Name != names[j] || s.Applied != (j < i) || s.Applied == s.AppliedAt.IsZero() {
				t.Errorf("status %+v after undoing %s", s, name)
			}
		}
	}
	if _, ok, err := m.Down(within(t)); ok || err != nil {
		t.Errorf("down at the bottom: %v, %v", ok, err)
	}
	if left := schema(t, conn); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	_, err = m.Up(within(t))
	must(t, err)
	if second := schema(t, conn); !slices.Equal(first, second) {
		t.Errorf("up, down, up gives another schema:\n%s\n---\n%s", strings.Join(first, "\n"), strings.Join(second, "\n"))
	}
	_, err = conn.Exec(within(t), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	must(t, err)
	pending(false) // the next release has migrated already; this one works on
}

func TestMigratingTwiceAtOnce(t *testing.T) {
	url := testservers.Database(t)
	var mu sync.Mutex
	total := 0
	var wg sync.WaitGroup
	for range 3 {
		m := migrator(t, openDB(t, postgres.Options{URL: url}))
		wg.Go(func() {
			applied, err := m.Up(within(t))
			must2(t, err)
			mu.Lock()
			defer mu.Unlock()
			total += len(applied)
		})
	}
	wg.Wait()
	if total != len(files(t)) {
		t.Errorf("%d applied in all, want %d", total, len(files(t)))
	}
}

// Nobody changes the audit trail, not even a superuser's session without ordinary triggers.
func TestTheAuditTrailIsAppendOnly(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	db := openDB(t, postgres.Options{URL: url})
	e := domain.OwnAuditEvent(domain.ActionProfileCreated, domain.NewID(storetest.Now), caller("user_1"), storetest.Hashes, nil, storetest.Now)
	must(t, postgres.NewAuditLog(db).Append(within(t), e))
	for _, role := range []string{"origin", "replica"} {
		_, err := conn.Exec(within(t), "SET session_replication_role = "+role)
		must(t, err)
		for _, statement := range []string{
			"UPDATE audit_events SET action = 'x'", "UPDATE audit_events SET action = 'x' WHERE false", "DELETE FROM audit_events",
			"TRUNCATE audit_events", "TRUNCATE audit_events CASCADE",
			"INSERT INTO audit_events SELECT * FROM audit_events ON CONFLICT (id) DO UPDATE SET action = 'x'",
		} {
			var pg *pgconn.PgError
			if _, err := conn.Exec(within(t), statement); !errors.As(err, &pg) || pg.Code != "42501" {
				t.Errorf("%s: %s: %v", role, statement, err)
			}
		}
	}
	if got := events(t, conn); len(got) != 1 || got[0].Action != domain.ActionProfileCreated {
		t.Errorf("%+v", got)
	}
}

// The second line: what the domain would let through by mistake, the table refuses.
func TestCheckConstraints(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	p := storetest.Profile(storetest.Handle())
	inserted, err := postgres.NewProfiles(db).Insert(within(t), p)
	if err != nil || !inserted {
		t.Fatal(inserted, err)
	}
	for column, value := range map[string]string{
		"handle": "'a b'", "display_name": "''", "bio": "repeat('x', 501)", "location": "repeat('x', 101)", "links": "'{}'", "theme_color": "'red'",
		"locale": "''", "time_zone": "''", "visibility": "'hidden'", "status": "'gone'", "metadata": "'[]'", "app_metadata": "'null'", "version": "0",
		"banner_url": "repeat('x', 2049)",
	} {
		err := db.Conn(within(t)).Exec("UPDATE profiles SET " + column + " = " + value).Error
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23514" || pg.ConstraintName != "profiles_"+column+"_check" {
			t.Errorf("%s: %v", column, err)
		}
	}
	orphan := domain.DefaultPreferences(p.ID, storetest.Now)
	must(t, postgres.NewPreferences(db).Insert(within(t), orphan))
	must(t, db.Conn(within(t)).Exec("DELETE FROM profiles").Error)
	var left int
	must(t, db.Conn(context.Background()).Raw("SELECT count(*) FROM preferences").Scan(&left).Error)
	if left != 0 {
		t.Error("preferences outlive their profile")
	}
}
