package rest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func minutesAgo(n int) clerkstandin.MintOption { return clerkstandin.WithClaim("fva", []int{n, -1}) }

// everything is the text of every row of every table, bytes read as text too.
func (w *world) everything(t *testing.T) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1")
	must(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	var all strings.Builder
	for _, table := range tables {
		rows, err := conn.Query(t.Context(), "SELECT row_to_json(r)::text FROM "+table+" r")
		must(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		fmt.Fprintln(&all, table, lines)
	}
	rows, err = conn.Query(t.Context(), "SELECT convert_from(body, 'UTF8') FROM idempotency_keys")
	must(t, err)
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	fmt.Fprintln(&all, bodies)
	return all.String()
}

func TestEraseOwn(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	p, id := w.named(t, "to_be_erased", `"display_name":"Erased Name"`, `"bio":"erased bio"`, `"links":[{"label":"erased label","url":"https://erased.example"}]`,
		`"location":"erased place"`, `"metadata":{"erased":"metadata"}`, `"banner_url":"https://erased.example/b"`)
	w.sql(t, `UPDATE profiles SET email = 'erased@example.org', avatar_url = 'https://erased.example/a', app_metadata = '{"erased":"app"}' WHERE id = $1`, id)
	path := "/v1/admin/profiles/" + id
	for _, step := range []string{"/suspend", "/reactivate"} { // leaves stored responses that name the person
		w.do(t, "POST", path+step, `{"reason":"erased reason"}`, boss.is(), mediaType("application/json"), header("Idempotency-Key", "key"+step)).want(t, 200)
	}
	before := w.everything(t)
	for _, identifier := range []string{p.id, "to_be_erased", "erased@example.org", "Erased Name", "erased reason"} {
		if !strings.Contains(before, identifier) {
			t.Fatalf("%q is not there before", identifier)
		}
	}
	w.do(t, "DELETE", "/v1/profiles/me", nil, p.is(), header("If-Match", `"v1"`)).problem(t, 412, domain.CodePreconditionFailed)
	for name, opts := range map[string]clerkstandin.MintOption{
		"too long ago": minutesAgo(11), "never": minutesAgo(-1), "not told": clerkstandin.WithoutClaims("fva"),
	} {
		stale := w.clerk.Mint(clerkstandin.WithUser(p.id), opts)
		if got := w.do(t, "DELETE", "/v1/profiles/me", nil, bearer(stale)).problem(t, 403, domain.CodeReauthentication); got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %v", name, got.header)
		}
	}
	fresh := bearer(w.clerk.Mint(clerkstandin.WithUser(p.id), minutesAgo(10)))
	key := header("Idempotency-Key", "erase-me")
	got := w.do(t, "DELETE", "/v1/profiles/me", nil, fresh, key).want(t, 202)
	m := got.object(t)
	wantNames(t, m, "id", "erased_at")
	if m["id"] != id || m["erased_at"] != w.clock.Now().Format(time.RFC3339Nano) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", got.body, got.header)
	}
	after := w.everything(t)
	for _, identifier := range []string{p.id, p.id[5:], "to_be_erased", "rased@", "Erased", "erased bio", "erased label", "erased.example", "erased place", "metadata\": \"", "erased reason", "\"erased\""} {
		if strings.Contains(after, identifier) {
			t.Errorf("%q is still there", identifier)
		}
	}
	if events := w.count(t, "SELECT count(*) FROM audit_events WHERE profile_id = $1 AND action = 'profile.erased' AND actor_kind = 'user' AND actor_id = $1", id); events != 1 {
		t.Errorf("%d events", events)
	}
	// Every token of that person, on every route that looks at tokens, and nobody is made anew.
	for _, path := range []string{"/v1/profiles/me", preferencesPath, exportPath, "/v1/profiles/me/activity", "/v1/profiles?handles=abc", "/v1/profiles/abc", "/v1/handles/abc"} {
		w.do(t, "GET", path, nil, p.is()).problem(t, 401, domain.CodeAccountErased)
	}
	w.patch(t, p, `{"bio":"x"}`).problem(t, 401, domain.CodeAccountErased)
	w.do(t, "DELETE", "/v1/profiles/me", nil, p.is()).problem(t, 401, domain.CodeAccountErased)
	w.do(t, "GET", "/v1/admin/profiles", nil, bearer(w.clerk.Mint(clerkstandin.WithUser(p.id), adminRole))).problem(t, 401, domain.CodeAccountErased)
	// But for the request that did it: whoever lost its answer may ask for it again.
	again := w.do(t, "DELETE", "/v1/profiles/me", nil, p.is(), key).want(t, 202)
	if again.body != got.body || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %s %v", again.body, again.header)
	}
	w.do(t, "DELETE", "/v1/profiles/me", nil, p.is(), header("Idempotency-Key", "another")).problem(t, 401, domain.CodeAccountErased)
	// Nothing tells that there was somebody: not the handle, not the id, not the stored answers.
	w.do(t, "GET", "/v1/profiles/to_be_erased", nil).problem(t, 404, domain.CodeNotFound)
	w.do(t, "GET", path, nil, boss.is()).problem(t, 404, domain.CodeNotFound)
	w.do(t, "POST", path+"/suspend", `{"reason":"erased reason"}`, boss.is(), mediaType("application/json"), header("Idempotency-Key", "key/suspend")).
		problem(t, 404, domain.CodeNotFound)
	// The handle is kept from others for its time, then it is free; the e-mail is free at once.
	other := w.person()
	w.patch(t, other, `{"handle":"TO_be_erased"}`).problem(t, 409, domain.CodeHandleTaken)
	w.sql(t, "UPDATE profiles SET email = 'erased@example.org' WHERE clerk_user_id = $1", other.id)
	w.clock.Advance(domain.ReleasedHandleHold)
	w.patch(t, w.personAgain(other), `{"handle":"TO_be_erased"}`).want(t, 200)
	w.do(t, "GET", "/v1/profiles/me", nil, w.personAgain(p).is()).problem(t, 401, domain.CodeAccountErased)
}

