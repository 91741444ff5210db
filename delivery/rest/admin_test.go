package rest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

var adminFields = append(slices.Clone(ownFields), "suspended_reason", "suspended_until")

func (w *world) admin() person { return w.person(adminRole) }

func TestAdminRoutesAreForAdmins(t *testing.T) {
	w := newWorld(t)
	owner, id := w.named(t, "target_t")
	before := w.me(t, owner)
	for _, r := range routes(w.deps) {
		if !strings.HasPrefix(r.Template, "/v1/admin/") {
			continue
		}
		path := strings.ReplaceAll(r.Template, ":id", id)
		w.do(t, r.Method, path, `{"reason":"x"}`).problem(t, 401, domain.CodeUnauthenticated)
		for name, p := range map[string]person{"owner": owner, "somebody": w.person()} {
			if got := w.do(t, r.Method, path, `{"reason":"x"}`, p.is(), mediaType("application/json")).problem(t, 403, domain.CodeForbidden); strings.Contains(got.body, "target_t") {
				t.Errorf("%s: %s", name, got.body)
			}
		}
	}
	if after := w.me(t, owner); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("something was changed: %v", after)
	}
	// An admin who was suspended is kept out of it too.
	boss := w.admin()
	w.me(t, boss)
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE clerk_user_id = $1", boss.id)
	w.do(t, "GET", "/v1/admin/profiles", nil, boss.is()).problem(t, 403, domain.CodeAccountSuspended)
}

func TestAdminReadsAndCorrects(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	owner, id := w.named(t, "target_t", `"metadata":{"a":1}`)
	path := "/v1/admin/profiles/" + id
	got := w.do(t, "GET", path, nil, boss.is()).want(t, 200)
	wantNames(t, got.object(t), slices.Clone(adminFields)...)
	if got.header.Get("ETag") != `"v2"` || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.header)
	}
	w.do(t, "GET", path, nil, boss.is(), header("If-None-Match", `"v2"`)).want(t, 304)
	if m := w.do(t, "GET", "/v1/admin/profiles/"+strings.ToUpper(id), nil, boss.is()).want(t, 200).object(t); m["id"] != id {
		t.Errorf("id in upper case: %v", m["id"])
	}

	w.do(t, "PATCH", path, `{"bio":"x"}`, boss.is(), header("If-Match", `"v1"`)).problem(t, 412, domain.CodePreconditionFailed)
	patched := w.do(t, "PATCH", path, `{"handle":"corrected","app_metadata":{"plan":"pro","n":{"a":1}},"metadata":{"a":null},"display_name":null}`,
		boss.is(), header("If-Match", `"v2"`)).want(t, 200)
	m := patched.object(t)
	wantNames(t, m, slices.Clone(adminFields)...)
	if m["handle"] != "corrected" || m["version"] != 3.0 || patched.header.Get("ETag") != `"v3"` || !strings.Contains(patched.body, `"metadata":{},"app_metadata":{"n"`) {
		t.Errorf("%s", patched.body)
	}
	if own := w.me(t, owner); own["app_metadata"].(map[string]any)["plan"] != "pro" || own["handle"] != "corrected" {
		t.Errorf("to its owner: %v", own)
	}
	w.do(t, "PATCH", path, `{"app_metadata":{"plan":null,"n":{"b":2}}}`, boss.is()).want(t, 200)
	if app := w.me(t, owner)["app_metadata"]; fmt.Sprint(app) != "map[n:map[a:1 b:2]]" {
		t.Errorf("merged into %v", app)
	}
	for _, body := range []string{`[]`, `{"Bio":"x"}`, `{"bio":"x","bio":"y"}`} {
		w.do(t, "PATCH", path, body, boss.is()).problem(t, 400, domain.CodeMalformedRequest)
	}
	w.named(t, "somebody_s")
	w.do(t, "PATCH", path, `{"handle":"SOMEBODY_s"}`, boss.is()).problem(t, 409, domain.CodeHandleTaken)
	// The handle that an admin took away is kept for its owner.
	w.patch(t, w.person(), `{"handle":"target_t"}`).problem(t, 409, domain.CodeHandleTaken)

	for body, want := range map[string]string{
		`{"email":"a@b"}`:                        "/email unknown_field",
		`{"status":"active"}`:                    "/status unknown_field",
		`{"suspended_reason":"x"}`:               "/suspended_reason unknown_field",
		`{"version":1}`:                          "/version unknown_field",
		`{"id":"x"}`:                             "/id unknown_field",
		`{"app_metadata":[]}`:                    "/app_metadata invalid_type",
		`{"app_metadata":"` + "x" + `","bio":5}`: "/app_metadata invalid_type,/bio invalid_type",
		`{"app_metadata":{"a":"` + strings.Repeat("x", 8200) + `"}}`: "/app_metadata too_long",
		`{"handle":"admin","clerk_user_id":"user_x"}`:                "/clerk_user_id unknown_field,/handle reserved",
	} {
		if got := strings.Join(w.do(t, "PATCH", path, body, boss.is()).faults(t), ","); got != want {
			t.Errorf("%.40s: %s, want %s", body, got, want)
		}
	}
	if n := w.count(t, `SELECT count(*) FROM audit_events WHERE action = 'profile.updated' AND actor_kind = 'admin' AND profile_id = $1
		AND actor_id = (SELECT id FROM profiles WHERE clerk_user_id = $2)
		AND changed_fields IN ('["handle","metadata","app_metadata"]', '["app_metadata"]')`, id, boss.id); n != 2 {
		t.Errorf("%d such events", n)
	}
	// The owner still may not write what admins write.
	if got := w.patch(t, owner, `{"app_metadata":{}}`).faults(t); !slices.Equal(got, []string{"/app_metadata unknown_field"}) {
		t.Errorf("%v", got)
	}
	for _, id := range []string{"x", domain.NewID(time.Now()), domain.NobodysID, id + "0", "%00", "..%2F" + id} {
		for _, m := range []string{"GET", "PATCH"} {
			w.do(t, m, "/v1/admin/profiles/"+id, `{}`, boss.is()).problem(t, 404, domain.CodeNotFound)
		}
		w.do(t, "POST", "/v1/admin/profiles/"+id+"/suspend", `{"reason":"x"}`, boss.is(), mediaType("application/json")).problem(t, 404, domain.CodeNotFound)
		w.do(t, "POST", "/v1/admin/profiles/"+id+"/reactivate", nil, boss.is()).problem(t, 404, domain.CodeNotFound)
	}
}

