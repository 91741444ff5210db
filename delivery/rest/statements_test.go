package rest

import (
	"fmt"
	"strings"
	"testing"
)

// What each route costs the database, whatever the number of rows. A begin and
// a commit count; a look-up per row would show at once.
func TestStatementsPerRoute(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	w.me(t, boss)
	owner, id := w.named(t, "count_0")
	handles, ids := []string{"count_0"}, []string{id}
	for i := 1; i < 20; i++ {
		handle := fmt.Sprintf("count_%d", i)
		_, id := w.named(t, handle)
		handles, ids = append(handles, handle), append(ids, id)
	}
	json := mediaType("application/json")
	cases := []struct {
		method, path, body string
		as                 *person
		want               int
	}{
		{"GET", "/health/live", "", nil, 0},
		{"GET", "/problems/timeout", "", nil, 0},
		{"GET", "/v1/profiles/me", "", nil, 0},       // refused before anything is asked
		{"GET", "/v1/admin/profiles", "", &owner, 1}, // erased and suspended people hear that first
		{"GET", "/v1/profiles/me", "", &owner, 1},
		{"GET", "/v1/profiles/me/preferences", "", &owner, 2},
		{"GET", "/v1/profiles/me/activity?limit=1", "", &owner, 2},
		{"GET", "/v1/profiles/me/activity?limit=200", "", &owner, 2},
		{"GET", "/v1/profiles/me/export", "", &owner, 6},
		{"GET", "/v1/profiles/count_0", "", nil, 1},
		{"GET", "/v1/profiles/count_0", "", &owner, 2},
		{"GET", "/v1/profiles?handles=count_0", "", nil, 1},
		{"GET", "/v1/profiles?handles=" + strings.Join(handles, ","), "", nil, 1},
		{"GET", "/v1/profiles?ids=" + strings.Join(ids, ","), "", nil, 1},
		{"GET", "/v1/profiles?ids=" + strings.Join(ids, ","), "", &owner, 2},
		{"GET", "/v1/profiles?handles=a,b", "", nil, 0}, // none of them can be a handle
		{"GET", "/v1/handles/count_0", "", nil, 1},
		{"GET", "/v1/handles/free_one", "", nil, 2},
		{"GET", "/v1/handles/admin", "", nil, 0},
		{"GET", "/v1/admin/profiles?limit=1", "", &boss, 2},
		{"GET", "/v1/admin/profiles?limit=200&q=count", "", &boss, 2},
		{"GET", "/v1/admin/profiles?limit=20&q=count&sort=handle", "", &boss, 2},
		{"GET", "/v1/admin/profiles/" + id, "", &boss, 2},
		{"GET", "/v1/admin/audit-events?limit=200", "", &boss, 2},
		{"PATCH", "/v1/profiles/me", `{}`, &owner, 4},                           // access; begin, select for update, commit
		{"PATCH", "/v1/profiles/me", `{"bio":"x","location":"y"}`, &owner, 6},   // and update, audit event
		{"PATCH", "/v1/profiles/me", `{"handle":"another"}`, &owner, 10},        // and two locks, is it kept, keep the old one
		{"PATCH", "/v1/profiles/me", `{"bio":1}`, &owner, 1},                    // no transaction for what is refused
		{"PATCH", "/v1/profiles/me/preferences", `{"theme":"dark"}`, &owner, 7}, // the profile's row is the lock
		{"PATCH", "/v1/admin/profiles/" + id, `{"bio":"z"}`, &boss, 6},
		{"POST", "/v1/admin/profiles/" + id + "/suspend", `{"reason":"x"}`, &boss, 6},
		{"POST", "/v1/admin/profiles/" + id + "/reactivate", "", &boss, 6},
		{"POST", "/v1/admin/profiles/" + id + "/reactivate", "", &boss, 4},
	}
	for _, c := range cases {
		var changes []with
		if c.as != nil {
			changes = append(changes, c.as.is())
		}
		if c.method == "POST" {
			changes = append(changes, json)
		}
		w.sqlSeen.taken()
		w.do(t, c.method, c.path, c.body, changes...)
		if got := w.sqlSeen.taken(); len(got) != c.want {
			t.Errorf("%s %.60s %s: %d statements, want %d:\n  %s", c.method, c.path, c.body, len(got), c.want, strings.Join(got, "\n  "))
		}
	}
}

// Reads name their columns: one that the next release adds must not break this one.
func TestReadsNameTheirColumns(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	_, id := w.named(t, "count_0")
	w.sqlSeen.taken()
	for _, path := range []string{
		"/v1/profiles/me", "/v1/profiles/me/preferences", "/v1/profiles/me/activity", "/v1/profiles/me/export", "/v1/profiles/count_0",
		"/v1/profiles?handles=count_0", "/v1/handles/count_0", "/v1/admin/profiles", "/v1/admin/profiles/" + id, "/v1/admin/audit-events",
	} {
		w.do(t, "GET", path, nil, boss.is()).want(t, 200)
	}
	w.patch(t, boss, `{"bio":"x"}`).want(t, 200)
	w.do(t, "PATCH", preferencesPath, `{"theme":"dark"}`, boss.is()).want(t, 200)
	statements := w.sqlSeen.taken()
	if len(statements) < 15 {
		t.Errorf("only %d statements were seen", len(statements))
	}
	for _, s := range statements {
		if strings.Contains(s, "*") && !strings.Contains(s, "count(*)") {
			t.Errorf("%s", s)
		}
	}
	// And in fact: columns of tomorrow do no harm today.
	for _, table := range []string{"profiles", "preferences", "audit_events", "handle_reservations"} {
		w.sql(t, "ALTER TABLE "+table+" ADD COLUMN of_the_next_release text DEFAULT 'x'")
	}
	for i := range 2 {
		w.patch(t, boss, fmt.Sprintf(`{"bio":"y%d"}`, i)).want(t, 200)
		w.me(t, w.person())
		for _, path := range []string{"/v1/profiles/me/export", "/v1/profiles/count_0", "/v1/profiles?handles=count_0", "/v1/admin/profiles", "/v1/admin/audit-events"} {
			if got := w.do(t, "GET", path, nil, boss.is()).want(t, 200); strings.Contains(got.body, "of_the_next_release") {
				t.Errorf("%s publishes a column by itself", path)
			}
		}
	}
}