// personAgain is the same person with a token of now.
func (w *world) personAgain(p person) person {
	return person{p.id, w.clerk.Mint(clerkstandin.WithUser(p.id))}
}

func TestEraseByAdmin(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	bossID := w.me(t, boss)["id"].(string)
	p, id := w.named(t, "to_be_erased")
	path := "/v1/admin/profiles/" + id
	w.do(t, "DELETE", path, nil, boss.is(), header("If-Match", `"v1"`)).problem(t, 412, domain.CodePreconditionFailed)
	w.me(t, p)
	// Admins need no recent sign-in for it: their role is what allows it.
	old := bearer(w.clerk.Mint(clerkstandin.WithUser(boss.id), adminRole, minutesAgo(600)))
	got := w.do(t, "DELETE", path, nil, old, header("If-Match", `"v2"`), header("Idempotency-Key", "k")).want(t, 202)
	if again := w.do(t, "DELETE", path, nil, old, header("If-Match", `"v2"`), header("Idempotency-Key", "k")).want(t, 202); again.body != got.body {
		t.Errorf("again: %s", again.body)
	}
	w.do(t, "DELETE", path, nil, boss.is()).problem(t, 404, domain.CodeNotFound)
	w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 401, domain.CodeAccountErased)
	if strings.Contains(w.everything(t), p.id) {
		t.Error("the Clerk id is still there")
	}
	if n := w.count(t, "SELECT count(*) FROM audit_events WHERE profile_id = $1 AND action = 'profile.erased' AND actor_kind = 'admin' AND actor_id = $2", id, bossID); n != 1 {
		t.Errorf("%d events", n)
	}
	if n := w.count(t, "SELECT count(*) FROM clerk_deletions d JOIN river_job j ON j.args ->> 'id' = d.id::text WHERE j.state = 'available'"); n != 1 {
		t.Errorf("%d deletions with a job", n)
	}
	for _, id := range []string{"x", domain.NobodysID} {
		w.do(t, "DELETE", "/v1/admin/profiles/"+id, nil, boss.is()).problem(t, 404, domain.CodeNotFound)
	}
}

