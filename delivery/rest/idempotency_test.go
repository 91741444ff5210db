package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// unmarked lists the rows that change something and do not take an
// Idempotency-Key, and those that take one where it means nothing.
func unmarked(table []middleware.Route) (faults []string) {
	for _, r := range table {
		changes := (r.Method == http.MethodPost || r.Method == http.MethodDelete) && !strings.HasPrefix(r.Template, "/v1/webhooks/")
		signedIn := r.Access == middleware.AccessAccount || r.Access == middleware.AccessAdmin
		if r.Idempotent != changes || r.Idempotent && !signedIn {
			faults = append(faults, r.Method+" "+r.Template)
		}
	}
	return faults
}

func TestEveryPostAndDeleteTakesAnIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	if faults := unmarked(routes(w.deps)); len(faults) != 0 {
		t.Errorf("not marked as they should be: %q", faults)
	}
	account, public := middleware.AccessAccount, middleware.AccessPublic
	got := unmarked([]middleware.Route{
		{Method: "POST", Template: "/a", Access: account, Idempotent: true}, {Method: "DELETE", Template: "/a", Access: account, Idempotent: true},
		{Method: "POST", Template: "/v1/webhooks/clerk", Access: middleware.AccessOpen}, {Method: "GET", Template: "/a"}, {Method: "PATCH", Template: "/a"},
		{Method: "POST", Template: "/b", Access: account}, {Method: "DELETE", Template: "/b", Access: account},
		{Method: "GET", Template: "/c", Access: account, Idempotent: true}, {Method: "POST", Template: "/d", Access: public, Idempotent: true},
	})
	if want := []string{"POST /b", "DELETE /b", "GET /c", "POST /d"}; !slices.Equal(got, want) {
		t.Errorf("this test finds %q, want %q", got, want)
	}
}

func TestARepeatGetsTheFirstAnswer(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	first := w.post(t, p, "k")
	again := w.post(t, p, "k")
	if a, b := first.whole(t, false), again.whole(t, true); a != b || first.body != again.body {
		t.Errorf("first %s, then %s", first.body, again.body)
	}
	if first.header.Get("X-Request-Id") == again.header.Get("X-Request-Id") || again.header.Get("RateLimit") == "" || again.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of the request at hand: %v", again.header)
	}
	w.wantEffects(t, 1)
	if w.runs.Load() != 1 {
		t.Errorf("%d runs", w.runs.Load())
	}
	// Without a key each request is one of its own.
	if a, b := w.post(t, p, "").whole(t, false), w.post(t, p, "").whole(t, false); a == b {
		t.Error("replayed without a key")
	}
	w.wantEffects(t, 3)
	w.wantRecords(t, 1)
}

func TestAnotherRequestUnderTheSameKeyIsRefused(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	w.post(t, p, "k").whole(t, false)
	for _, c := range []struct{ name, method, path, body string }{
		{"body", "POST", effects, `{"a": 1}`}, {"no body", "POST", effects, ""}, {"path", "POST", effects + "b", `{"a":1}`},
		{"method", "DELETE", effects, `{"a":1}`}, {"query", "POST", effects + "?b=1", `{"a":1}`},
	} {
		got := w.do(t, c.method, c.path, c.body, p.is(), idempotencyKeyed("k")).problem(t, 422, domain.CodeIdempotencyKeyReused)
		if list, _ := got.object(t)["errors"].([]any); len(list) != 1 || list[0].(map[string]any)["code"] != "key_reused" {
			t.Errorf("%s: %s", c.name, got.body)
		}
	}
	w.wantEffects(t, 1)
	w.post(t, p, "k").whole(t, true) // what was kept is kept still
	query := func(q string) int { return w.do(t, "POST", effects+q, "", p.is(), idempotencyKeyed("q")).status }
	if got := []int{query("?a=1&b=2"), query("?a=1&b=2"), query("?b=2&a=1"), query("")}; !slices.Equal(got, []int{201, 201, 422, 422}) {
		t.Errorf("by their queries: %v", got)
	}
}