func TestSuspendAndReactivate(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	owner, id := w.named(t, "target_t")
	path := "/v1/admin/profiles/" + id
	post := func(what string, body any, more ...with) reply {
		t.Helper()
		w.clock.Advance(time.Second) // events of one moment are in no order
		return w.do(t, "POST", path+what, body, append([]with{boss.is(), mediaType("application/json")}, more...)...)
	}
	until := w.clock.Now().Add(30 * time.Minute).Format(time.RFC3339Nano)
	post("/suspend", `{"reason":"x"}`, header("If-Match", `"v1"`)).problem(t, 412, domain.CodePreconditionFailed)
	w.me(t, owner)
	got := post("/suspend", `{"reason":"  spam\u00e9 ","until":"`+until+`"}`).want(t, 200)
	m := got.object(t)
	wantNames(t, m, slices.Clone(adminFields)...)
	if m["status"] != "suspended" || m["suspended_reason"] != "spamé" || m["suspended_until"] != until || m["version"] != 3.0 || got.header.Get("ETag") != `"v3"` {
		t.Errorf("%s", got.body)
	}
	w.do(t, "GET", "/v1/profiles/me", nil, owner.is()).problem(t, 403, domain.CodeAccountSuspended)
	w.do(t, "GET", "/v1/profiles/target_t", nil).problem(t, 404, domain.CodeNotFound)
	// Word for word again changes nothing; with another reason or end it does.
	if m := post("/suspend", `{"reason":"spamé","until":"`+until+`"}`).want(t, 200).object(t); m["version"] != 3.0 {
		t.Errorf("version %v", m["version"])
	}
	if m := post("/suspend", `{"reason":"worse","until":null}`).want(t, 200).object(t); m["version"] != 4.0 || m["suspended_until"] != nil {
		t.Errorf("%v", m)
	}
	if m := post("/reactivate", nil).want(t, 200).object(t); m["status"] != "active" || m["suspended_reason"] != nil || m["version"] != 5.0 {
		t.Errorf("%v", m)
	}
	w.me(t, owner)
	for _, body := range []any{nil, "", `{}`, `{"reason":"again"}`, `{"reason":"again","until":null}`, `{"reason":null}`} {
		if m := post("/reactivate", body).want(t, 200).object(t); m["version"] != 5.0 {
			t.Errorf("%v: version %v", body, m["version"])
		}
	}
	// One that ends by itself: the version stays, and yet the representation is another.
	post("/suspend", `{"reason":"short","until":"`+until+`"}`).want(t, 200)
	during := w.do(t, "GET", path, nil, boss.is()).want(t, 200)
	w.clock.Advance(30 * time.Minute)
	after := w.do(t, "GET", path, nil, boss.is(), header("If-None-Match", during.header.Get("ETag"))).want(t, 200)
	if during.object(t)["status"] != "suspended" || after.object(t)["status"] != "active" || during.header.Get("ETag") == after.header.Get("ETag") {
		t.Errorf("during %s, after %s", during.body, after.body)
	}
	w.do(t, "PATCH", path, `{"bio":"b"}`, boss.is(), header("If-Match", after.header.Get("ETag"))).want(t, 200)

	events := w.do(t, "GET", "/v1/admin/audit-events?profile_id="+id+"&limit=200", nil, boss.is())
	if got := strings.Join(events.data(t, "action"), " "); got != "profile.updated profile.suspended profile.reactivated profile.suspended profile.suspended profile.updated profile.created" {
		t.Errorf("%s", got)
	}
	for _, secret := range []string{"spam", "worse", "short", "target_t", owner.id, boss.id} {
		if strings.Contains(events.body, secret) {
			t.Errorf("%q is in the audit trail", secret)
		}
	}
}

