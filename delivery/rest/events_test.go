package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// sinks lets changes leave events for these.
func (w *world) sinks(t *testing.T, keys ...string) {
	t.Helper()
	stores := storesOver(w.db, w.clock)
	stores.Events = postgres.NewEventOutbox(w.db, keys...)
	w.deps.Profiles, w.deps.Preferences, w.deps.Admin = usecase.NewProfiles(stores), usecase.NewPreferences(stores), usecase.NewAdmin(stores)
	w.deps.Erasure = w.erasure(t, stores)
	w.api = New(w.deps)
}

// outbox lists the payloads for a sink about a profile, in order.
func (w *world) outbox(t *testing.T, sink, profileID string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), "SELECT payload FROM event_outbox WHERE sink = $1 AND profile_id = $2 ORDER BY seq", sink, profileID)
	must(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return list
}

// Every change of a profile leaves one event for each sink: the id of the audit
// event, the version, and nothing that is personal.
func TestEveryChangeLeavesAnEvent(t *testing.T) {
	w := newWorld(t)
	w.sinks(t, "one", "two")
	boss := w.admin()
	w.me(t, boss)
	p := w.person()
	id := w.me(t, p)["id"].(string)
	path := "/v1/admin/profiles/" + id
	type event struct{ kind, data string }
	want := []event{{"profile.created", `"version":1,"status":"active","suspended_until":null,"changed_fields":[]`}}
	step := func(kind, data string, status int, r reply) {
		t.Helper()
		r.want(t, status)
		if kind != "" {
			want = append(want, event{kind, data})
		}
	}
	until := w.clock.Now().Add(time.Hour).Format(time.RFC3339Nano)
	json1 := mediaType("application/json")
	step("profile.updated", `"version":2,"status":"active","suspended_until":null,"changed_fields":["handle","bio"]`, 200, w.patch(t, p, `{"handle":"telling_handle","bio":"telling bio"}`))
	step("", "", 200, w.patch(t, p, `{"bio":"telling bio"}`))                        // changes nothing
	step("", "", 422, w.patch(t, p, `{"handle":"admin"}`))                           // refused
	step("", "", 412, w.patch(t, p, `{"bio":"x"}`, header("If-Match", `"v1"`)))      // refused
	step("", "", 200, w.do(t, "PATCH", preferencesPath, `{"theme":"dark"}`, p.is())) // nobody else's business
	step("", "", 409, w.patch(t, boss, `{"handle":"telling_handle"}`))               // rolled back
	step("profile.updated", `"version":3,"status":"active","suspended_until":null,"changed_fields":["app_metadata"]`, 200,
		w.do(t, "PATCH", path, `{"app_metadata":{"a":"telling"}}`, boss.is()))
	step("profile.suspended", `"version":4,"status":"suspended","suspended_until":"`+until+`","changed_fields":["status","suspended_reason","suspended_until"]`, 200,
		w.do(t, "POST", path+"/suspend", `{"reason":"telling reason","until":"`+until+`"}`, boss.is(), json1, header("Idempotency-Key", "k")))
	step("", "", 200, w.do(t, "POST", path+"/suspend", `{"reason":"telling reason","until":"`+until+`"}`, boss.is(), json1, header("Idempotency-Key", "k"))) // a repeat
	step("profile.reactivated", `"version":5,"status":"active","suspended_until":null,"changed_fields":["status","suspended_reason","suspended_until"]`, 200,
		w.do(t, "POST", path+"/reactivate", "", boss.is(), json1))
	step("profile.erased", `"version":6,"status":null,"suspended_until":null,"changed_fields":[]`, 202, w.do(t, "DELETE", "/v1/profiles/me", nil, p.is()))
	step("", "", 401, w.do(t, "GET", "/v1/profiles/me", nil, p.is()))
	for _, sink := range []string{"one", "two"} {
		got := w.outbox(t, sink, id)
		if len(got) != len(want) {
			t.Fatalf("%s: %d events, want %d: %s", sink, len(got), len(want), strings.Join(got, "\n"))
		}
		for i, payload := range got {
			var head struct{ ID, Timestamp string }
			must(t, json.Unmarshal([]byte(payload), &head))
			wanted := fmt.Sprintf(`{"id":"%s","type":"%s","timestamp":"%s","data":{"profile_id":"%s",%s}}`, head.ID, want[i].kind, head.Timestamp, id, want[i].data)
			if payload != wanted {
				t.Errorf("%s: got  %s\nwant %s", sink, payload, wanted)
			}
			if n := w.count(t, "SELECT count(*) FROM audit_events WHERE id = $1 AND action = $2 AND profile_id = $3", head.ID, want[i].kind, id); n != 1 {
				t.Errorf("%s: there is no audit event %s", sink, head.ID)
			}
		}
	}
	if got := w.outbox(t, "one", w.me(t, boss)["id"].(string)); len(got) != 1 {
		t.Errorf("the admin, whose changes were rolled back, has %v", got)
	}
	all := w.everything(t)
	for _, telling := range []string{"telling", p.id, p.id[5:]} {
		if strings.Contains(all, telling) {
			t.Errorf("after the erasure %q is still there", telling)
		}
	}
}

// An erasure by an admin is an event as well.
func TestAnErasureByAnAdminLeavesAnEvent(t *testing.T) {
	w := newWorld(t)
	w.sinks(t, "one")
	boss := w.admin()
	id := w.me(t, w.person())["id"].(string)
	w.do(t, http.MethodDelete, "/v1/admin/profiles/"+id, nil, boss.is()).want(t, 202)
	got := w.outbox(t, "one", id)
	if len(got) != 2 || !strings.Contains(got[1], `"type":"profile.erased"`) || !strings.Contains(got[1], `"version":2`) {
		t.Errorf("%v", got)
	}
}

// Events cost a change one statement, however many sinks there are.
func TestEventsCostOneStatement(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.me(t, p)
	cost := func(n int) int {
		w.sqlSeen.taken()
		w.patch(t, p, fmt.Sprintf(`{"bio":"x%d"}`, n)).want(t, 200)
		return len(w.sqlSeen.taken())
	}
	none := cost(0)
	for n, keys := range [][]string{{"a"}, {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}} {
		w.sinks(t, keys...)
		if got := cost(n + 1); got != none+1 {
			t.Errorf("%d sinks: %d statements, want %d", len(keys), got, none+1)
		}
	}
}