func TestKeysBelongToTheirCaller(t *testing.T) {
	w := newEffectWorld(t)
	ids := map[string]bool{}
	for range 3 {
		p := w.person()
		id := w.post(t, p, "k").whole(t, false)
		if again := w.post(t, p, "k").whole(t, true); again != id || ids[id] {
			t.Errorf("%s after %s", again, id)
		}
		ids[id] = true
	}
	w.wantEffects(t, 3)
	// Nobody's keys are not looked at: everybody would share them.
	for range 2 {
		w.do(t, "POST", "/v1/test/anyone", "", idempotencyKeyed("k")).want(t, 204)
	}
	if w.runs.Load() != 5 {
		t.Errorf("%d runs", w.runs.Load())
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	bad := map[string][]string{
		"too long": {strings.Repeat("x", 256)}, "empty": {""}, "with a space": {"a b"}, "a space": {" "}, "not ASCII": {"é"}, "control": {"a\x01"},
		"twice": {"a", "b"}, "twice the same": {"a", "a"}, "and an empty one": {"a", ""},
	}
	for name, values := range bad {
		got := w.do(t, "POST", effects, `{"a":1}`, p.is(), header("Idempotency-Key", values...))
		if got.status != 400 {
			t.Errorf("%s: %d", name, got.status)
			continue
		}
		got.problem(t, 400, domain.CodeMalformedRequest)
		for _, method := range []string{"GET", "HEAD", "PATCH"} { // there it means nothing
			w.do(t, method, effects, nil, p.is(), header("Idempotency-Key", values...)).want(t, 201)
		}
	}
	w.wantEffects(t, int64(3*len(bad)))
	w.wantRecords(t, 0)
	w.do(t, "POST", effects, "", header("Idempotency-Key", "a b")).problem(t, 401, domain.CodeUnauthenticated)
	for _, key := range []string{strings.Repeat("x", 255), "!", "~", `"quoted"`} {
		w.post(t, p, key).whole(t, false)
		w.post(t, p, key).whole(t, true)
	}
}

func TestTwentyAtOnceAreOne(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	w.me(t, p)
	const n = 20
	replies := make([]reply, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { replies[i] = w.post(t, p, "k") })
	}
	wg.Wait()
	first, ids := 0, map[string]bool{}
	for _, r := range replies {
		if r.status == http.StatusConflict {
			r.problem(t, 409, domain.CodeRequestInProgress)
			continue
		}
		replayed := r.header.Get("Idempotency-Replayed") != ""
		if !replayed {
			first++
		}
		ids[r.whole(t, replayed)] = true
	}
	if first != 1 || len(ids) != 1 || w.runs.Load() != 1 {
		t.Errorf("%d are the first, %d answers, %d runs", first, len(ids), w.runs.Load())
	}
	w.wantEffects(t, 1)
	w.wantRecords(t, 1)
}

func TestARunningRequestIsNotRepeated(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan reply)
	w.after = func(_ echo.Context, run int32) error {
		if run == 1 {
			close(entered)
			<-release
		}
		return nil
	}
	go func() { done <- w.post(t, p, "k") }()
	<-entered
	for range 3 {
		w.post(t, p, "k").problem(t, 409, domain.CodeRequestInProgress)
	}
	w.wantEffects(t, 0) // not before the commit
	w.post(t, p, "another").whole(t, false)
	w.post(t, w.person(), "k").whole(t, false)
	close(release)
	id := (<-done).whole(t, false)
	if again := w.post(t, p, "k").whole(t, true); again != id {
		t.Errorf("%s after %s", again, id)
	}
	w.wantEffects(t, 3)
}

func TestAnAnswerIsKeptForADay(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	fresh := func(p person) person { return person{p.id, w.person(withUser(p.id)).token} } // tokens age too
	first := w.post(t, p, "k").whole(t, false)
	w.clock.Advance(24*time.Hour - time.Second)
	if again := w.post(t, fresh(p), "k").whole(t, true); again != first {
		t.Errorf("%s after %s", again, first)
	}
	w.clock.Advance(time.Second)
	second := w.post(t, fresh(p), "k").whole(t, false)
	if again := w.post(t, fresh(p), "k").whole(t, true); again != second || second == first {
		t.Errorf("%s, %s, %s", first, second, again)
	}
	w.wantEffects(t, 2)
	w.wantRecords(t, 1)
	purge := usecase.NewPurge(w.clock, usecase.PurgeTask{Name: "responses", Rows: postgres.NewIdempotency(w.db)})
	must(t, purge.Run(t.Context()))
	w.wantRecords(t, 1)
	w.clock.Advance(24 * time.Hour)
	must(t, purge.Run(t.Context()))
	w.wantRecords(t, 0)
}