func TestSuspensionsThatAreNone(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	owner, id := w.named(t, "target_t")
	suspend, reactivate := "/v1/admin/profiles/"+id+"/suspend", "/v1/admin/profiles/"+id+"/reactivate"
	now := w.clock.Now().Format(time.RFC3339)
	for _, c := range []struct{ path, body, want string }{
		{suspend, `{}`, "/reason required"},
		{suspend, `{"reason":null}`, "/reason invalid_type"},
		{suspend, `{"reason":5,"until":5}`, "/reason invalid_type,/until invalid_type"},
		{suspend, `{"reason":""}`, "/reason too_short"},
		{suspend, `{"reason":" "}`, "/reason too_short"},
		{suspend, `{"reason":"` + strings.Repeat("é", 501) + `"}`, "/reason too_long"},
		{suspend, `{"reason":"a\nb"}`, "/reason control_characters"},
		{suspend, `{"reason":"x","until":"tomorrow"}`, "/until invalid_format"},
		{suspend, `{"reason":"x","until":"2099-01-01T00:00:00+24:00"}`, "/until invalid_format"},
		{suspend, `{"reason":"x","until":"9999-12-31T23:59:59-01:00"}`, "/until out_of_range"},
		{suspend, `{"reason":"x","until":"` + now + `"}`, "/until out_of_range"},
		{suspend, `{"reason":"","until":"1999-01-01T00:00:00Z"}`, "/reason too_short,/until out_of_range"},
		{suspend, `{"reason":"x","status":"active","for":1}`, "/status unknown_field,/for unknown_field"},
		{reactivate, `{"until":"2030-01-01T00:00:00Z"}`, "/until invalid_type"},
		{reactivate, `{"reason":""}`, "/reason too_short"},
		{reactivate, `{"reason":1}`, "/reason invalid_type"},
		{reactivate, `{"x":1}`, "/x unknown_field"},
	} {
		if got := strings.Join(w.do(t, "POST", c.path, c.body, boss.is(), mediaType("application/json")).faults(t), ","); got != c.want {
			t.Errorf("%.60s: %s, want %s", c.body, got, c.want)
		}
	}
	w.do(t, "POST", suspend, nil, boss.is(), mediaType("application/json")).problem(t, 400, domain.CodeMalformedRequest)
	for _, path := range []string{suspend, reactivate} {
		for _, body := range []string{`[]`, `{"Reason":"x"}`, `{"reason":"x","reason":"y"}`, `{"reason":"x"}{}`} {
			w.do(t, "POST", path, body, boss.is(), mediaType("application/json")).problem(t, 400, domain.CodeMalformedRequest)
		}
		w.do(t, "POST", path, `{"reason":"x"}`, boss.is(), mediaType("text/plain")).problem(t, 415, domain.CodeUnsupportedMediaType)
		w.do(t, "GET", path, nil, boss.is()).problem(t, 405, domain.CodeMethodNotAllowed)
	}
	if m := w.me(t, owner); m["version"] != 2.0 || m["status"] != "active" {
		t.Errorf("something was changed: %v", m)
	}
	w.do(t, "POST", suspend, `{"reason":"`+strings.Repeat("é", 500)+`"}`, boss.is(), mediaType("application/json")).want(t, 200)
}