// A suspended person is kept out of this too; support can erase them.
func TestSuspendedPeopleDoNotEraseThemselves(t *testing.T) {
	w := newWorld(t)
	p, id := w.named(t, "suspended_s")
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE id = $1", id)
	w.do(t, "DELETE", "/v1/profiles/me", nil, p.is()).problem(t, 403, domain.CodeAccountSuspended)
	w.do(t, "DELETE", "/v1/admin/profiles/"+id, nil, w.admin().is()).want(t, 202)
}

// All of an erasure is one transaction: when its last step fails nothing has happened.
func TestAnErasureThatFailsChangesNothing(t *testing.T) {
	w := newWorld(t)
	p, _ := w.named(t, "still_here")
	before := w.everything(t)
	w.sql(t, "ALTER TABLE river_job RENAME TO river_job_away")
	w.do(t, "DELETE", "/v1/profiles/me", nil, p.is(), header("Idempotency-Key", "k")).problem(t, 503, domain.CodeUnavailable)
	w.sql(t, "ALTER TABLE river_job_away RENAME TO river_job")
	if after := w.everything(t); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	w.do(t, "DELETE", "/v1/profiles/me", nil, p.is(), header("Idempotency-Key", "k")).want(t, 202)
}

// An admin is a person too: their own profile needs a recent sign-in by whatever
// route, and afterwards they are told nothing of anybody, old answers included.
func TestAnErasedAdminHearsNothing(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	bossID := w.me(t, boss)["id"].(string)
	_, id := w.named(t, "somebody_s")
	suspend := func() reply {
		return w.do(t, "POST", "/v1/admin/profiles/"+id+"/suspend", `{"reason":"x"}`, boss.is(), mediaType("application/json"), header("Idempotency-Key", "k"))
	}
	suspend().want(t, 200)
	erased, erasedID := w.named(t, "erased_e")
	w.do(t, "DELETE", "/v1/admin/profiles/"+erasedID, nil, boss.is(), header("Idempotency-Key", "l")).want(t, 202)
	// Without the role, too, the erased hear that they are, and not that they are no admins.
	w.do(t, "GET", "/v1/admin/profiles", nil, erased.is()).problem(t, 401, domain.CodeAccountErased)

	stale := bearer(w.clerk.Mint(clerkstandin.WithUser(boss.id), adminRole, minutesAgo(11)))
	w.do(t, "DELETE", "/v1/admin/profiles/"+bossID, nil, stale).problem(t, 403, domain.CodeReauthentication)
	w.do(t, "DELETE", "/v1/profiles/me", nil, boss.is(), header("Idempotency-Key", "m")).want(t, 202)
	suspend().problem(t, 401, domain.CodeAccountErased)
	w.do(t, "DELETE", "/v1/admin/profiles/"+erasedID, nil, boss.is(), header("Idempotency-Key", "l")).problem(t, 401, domain.CodeAccountErased)
	w.do(t, "DELETE", "/v1/profiles/me", nil, boss.is(), header("Idempotency-Key", "m")).want(t, 202)
}

// A client that names itself in its request id leaves no trace of that in the trail.
func TestRequestIDsThatNameSomebodyAreNotKept(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.do(t, "GET", "/v1/profiles/me", nil, p.is(), header("X-Request-ID", "rid_"+p.id)).want(t, 200)
	w.patch(t, p, `{"bio":"x"}`, header("X-Request-ID", strings.ToLower(p.id[5:]))).want(t, 200)
	id := w.me(t, p)["id"].(string)
	w.do(t, "PATCH", "/v1/admin/profiles/"+id, `{"bio":"y"}`, w.admin().is(), header("X-Request-ID", "fix-"+p.id)).want(t, 200)
	w.do(t, "DELETE", "/v1/admin/profiles/"+id, nil, w.admin().is(), header("X-Request-ID", "erase-"+p.id)).want(t, 202)
	if all := w.everything(t); strings.Contains(strings.ToLower(all), strings.ToLower(p.id[5:])) {
		at := strings.Index(strings.ToLower(all), strings.ToLower(p.id[5:]))
		t.Errorf("the Clerk id is still there: %s", all[max(0, at-300):min(len(all), at+200)])
	}
	if n := w.count(t, "SELECT count(*) FROM audit_events WHERE profile_id = $1 AND request_id = ''", id); n != 4 {
		t.Errorf("%d events", n)
	}
}
