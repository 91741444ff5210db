package rest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

const exportPath = "/v1/profiles/me/export"

func TestExportHoldsEverything(t *testing.T) {
	w := newWorld(t)
	p, id := w.named(t, "first_name", `"bio":"about me"`)
	w.patch(t, p, `{"handle":"second_name"}`).want(t, 200)
	w.sql(t, `UPDATE profiles SET email = 'me@example.org', clerk_updated_at = now(), status = 'suspended', suspended_reason = 'once', suspended_until = '2026-01-01'`)
	got := w.do(t, "GET", exportPath, nil, p.is()).want(t, 200)
	if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" ||
		got.header.Get("Content-Disposition") != `attachment; filename="profile-export.json"` {
		t.Errorf("headers %v", got.header)
	}
	m := got.object(t)
	wantNames(t, m, "profile", "preferences", "handle_reservations", "stored_responses", "clerk_deliveries", "audit_events")
	if profile := m["profile"].(map[string]any); profile["email"] != "me@example.org" || profile["suspended_reason"] != "once" || profile["bio"] != "about me" || profile["id"] != id {
		t.Errorf("profile %v", profile)
	}
	if n := len(m["handle_reservations"].([]any)); n != 2 { // the random first handle, too
		t.Errorf("%d reservations", n)
	}
	if n := len(m["audit_events"].([]any)); n != 3 {
		t.Errorf("%d events", n)
	}
	// The same again until something changes.
	etag := got.header.Get("ETag")
	w.do(t, "GET", exportPath, nil, p.is(), header("If-None-Match", etag)).want(t, 304)
	if head := w.do(t, "HEAD", exportPath, nil, p.is()).want(t, 200); head.header.Get("ETag") != etag || head.body != "" {
		t.Errorf("HEAD: %v %q", head.header, head.body)
	}
	w.do(t, "PATCH", preferencesPath, `{"theme":"dark"}`, p.is()).want(t, 200)
	w.do(t, "GET", exportPath, nil, p.is(), header("If-None-Match", etag)).want(t, 200)
}

// notExported are the columns that an export need not hold, each with the reason.
var notExported = map[string]string{
	"erased_identities.identity_hash": "only of people who have no export any more",
	"erased_identities.erased_at":     "only of people who have no export any more",
	"goose_db_version.*":              "the schema's own",
	"clerk_deletions.*":               "only of people who have no export any more, sealed",
	"profiles.clerk_mark":             "a hash of what is shown",
	"profiles.handle_seed":            "the same",
	"profiles.display_name_seed":      "the same",
	"event_outbox.*":                  "says nothing that audit_events does not say, and goes when it was delivered",
	"webhook_deliveries.subject_hash": "that it is the person's",
	"webhook_deliveries.sealed_data":  "shown opened",
	"webhook_deliveries.expires_at":   "of rows that are done with, and name nobody",
	"reconciliation_runs.*":           "counts of everybody; tells of no person",
	"reconciliation_seen.*":           "ids of profiles while a run is under way: that the profile is there, which its owner knows",
	"reconciliation_lease.*":          "one row for all: which process works",
	"idempotency_keys.key_hash":       "of the admin who asked, keyed",
	"idempotency_keys.request_hash":   "of what the admin sent, keyed",
}