// pages follows a list to its end.
func (w *world) pages(t *testing.T, as person, path, member string) (all []string, pages int) {
	t.Helper()
	for next := path; ; pages++ {
		got := w.do(t, "GET", next, nil, as.is())
		all = append(all, got.data(t, member)...)
		cursor, more := got.object(t)["next_cursor"].(string)
		if !more {
			return all, pages + 1
		}
		if pages > 100 {
			t.Fatal("the pages do not end")
		}
		next = path + "&cursor=" + url.QueryEscape(cursor)
	}
}

func TestAdminSearch(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	w.me(t, boss)
	var ids []string
	for i := range 7 {
		w.clock.Advance(time.Minute)
		p, id := w.named(t, fmt.Sprintf("find_%d", i), `"display_name":"Élodie `+fmt.Sprint(i)+`"`)
		ids = append(ids, id)
		w.sql(t, "UPDATE profiles SET email = $1 WHERE clerk_user_id = $2", fmt.Sprintf("Person%d@example.org", i), p.id)
	}
	for query, want := range map[string][]string{
		"q=FIND_&sort=created_at":       ids,
		"q=find&sort=handle":            ids,
		"q=%C3%A9lodie&sort=created_at": ids,
		"q=person3%40":                  {ids[3]},
		"q=find_5":                      {ids[5]},
		"q=nobody":                      nil,
		"q=find&sort=created_at&created_after=2026-03-01T12:03:00Z&created_before=2026-03-01T14:05:00%2B02:00": ids[2:4],
		"q=find&status=suspended":          nil,
		"q=find&status=active&sort=handle": ids,
	} {
		for _, limit := range []int{1, 3, 7, 200} {
			got, n := w.pages(t, boss, fmt.Sprintf("/v1/admin/profiles?%s&limit=%d", query, limit), "id")
			if !slices.Equal(got, append([]string{}, want...)) {
				t.Errorf("%s, limit %d: %v, want %v", query, limit, got, want)
			}
			if wantPages := max((len(want)+limit-1)/limit, 1); n != wantPages {
				t.Errorf("%s, limit %d: %d pages, want %d", query, limit, n, wantPages)
			}
		}
	}
	all := w.do(t, "GET", "/v1/admin/profiles", nil, boss.is())
	if got := all.data(t, "id"); len(got) != 8 || got[0] != ids[6] { // the default is newest first
		t.Errorf("without parameters: %v", got)
	}
	wantNames(t, all.object(t)["data"].([]any)[0].(map[string]any), slices.Clone(adminFields)...)
	if all.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", all.header.Get("Cache-Control"))
	}
	clerkID := all.object(t)["data"].([]any)[0].(map[string]any)["clerk_user_id"].(string)
	if got := w.do(t, "GET", "/v1/admin/profiles?q="+clerkID, nil, boss.is()).data(t, "id"); !slices.Equal(got, ids[6:]) {
		t.Errorf("by Clerk id: %v", got)
	}
}