// Access is asked anew for every repeat.
func TestWhoMayNoLongerCallHearsNoOldAnswer(t *testing.T) {
	w := newEffectWorld(t)
	admin := w.person(adminRole)
	was := person{admin.id, w.person(withUser(admin.id)).token}
	ask := func(p person) reply {
		return w.do(t, "POST", "/v1/test/admin", `{"a":1}`, p.is(), idempotencyKeyed("k"))
	}
	ask(admin).whole(t, false)
	ask(admin).whole(t, true)
	ask(was).problem(t, 403, domain.CodeForbidden)
	ask(person{token: "bad"}).problem(t, 401, domain.CodeUnauthenticated)
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE clerk_user_id = $1", admin.id)
	ask(admin).problem(t, 403, domain.CodeAccountSuspended)
}

// The answer to one's own erasure may get lost: its repeat is answered though every other request is refused.
func TestTheErasedHearTheirErasuresAnswerAgain(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	w.post(t, p, "other").whole(t, false)
	erase := func(p person, body string, changes ...with) reply {
		return w.do(t, "DELETE", "/v1/test/me", body, append([]with{p.is()}, changes...)...)
	}
	first := erase(p, "", idempotencyKeyed("k")).want(t, 202)
	again := erase(p, "", idempotencyKeyed("k")).want(t, 202)
	if first.body != again.body || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("first %s, then %s %v", first.body, again.body, again.header)
	}
	for name, got := range map[string]reply{
		"without a key": erase(p, ""), "under another": erase(p, "", idempotencyKeyed("l")), "with another body": erase(p, "{}", idempotencyKeyed("k")),
		"under what is none": erase(p, "", idempotencyKeyed("a b")),
		"another route":      w.do(t, "GET", "/v1/profiles/me", nil, p.is(), idempotencyKeyed("k")),
	} {
		if t.Run(name, func(t *testing.T) { got.problem(t, 401, domain.CodeAccountErased) }); got.header.Get("Www-Authenticate") == "" {
			t.Errorf("%s: no challenge", name)
		}
	}
	erase(w.person(), "", idempotencyKeyed("k")).want(t, 202) // somebody else: their own
	erase(person{p.id, "bad"}, "", idempotencyKeyed("k")).problem(t, 401, domain.CodeUnauthenticated)
	w.clock.Advance(24 * time.Hour)
	late := person{p.id, w.person(withUser(p.id)).token}
	erase(late, "", idempotencyKeyed("k")).problem(t, 401, domain.CodeAccountErased)
	if w.runs.Load() != 3 {
		t.Errorf("%d runs", w.runs.Load())
	}
}

// What is kept names nobody outside of the body, and is found by whom it tells of.
func TestWhatIsKeptNamesNobody(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	const key = "a-key-that-nobody-may-read"
	w.post(t, p, key).whole(t, false)
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	var row, subject string
	must(t, conn.QueryRow(t.Context(), `SELECT (to_jsonb(k) - 'body')::text, subject_profile_id::text FROM idempotency_keys k`).Scan(&row, &subject))
	for _, secret := range []string{key, p.id, "Of-The-Run", "Request-Id", "effects/a", `{\"a\"`} {
		if strings.Contains(row, secret) || strings.Contains(w.log.String(), key) {
			t.Errorf("%q can be read in %s or in the log", secret, row)
		}
	}
	if mine := w.me(t, p)["id"]; subject != mine {
		t.Errorf("it tells of %s, not of %v", subject, mine)
	}
	if kept := w.count(t, "SELECT count(*) FROM idempotency_keys WHERE headers ?& '{Content-Type,ETag,Location}' AND headers - '{Content-Type,ETag,Location}'::text[] = '{}'"); kept != 1 {
		t.Errorf("kept headers: %s", row)
	}
}

func TestPagesMayReadWhetherAnAnswerIsARepeat(t *testing.T) {
	const origin = "https://app.example.com"
	w := newEffectWorld(t, func(d *Deps) { d.CORSAllowedOrigins = []string{origin} })
	got := w.post(t, w.person(), "k", header("Origin", origin))
	exposed := fmt.Sprint(got.header.Values("Access-Control-Expose-Headers"))
	if !strings.Contains(exposed, "Idempotency-Replayed") {
		t.Errorf("exposed: %s", exposed)
	}
	replayed := w.post(t, w.person(), "k", header("Origin", origin))
	if v := replayed.header.Values("Vary"); !slices.Contains(v, "Origin") {
		t.Errorf("Vary %q", v)
	}
}
