package main_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/otlpreceiver"
	"github.com/profile-api/profile-api/internal/sentrystandin"
	"github.com/profile-api/profile-api/internal/testhooks"
)

// A secret in any part of a request, of requests that go well, are refused or
// fail unexpectedly, is in no log line, trace, metric or Sentry event, while each
// of the four has something to tell of them.
func TestSecretsOfARequestAppearNowhere(t *testing.T) {
	parallel(t)
	const canary = "cAnArY"
	sentry, spans := sentrystandin.New(t), otlpreceiver.New(t)
	s := newStack(t)
	p := s.replica(t, "SENTRY_DSN", sentry.DSN(), "OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL(), "LOG_LEVEL", "debug", "CLERK_ROLE_CLAIM", "role")
	id := newUserID()
	token := s.clerk.Mint(clerkstandin.WithUser(id), clerkstandin.WithClaim("role", canary), clerkstandin.WithClaim("email", canary+"@example.test"))
	s.clerk.PutPerson(clerkstandin.Person{ID: id, Username: canary + "name", Email: canary + "@example.test", EmailVerified: true, CreatedAt: time.Now()})
	headers := []string{
		"Content-Type", "application/merge-patch+json", "Cookie", "session=" + canary, "X-Api-Key", canary, "User-Agent", canary, "Referer", "https://x.test/" + canary,
		"Idempotency-Key", canary, "Tracestate", "vendor=" + canary, "Baggage", "k=" + canary, "X-Forwarded-For", canary,
		"Traceparent", sampled(callersTrace), "If-Match", `"` + canary + `"`,
	}
	ask := func(method, path, token, body string, status int) {
		t.Helper()
		if r := p.call(t, method, path, token, body, headers...); r.status != status {
			t.Fatalf("%s %s is %d, want %d: %s", method, path, r.status, status, r.body)
		}
	}
	ask(http.MethodGet, "/v1/profiles/me?access_token="+canary, token, "", 200)
	ask(http.MethodPatch, "/v1/profiles/me", token, `{"bio":"`+canary+`"}`, 412)
	headers = headers[:len(headers)-2] // without If-Match, changes are made
	ask(http.MethodGet, "/v1/profiles/"+canary, token, "", 404)
	ask(http.MethodGet, "/v1/handles/"+canary, "", "", 200)
	ask(http.MethodGet, "/"+canary, token, "", 404)
	ask(http.MethodGet, "/v1/profiles/me", token+canary, "", 401)
	ask(http.MethodGet, "/v1/admin/profiles?q="+canary, token, "", 403)
	ask(http.MethodGet, "/v1/profiles?cursor="+canary, token, "", 400)
	ask(http.MethodPatch, "/v1/profiles/me", token, `{"`+canary+`":1}`, 422)
	ask(http.MethodPatch, "/v1/profiles/me", token, `{"bio":"`+canary, 400)
	ask(http.MethodPatch, "/v1/profiles/me", token, `{"bio":"`+canary+`","metadata":{"`+canary+`":"`+canary+`"}}`, 200)
	delivery := clerkstandin.Event("user.updated", clerkstandin.Person{ID: id, Username: canary, Email: canary + "@example.test", CreatedAt: time.Now()}, time.Now())
	signed := testhooks.Header(t, testhooks.Secret, "msg_1", time.Now(), delivery)
	if r := p.call(t, http.MethodPost, "/v1/webhooks/clerk", "", string(delivery), "Svix-Id", "msg_1",
		"Svix-Timestamp", signed.Get("Svix-Timestamp"), "Svix-Signature", signed.Get("Svix-Signature")); r.status != 202 {
		t.Fatalf("a delivery is %d", r.status)
	}
	s.broken(t)
	ask(http.MethodPatch, preferencesPath+"?q="+canary, token, `{"content_language":"de","theme":"dark"}`, 500)
	ask(http.MethodDelete, "/v1/profiles/me", token, "", 202)
	eventually(t, "the erased person is gone at Clerk", func() bool { _, found := s.clerk.Person(id); return !found })
	metrics := p.rawMetrics(t)
	p.stop(t)

	told := map[string]string{"the log": p.stdout.String() + p.stderr.String(), "the metrics": string(metrics), "the traces": spans.Raw(), "Sentry": sentry.Everything()}
	proof := map[string]string{
		"the log": preferencesPath, "the metrics": preferencesPath, "the traces": "PATCH " + preferencesPath, "Sentry": preferencesPath,
	}
	_, signature, _ := strings.Cut(token, ".")
	for where, text := range told {
		if !strings.Contains(text, proof[where]) {
			t.Errorf("%s tells nothing of the requests, so nothing is shown: %.300s", where, text)
		}
		for _, secret := range append(secretsOf(t, s.settings), canary, strings.ToLower(canary), "canary-text", id, token, signature, "example.test") {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("%s holds %q", where, secret)
			}
		}
	}
}
