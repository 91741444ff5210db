package rest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// holdRow locks a profile's row beside the service until release.
func (w *world) holdRow(t *testing.T, id string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM profiles WHERE id = $1 FOR UPDATE", id)
	must(t, err)
	return func() {
		ctx := context.WithoutCancel(t.Context())
		must(t, tx.Rollback(ctx))
		must(t, conn.Close(ctx))
	}
}

// Every route that takes an Idempotency-Key, as the program has it: no key, a
// key that is none, one at work, one replayed, one used for something else.
func TestIdempotencyKeysOnEveryRoute(t *testing.T) {
	w := newWorld(t)
	boss := w.admin()
	w.me(t, boss)
	json := mediaType("application/json")
	tried := 0
	for _, route := range routes(w.deps) {
		if !route.Idempotent {
			continue
		}
		tried++
		handle := newHandle()
		p, id := w.named(t, handle)
		as, path := boss, strings.ReplaceAll(route.Template, ":id", id)
		if !strings.HasPrefix(path, "/v1/admin/") {
			as = p
		}
		if strings.HasSuffix(path, "/reactivate") { // so that there is something to do
			w.do(t, "POST", strings.TrimSuffix(path, "reactivate")+"suspend", `{"reason":"x"}`, boss.is(), json).want(t, 200)
		}
		call := func(key string, more ...with) reply {
			return w.do(t, route.Method, path, `{"reason":"once"}`, append([]with{as.is(), json, header("Idempotency-Key", key)}, more...)...)
		}
		for _, bad := range []string{"", " ", "a b", "ü", strings.Repeat("k", 256)} {
			call(bad).problem(t, 400, domain.CodeMalformedRequest)
		}
		w.do(t, route.Method, path, nil, as.is(), json, header("Idempotency-Key", "a", "b")).problem(t, 400, domain.CodeMalformedRequest)
		call("stale", header("If-Match", `"v1"`)).problem(t, 412, domain.CodePreconditionFailed)

		key := strings.Repeat("k", 254) + string(rune('a'+tried))
		release := w.holdRow(t, id)
		first := make(chan reply)
		go func() { first <- call(key) }()
		w.waitForLock(t)
		call(key).problem(t, 409, domain.CodeRequestInProgress)
		release()
		done := <-first
		if done.status != 200 && done.status != 202 {
			t.Fatalf("%s: %d %s", path, done.status, done.body)
		}
		events := w.count(t, "SELECT count(*) FROM audit_events")
		again := call(key)
		if again.status != done.status || again.body != done.body || again.header.Get("ETag") != done.header.Get("ETag") || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %s, at first %d %s", path, again.status, again.body, done.status, done.body)
		}
		if n := w.count(t, "SELECT count(*) FROM audit_events"); n != events {
			t.Errorf("%s: the repeat had an effect", path)
		}
		if path != "/v1/profiles/me" { // its caller is erased: see TestEraseOwn
			w.do(t, route.Method, path, `{"reason":"other"}`, as.is(), json, header("Idempotency-Key", key)).problem(t, 422, domain.CodeIdempotencyKeyReused)
			continue
		}
		// A key that this caller used for something else, before being erased.
		other, _ := w.named(t, newHandle())
		other.token = w.clerk.Mint(clerkstandin.WithUser(other.id), adminRole)
		w.do(t, "POST", "/v1/admin/profiles/"+w.me(t, boss)["id"].(string)+"/reactivate", nil, other.is(), json, header("Idempotency-Key", key)).want(t, 200)
		w.do(t, route.Method, path, nil, other.is(), header("Idempotency-Key", key)).problem(t, 422, domain.CodeIdempotencyKeyReused)
	}
	if tried != 4 {
		t.Errorf("%d routes take a key", tried)
	}
}

// waitForLock waits until a statement of the service waits for a row.
func (w *world) waitForLock(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(liveness); ; time.Sleep(5 * time.Millisecond) {
		if w.count(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing waits for the row")
		}
	}
}
