package main_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/sentrystandin"
)

// broken makes the database answer a change of preferences with an error that nobody
// expects, and that quotes a value.
func (s *stack) broken(t *testing.T) {
	t.Helper()
	conn := connect(t, s.database)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := conn.Exec(ctx, `
		CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'canary-text %', NEW USING ERRCODE = '22012'; END $$;
		CREATE TRIGGER break BEFORE INSERT OR UPDATE ON preferences FOR EACH ROW EXECUTE FUNCTION break()`); err != nil {
		t.Fatal(err)
	}
}

const preferencesPath = "/v1/profiles/me/preferences"

// Of what goes wrong, Sentry hears of what nobody expected, once and before the
// program has ended, and of nothing that a client sent.
func TestSentryHearsOfUnexpectedErrorsOnce(t *testing.T) {
	parallel(t)
	sentry := sentrystandin.New(t)
	s := newStack(t)
	p := s.replica(t, "SENTRY_DSN", sentry.DSN(), "DB_LOCK_TIMEOUT", "200ms")
	token, id := s.person(t)
	p.get(t, "/v1/profiles/me", token)

	for _, r := range []struct {
		reply  reply
		status int
	}{
		{p.get(t, "/v1/profiles/me", ""), http.StatusUnauthorized},
		{p.get(t, "/v1/admin/profiles", token), http.StatusForbidden},
		{p.get(t, "/canary-path", ""), http.StatusNotFound},
		{p.patch(t, "/v1/profiles/me", token, `{"bio":`), http.StatusBadRequest},
		{p.patch(t, "/v1/profiles/me", token, `{"timezone":"canary/zone"}`), http.StatusUnprocessableEntity},
	} {
		if r.reply.status != r.status {
			t.Fatalf("status %d, want %d: %s", r.reply.status, r.status, r.reply.body)
		}
	}
	release := lockProfile(t, s.database, id) // longer than the program waits for a lock
	busy := p.patch(t, "/v1/profiles/me", token, `{"bio":"canary-bio"}`)
	release()
	if busy.status != http.StatusServiceUnavailable {
		t.Fatalf("status %d while the row is locked: %s", busy.status, busy.body)
	}

	s.broken(t)
	got := p.call(t, http.MethodPatch, preferencesPath+"?canary-query=1", token, `{"theme":"dark"}`,
		"Content-Type", "application/merge-patch+json", "X-Request-Id", "request-500", "X-Email", "canary@example.test")
	got.wantProblem(t, http.StatusInternalServerError, "internal")
	p.stop(t)

	events := sentry.Events()
	if len(events) != 1 {
		t.Fatalf("%d events: %s", len(events), sentry.Everything())
	}
	e := events[0]
	if e.Release != "profile-api@"+builtVersion+"+abcdef0" || e.Environment != "production" || e.Transaction != "PATCH "+preferencesPath ||
		e.Tags["request_id"] != "request-500" || !traceID.MatchString(e.Tags["trace_id"]) || !strings.Contains(e.Exception[0].Value, "SQLSTATE 22012") {
		t.Errorf("the event is %s", e.Raw)
	}
	for _, secret := range append(secretsOf(t, s.with("SENTRY_DSN", "disabled")), token, id, "canary", "theme", "SELECT", "UPDATE") {
		if secret != "" && strings.Contains(sentry.Everything(), secret) {
			t.Errorf("%q is told to Sentry", secret)
		}
	}
}

// A column that is not there may be a step of a release that passes, so callers are told to come again; that it is not
// there while the replica is ready is for somebody to look at.
func TestSentryHearsOfASchemaThatDoesNotFit(t *testing.T) {
	parallel(t)
	sentry := sentrystandin.New(t)
	s := newStack(t)
	p := s.replica(t, "SENTRY_DSN", sentry.DSN())
	token, _ := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	conn := connect(t, s.database)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := conn.Exec(ctx, `ALTER TABLE preferences RENAME COLUMN theme TO theme_before`); err != nil {
		t.Fatal(err)
	}
	p.patch(t, preferencesPath, token, `{"theme":"dark"}`).wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	p.stop(t)
	events := sentry.Events()
	if len(events) != 1 || events[0].Transaction != "PATCH "+preferencesPath || !strings.Contains(events[0].Exception[0].Value, "SQLSTATE 42703") {
		t.Errorf("the events are %s", sentry.Everything())
	}
}

// A Sentry that answers nothing holds up neither requests nor the end.
func TestSentryThatHangsHoldsNothingUp(t *testing.T) {
	parallel(t)
	sentry := sentrystandin.New(t)
	sentry.Answer(sentry.Hang)
	s := newStack(t)
	p := s.replica(t, "SENTRY_DSN", sentry.DSN(), "SHUTDOWN_TIMEOUT", "10m")
	token, _ := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	s.broken(t)
	for range 20 {
		if r := p.patch(t, preferencesPath, token, `{"theme":"dark"}`); r.status != http.StatusInternalServerError {
			t.Fatalf("status %d: %s", r.status, r.body)
		}
	}
	eventually(t, "Sentry was asked", func() bool { return sentry.Asked() > 0 })
	if held := p.metrics(t).value(`sentry_events_total{outcome="held_back"}`); held != 17 {
		t.Errorf("%v events are held back, want 17", held)
	}
	if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
		t.Errorf("status %d", r.status)
	}
	begun := time.Now()
	p.stop(t) // far below the ten minutes, or p has not ended
	t.Logf("the program ended after %s", time.Since(begun))
}