func TestListsRefuseWhatIsOutOfBounds(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	for i := range 3 {
		w.named(t, fmt.Sprintf("find_%d", i))
	}
	lists := map[string][]string{
		"/v1/admin/profiles": {
			"status=gone", "status=", "created_after=", "sort=name", "sort=", "sort=-handle", "created_after=yesterday", "created_after=2026-03-01",
			"created_before=2026-03-01T12:00:00+02:00", "created_after=2026-03-01T00:00:00%2B24:00", "created_after=2026-03-01T1:00:00Z",
			"created_after=2026-03-01T12:00:00,5Z", "created_before=9999-12-31T23:59:59-01:00", "created_after=0000-01-01T00:00:00%2B01:00", "q=" + strings.Repeat("a", 201), "q=a%00b", "q=%ff", "Q=a", "q=a&q=b",
		},
		"/v1/admin/audit-events": {
			"profile_id=x", "profile_id=", "action=", "actor_id=1", "action=profile.exploded", "since=now", "until=2026-13-01T00:00:00Z", "since=2026-03-01T00:00:00%2B24:00", "sort=created_at",
		},
		"/v1/profiles/me/activity": {"profile_id=" + domain.NewID(time.Now()), "action=profile.created"},
	}
	everywhere := []string{
		"limit=0", "limit=201", "limit=-1", "limit=1.5", "limit=abc", "limit=", "limit=+1", "limit=01", "limit=1e2", "limit=99999999999999999999",
		"limit=5&limit=5", "cursor=x", "cursor=", "cursor=" + strings.Repeat("A", 300), "cursor=" + strings.Repeat("A", 3000), "unknown=1", "%zz", "a;b",
	}
	for path, queries := range lists {
		for _, q := range append(slices.Clone(everywhere), queries...) {
			w.do(t, "GET", path+"?"+q, nil, boss.is()).problem(t, 400, domain.CodeMalformedRequest)
		}
		w.do(t, "GET", path+"?limit=1", nil, boss.is()).want(t, 200)
		w.do(t, "GET", path+"?limit=200", nil, boss.is()).want(t, 200)
	}
	// A cursor holds for its list and its filters alone, and not a bit of it may change.
	first := w.do(t, "GET", "/v1/admin/profiles?limit=1&q=find", nil, boss.is()).want(t, 200).object(t)["next_cursor"].(string)
	w.do(t, "GET", "/v1/admin/profiles?limit=2&q=find&cursor="+first, nil, boss.is()).want(t, 200)
	for _, elsewhere := range []string{
		"/v1/admin/profiles?limit=1&cursor=", "/v1/admin/profiles?limit=1&q=fin&cursor=", "/v1/admin/profiles?limit=1&q=find&sort=handle&cursor=",
		"/v1/admin/profiles?limit=1&q=find&status=active&cursor=", "/v1/admin/audit-events?cursor=", "/v1/profiles/me/activity?cursor=",
	} {
		w.do(t, "GET", elsewhere+first, nil, boss.is()).problem(t, 400, domain.CodeMalformedRequest)
	}
	// A moment is the same filter however it is written.
	since := w.do(t, "GET", "/v1/admin/profiles?limit=1&created_before=9999-12-31T23:59:59Z&created_after=2026-01-01T00:00:00Z", nil, boss.is()).
		want(t, 200).object(t)["next_cursor"].(string)
	w.do(t, "GET", "/v1/admin/profiles?limit=1&created_before=9999-12-31T23:59:59Z&created_after=2026-01-01T02:00:00.000%2B02:00&cursor="+since, nil, boss.is()).
		want(t, 200)
	raw, err := base64.RawURLEncoding.DecodeString(first)
	must(t, err)
	for i := range raw {
		forged := slices.Clone(raw)
		forged[i] ^= 1
		w.do(t, "GET", "/v1/admin/profiles?limit=1&q=find&cursor="+base64.RawURLEncoding.EncodeToString(forged), nil, boss.is()).
			problem(t, 400, domain.CodeMalformedRequest)
	}
	for _, secret := range []string{"find", "created", "2026"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the cursor tells %q", secret)
		}
	}
}

