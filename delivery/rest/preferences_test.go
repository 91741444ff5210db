package rest

import (
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

const preferencesPath = "/v1/profiles/me/preferences"

func TestPreferences(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	got := w.do(t, "GET", preferencesPath, nil, p.is()).want(t, 200) // also the person's very first request
	if got.body != `{"theme":"system","email_notifications":{"product":false,"security":true,"digest":false},"content_language":null,"reduced_motion":false,"version":1}`+"\n" {
		t.Errorf("of a new person: %s", got.body)
	}
	if got.header.Get("ETag") != `"v1"` || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", got.header)
	}
	w.do(t, "GET", preferencesPath, nil, p.is(), header("If-None-Match", `"v1"`)).want(t, 304)

	changed := w.do(t, "PATCH", preferencesPath, `{"theme":"dark","email_notifications":{"digest":true},"content_language":"pt-BR","reduced_motion":true}`,
		p.is(), header("If-Match", `"v1"`)).want(t, 200)
	want := `{"theme":"dark","email_notifications":{"product":false,"security":true,"digest":true},"content_language":"pt-BR","reduced_motion":true,"version":2}` + "\n"
	if changed.body != want || changed.header.Get("ETag") != `"v2"` || changed.header.Get("Accept-Patch") == "" {
		t.Errorf("%s %v", changed.body, changed.header)
	}
	if again := w.do(t, "GET", preferencesPath, nil, p.is()); again.body != want {
		t.Errorf("stored %s", again.body)
	}
	// A stale condition changes nothing, and neither does a patch that says what is so already.
	w.do(t, "PATCH", preferencesPath, `{"theme":"light"}`, p.is(), header("If-Match", `"v1"`)).problem(t, 412, domain.CodePreconditionFailed)
	if same := w.do(t, "PATCH", preferencesPath, `{"theme":"dark","email_notifications":{}}`, p.is(), mediaType("application/json")).want(t, 200); same.body != want {
		t.Errorf("after no change %s", same.body)
	}
	if m := w.do(t, "PATCH", preferencesPath, `{"content_language":null}`, p.is()).want(t, 200).object(t); m["content_language"] != nil || m["version"] != 3.0 {
		t.Errorf("after a removal %v", m)
	}
	if w.me(t, p)["version"] != 1.0 {
		t.Error("the profile's version moved")
	}
	if n := w.count(t, `SELECT count(*) FROM audit_events WHERE action = 'preferences.updated' AND actor_kind = 'user' AND actor_id = profile_id
		AND changed_fields IN ('["theme","email_notifications","content_language","reduced_motion"]', '["content_language"]')`); n != 2 {
		t.Errorf("%d such events", n)
	}
	other := w.person() // has preferences of their own
	if m := w.do(t, "GET", preferencesPath, nil, other.is()).want(t, 200).object(t); m["theme"] != "system" {
		t.Errorf("somebody else's: %v", m)
	}
}

func TestPreferencesThatAreNone(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	for body, want := range map[string]string{
		`{"theme":"pink"}`:                                  "/theme unknown",
		`{"theme":null}`:                                    "/theme required",
		`{"theme":1}`:                                       "/theme invalid_type",
		`{"reduced_motion":"yes"}`:                          "/reduced_motion invalid_type",
		`{"reduced_motion":null}`:                           "/reduced_motion required",
		`{"email_notifications":null}`:                      "/email_notifications required",
		`{"email_notifications":[]}`:                        "/email_notifications invalid_type",
		`{"email_notifications":{"digest":1}}`:              "/email_notifications/digest invalid_type",
		`{"email_notifications":{"digest":null}}`:           "/email_notifications/digest required",
		`{"email_notifications":{"sms":true}}`:              "/email_notifications/sms unknown_field",
		`{"content_language":"not a tag"}`:                  "/content_language invalid_format",
		`{"content_language":""}`:                           "/content_language invalid_format",
		`{"version":7}`:                                     "/version unknown_field",
		`{"profile_id":"x","theme":"dark"}`:                 "/profile_id unknown_field",
		`{"theme":7,"a/b":1,"email_notifications":{"~":1}}`: "/theme invalid_type,/a~1b unknown_field,/email_notifications/~0 unknown_field",
	} {
		if got := strings.Join(w.do(t, "PATCH", preferencesPath, body, p.is()).faults(t), ","); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	for _, body := range []string{`[]`, `{`, `{"theme":"dark","theme":"dark"}`, `{"Theme":"dark"}`, `{"email_notifications":{"Digest":true}}`, `{} {}`, ``} {
		w.do(t, "PATCH", preferencesPath, body, p.is()).problem(t, 400, domain.CodeMalformedRequest)
	}
	w.do(t, "PATCH", preferencesPath, `{}`, p.is(), mediaType("text/plain")).problem(t, 415, domain.CodeUnsupportedMediaType)
	w.do(t, "GET", preferencesPath, nil).problem(t, 401, domain.CodeUnauthenticated)
	if m := w.do(t, "GET", preferencesPath, nil, p.is()).object(t); m["version"] != 1.0 || m["theme"] != "system" {
		t.Errorf("something was changed: %v", m)
	}
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE clerk_user_id = $1", p.id)
	w.do(t, "PATCH", preferencesPath, `{"theme":"dark"}`, p.is()).problem(t, 403, domain.CodeAccountSuspended)
}