// Whoever adds a column must show it in the export, or say here why not.
func TestExportKnowsEveryColumn(t *testing.T) {
	w := newWorld(t)
	p, id := w.named(t, "first_name")
	w.patch(t, p, `{"handle":"second_name"}`).want(t, 200)
	boss := w.admin()
	path := "/v1/admin/profiles/" + id
	for _, step := range []string{"/suspend", "/reactivate"} {
		w.do(t, "POST", path+step, `{"reason":"once"}`, boss.is(), mediaType("application/json"), header("Idempotency-Key", "k"+step)).want(t, 200)
	}
	w.deliver(t, "msg_waiting", `{"type":"user.updated","data":{"id":"`+p.id+`","first_name":"Told","phone_numbers":["not kept"]}}`).want(t, 202)
	m := w.do(t, "GET", exportPath, nil, p.is()).want(t, 200).object(t)
	if told := m["clerk_deliveries"].([]any)[0].(map[string]any)["data"].(map[string]any); told["first_name"] != "Told" || told["phone_numbers"] != nil {
		t.Errorf("told was %v", told)
	}
	shown := map[string]map[string]any{
		"profiles": m["profile"].(map[string]any), "preferences": flat(m["preferences"].(map[string]any)),
		"handle_reservations": m["handle_reservations"].([]any)[0].(map[string]any), "audit_events": m["audit_events"].([]any)[0].(map[string]any),
		"idempotency_keys": m["stored_responses"].([]any)[0].(map[string]any), "webhook_deliveries": m["clerk_deliveries"].([]any)[0].(map[string]any),
	}
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { must(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()")
	must(t, err)
	columns := 0
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (any, error) {
		var table, column string
		if err := row.Scan(&table, &column); err != nil {
			return nil, err
		}
		columns++
		_, excused := notExported[table+"."+column]
		_, excusedWhole := notExported[table+".*"]
		excusedWhole = excusedWhole || strings.HasPrefix(table, "river_") // jobs hold ids of deletions and nothing else, see package domain
		if _, there := shown[table][column]; !there && !excused && !excusedWhole {
			t.Errorf("column %s.%s is not in the export", table, column)
		}
		return nil, nil
	})
	must(t, err)
	if columns < 40 {
		t.Errorf("only %d columns were looked at", columns)
	}
}

// flat gives the members of the object inside the names of their columns.
func flat(preferences map[string]any) map[string]any {
	out := maps.Clone(preferences)
	for name, value := range preferences["email_notifications"].(map[string]any) {
		out["email_"+name] = value
	}
	return out
}

func TestExportStreamsALongTrail(t *testing.T) {
	w := newWorld(t)
	p, id := w.named(t, "long_trail")
	const events = 1003 // five pages and a bit
	w.sql(t, `INSERT INTO audit_events (id, occurred_at, action, actor_kind, actor_id, profile_id)
		SELECT ('019c0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, timestamptz '2026-01-01' + i / 3 * interval '1 second', 'profile.updated', 'user', $1, $1 FROM generate_series(1, $2) i`, id, events)
	list := w.do(t, "GET", exportPath, nil, p.is()).want(t, 200).object(t)["audit_events"].([]any)
	seen := map[string]bool{}
	last := w.clock.Now()
	for _, e := range list {
		event := e.(map[string]any)
		seen[event["id"].(string)] = true
		at, err := time.Parse(time.RFC3339, event["occurred_at"].(string))
		must(t, err)
		if at.After(last) {
			t.Errorf("%s comes after %s", at, last)
		}
		last = at
	}
	if len(list) != events+2 || len(seen) != len(list) {
		t.Errorf("%d events, %d different", len(list), len(seen))
	}
	all, _ := w.pages(t, p, "/v1/profiles/me/activity?limit=200", "id")
	if slices.Sort(all); !slices.Equal(all, slices.Sorted(maps.Keys(seen))) {
		t.Error("the activity shows others")
	}
}

// failingTrail gives one page and then fails.
type failingTrail struct{ usecase.AuditLog }

var errTrailLost = errors.New("the trail is lost")

func (f failingTrail) List(ctx context.Context, filter domain.AuditFilter, after *domain.AuditPosition, limit int) ([]domain.AuditEvent, error) {
	if after != nil {
		return nil, errTrailLost
	}
	return f.AuditLog.List(ctx, filter, after, limit)
}

// Half a bundle must not pass for a whole one.
func TestExportThatFailsUnderWayBreaksTheConnection(t *testing.T) {
	w := newWorld(t)
	p, id := w.named(t, "long_trail")
	w.sql(t, `INSERT INTO audit_events (id, occurred_at, action, actor_kind, actor_id, profile_id)
		SELECT ('019c0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, timestamptz '2026-01-01', 'profile.updated', 'user', $1, $1 FROM generate_series(1, 300) i`, id)
	stores := storesOver(w.db, w.clock)
	stores.Audit = failingTrail{postgres.NewAuditLog(w.db)}
	deps := w.deps
	deps.Export = usecase.NewExport(stores, testSealer)
	server := httptest.NewServer(New(deps))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+exportPath, http.NoBody)
	must(t, err)
	p.is()(r)
	res, err := server.Client().Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		must(t, res.Body.Close())
	}
	if err == nil {
		t.Error("the client took it for whole")
	}
	if !slices.ContainsFunc(w.log.lines(t, "request"), func(line map[string]any) bool {
		return line["route"] == exportPath && line["cut_off"] == true && strings.Contains(line["cause"].(string), errTrailLost.Error())
	}) {
		t.Errorf("nothing of it in the log: %s", w.log)
	}
}