func TestAuditEvents(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	bossID := w.me(t, boss)["id"].(string)
	owner, id := w.named(t, "target_t")
	w.clock.Advance(time.Hour - time.Millisecond)
	w.do(t, "POST", "/v1/admin/profiles/"+id+"/suspend", `{"reason":"x"}`, boss.is(), mediaType("application/json"),
		header("X-Request-ID", "the-suspension"), peerAddr("[2001:db8:1:2::3]:9")).want(t, 200)
	at := w.clock.Now().Format(time.RFC3339)
	w.clock.Advance(time.Microsecond) // events of one moment are in no order
	w.do(t, "POST", "/v1/admin/profiles/"+id+"/reactivate", nil, boss.is()).want(t, 200)

	for query, want := range map[string]int{
		"profile_id=" + id: 4, "actor_id=" + bossID: 3, "actor_id=" + id: 2, "action=profile.suspended": 1, "since=" + at: 2, "until=" + at: 3,
		"profile_id=" + id + "&actor_id=" + bossID + "&action=profile.suspended&since=" + at: 1, "profile_id=" + domain.NobodysID: 0, "action=profile.erased": 0,
	} {
		if got, _ := w.pages(t, boss, "/v1/admin/audit-events?limit=2&"+query, "id"); len(got) != want {
			t.Errorf("%s: %d events, want %d", query, len(got), want)
		}
	}
	got := w.do(t, "GET", "/v1/admin/audit-events?action=profile.suspended", nil, boss.is()).want(t, 200).object(t)["data"].([]any)[0].(map[string]any)
	wantNames(t, got, "id", "occurred_at", "action", "actor_kind", "actor_id", "impersonator", "profile_id", "changed_fields", "request_id", "client_network")
	delete(got, "id")
	if fmt.Sprint(got) != fmt.Sprint(map[string]any{
		"occurred_at": at, "action": "profile.suspended", "actor_kind": "admin", "actor_id": bossID, "impersonator": nil, "profile_id": id,
		"changed_fields": []any{"status", "suspended_reason"}, "request_id": "the-suspension", "client_network": "2001:db8:1::/48",
	}) {
		t.Errorf("%v", got)
	}
	// The owner learns that it happened, not who did it or from where.
	own := w.do(t, "GET", "/v1/profiles/me/activity", nil, owner.is())
	if actions := strings.Join(own.data(t, "action"), " "); actions != "profile.reactivated profile.suspended profile.updated profile.created" {
		t.Errorf("activity %s", actions)
	}
	for _, secret := range []string{bossID, "2001:db8", "the-suspension"} {
		if strings.Contains(own.body, secret) {
			t.Errorf("the owner learns %q: %s", secret, own.body)
		}
	}
	if !strings.Contains(own.body, `"client_network":"192.0.2.0/24"`) {
		t.Errorf("of their own acts the owner learns nothing: %s", own.body)
	}
	all, pages := w.pages(t, owner, "/v1/profiles/me/activity?limit=3", "id")
	if len(all) != 4 || pages != 2 {
		t.Errorf("%d events on %d pages", len(all), pages)
	}
}

// What waits for a row is dated by when it had it: the trail and updated_at
// follow the order of the changes.
func TestChangesAreDatedAfterTheWait(t *testing.T) {
	w := newWorld(t)
	p, id := w.named(t, "waiting_w")
	boss := w.admin()
	w.me(t, boss)
	for name, change := range map[string]func() reply{
		"own":         func() reply { return w.patch(t, p, `{"bio":"a"}`) },
		"preferences": func() reply { return w.do(t, "PATCH", preferencesPath, `{"theme":"dark"}`, p.is()) },
		"admin":       func() reply { return w.do(t, "PATCH", "/v1/admin/profiles/"+id, `{"bio":"b"}`, boss.is()) },
	} {
		before := w.clock.Now()
		release := w.holdRow(t, id)
		done := make(chan reply)
		go func() { done <- change() }()
		w.waitForLock(t)
		w.clock.Advance(time.Second)
		release()
		if r := <-done; r.status != 200 {
			t.Fatalf("%s: %d %s", name, r.status, r.body)
		}
		if n := w.count(t, "SELECT count(*) FROM audit_events WHERE profile_id = $1 AND occurred_at > $2 AND occurred_at <> $3", id, before, w.clock.Now()); n != 0 {
			t.Errorf("%s: %d events are dated into the wait", name, n)
		}
		if n := w.count(t, "SELECT count(*) FROM audit_events WHERE profile_id = $1 AND occurred_at = $2", id, w.clock.Now()); n != 1 {
			t.Errorf("%s: %d events are dated after the wait", name, n)
		}
	}
	// A replica whose clock is behind does not turn time back.
	w.clock.Advance(-time.Minute)
	last := w.me(t, p)["updated_at"]
	if m := w.patch(t, p, `{"bio":"c"}`).want(t, 200).object(t); m["updated_at"] != last {
		t.Errorf("changed at %v, and before at %v", m["updated_at"], last)
	}
}
