package domain_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

func TestParseWebhookEvent(t *testing.T) {
	hundred := strings.Repeat("日", 100)
	for body, want := range map[string]domain.WebhookType{
		`{"type":"user.created","data":{}}`:                                      domain.WebhookUserCreated,
		`{"type":"user.updated","data":{"id":1}}`:                                domain.WebhookUserUpdated,
		"\n{\"data\":{\"deleted\":true},\"x\":[1],\"type\":\"user.deleted\"}\n":  domain.WebhookUserDeleted,
		`{"type":"session.created"}`:                                             domain.WebhookOther,
		`{"type":"user.createdAtLeastOnce","data":[]}`:                           domain.WebhookOther,
		`{"type":"User.created"}`:                                                domain.WebhookOther,
		`{"type":"other"}`:                                                       domain.WebhookOther,
		`{"type":"` + hundred + `"}`:                                             domain.WebhookOther,
		`{"type":"\ud800"}`:                                                      domain.WebhookOther,
		`{"type":"user.updated","data":{"first_name":"\ud800"},"note":"\udfff"}`: domain.WebhookUserUpdated,
		`{"TYPE":1,"type":"user.updated","Data":1,"data":{}}`:                    domain.WebhookUserUpdated,
	} {
		e, err := domain.ParseWebhookEvent([]byte(body))
		if err != nil || e.Type != want || (e.Data == nil) != (want == domain.WebhookOther) {
			t.Errorf("%s: %+v, %v", body, e, err)
		}
	}
	for _, body := range []string{
		``, ` `, `null`, `[]`, `"x"`, `1`, `{`, `{}`, `{}{}`, `{"type":"x"}x`, `{"type":null}`, `{"type":1}`, `{"type":""}`, `{"type":["x"]}`,
		`{"Type":"user.created","data":{}}`, `{"type":"` + hundred + `x"}`, `{"type":"user.created"}`, `{"type":"user.created","data":null}`,
		`{"type":"user.created","data":[]}`, `{"type":"user.created","data":"{}"}`, `{"type":"user.deleted","Data":{}}`, `{'type':'x'}`,
		"\xef\xbb\xbf" + `{"type":"x"}`, `{"type":"x",}`, `{"type":"x","n":01}`, `{"type":"user.updated","data":{"id":}}`,
		`{"type":"x","deep":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "{\"type\":\"x\x00\"}",
		"{\"type\":\"user.updated\",\"data\":{\"first_name\":\"\xff\"}}", "{\"type\":\"x\",\"note\":\"\xc3\"}",
		`{"type":"user.created","type":"user.deleted","data":{"id":"user_1"}}`, `{"type":"user.deleted","data":{},"data":{"id":"user_1"}}`,
		`{"type":"user.deleted","data":{"id":"user_1","id":"user_2"}}`, `{"type":"user.deleted","data":{"id":"user_1","\u0069d":"user_2"}}`,
	} {
		e, err := domain.ParseWebhookEvent([]byte(body))
		if !errors.Is(err, domain.Malformed) || !domain.HasCode(err, domain.CodeMalformedRequest) || e.Type != "" {
			t.Errorf("%.60s: %+v, %v", body, e, err)
		}
	}
}

// Only what a profile is made of is stored at all.
func TestAnEventKeepsLittle(t *testing.T) {
	e, err := domain.ParseWebhookEvent([]byte(`{"type":"user.updated","data":{"id":"user_1","ID":"user_2","phone_numbers":[{"phone_number":"+491701234567"}],
		"private_metadata":{"a":1},"email_addresses":[{"id":"idn_1","email_address":"a@example.org"}],"updated_at":5,"banned":false,"first_name":"<\ud800>"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(e.Data, &kept); err != nil {
		t.Fatal(err)
	}
	want := []string{"banned", "email_addresses", "first_name", "id", "updated_at"}
	if got := slices.Sorted(maps.Keys(kept)); !slices.Equal(got, want) || kept["first_name"] != "<\ufffd>" {
		t.Errorf("kept %v", kept)
	}
}

func TestSubjectOfAnEvent(t *testing.T) {
	for data, want := range map[string]string{
		`{"id":"user_2abc"}`: "user_2abc", `{"id":"user_"}`: "", `{"id":"org_1"}`: "", `{"id":1}`: "", `{"id":null}`: "", `{"ID":"user_1"}`: "", `{}`: "",
		`{"id":"user_a b"}`: "", `{"id":"user_\u0000"}`: "", `{"id":"user_` + strings.Repeat("a", 65) + `"}`: "", `{"id":"user_1\n"}`: "",
	} {
		e := domain.WebhookEvent{Type: domain.WebhookUserUpdated, Data: json.RawMessage(data)}
		if got := e.Subject(); got != want {
			t.Errorf("%s: %q", data, got)
		}
	}
}

func TestWebhookDelivery(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	sealer, hashes := domain.NewSealer("new", "old"), domain.NewPseudonymizer("new", "old")
	e := domain.WebhookEvent{Type: domain.WebhookUserUpdated, Data: json.RawMessage(`{"id":"user_2abcdefgh","email_addresses":[{"email_address":"a@example.org"}]}`)}
	d, err := domain.NewWebhookDelivery("msg_1", e, domain.NewSealer("old"), domain.NewPseudonymizer("old"), now)
	if err != nil {
		t.Fatal(err)
	}
	row, err := json.Marshal(d)
	if err != nil || strings.Contains(string(row), "2abcdefgh") || strings.Contains(string(row), "example.org") {
		t.Errorf("the row tells of whom: %s, %v", row, err)
	}
	if d.SubjectHash == nil || !slices.Contains(domain.WebhookSubjectHashes(hashes, "user_2abcdefgh"), *d.SubjectHash) {
		t.Errorf("the subject cannot be found after a rotation: %v", d.SubjectHash)
	}
	opened, err := d.Event(sealer)
	if err != nil || opened.Type != e.Type || string(opened.Data) != string(e.Data) {
		t.Errorf("opened %+v, %v", opened, err)
	}
	if _, err := d.Event(domain.NewSealer("another")); !errors.Is(err, domain.Internal) || strings.Contains(err.Error(), "example.org") {
		t.Errorf("under a lost key: %v", err)
	}

	failed := d.Failed("a", true, now.Add(time.Minute))
	failed = failed.Failed("b", false, now.Add(2*time.Minute))
	if failed.State != domain.WebhookFailed || failed.Reason != "b" || failed.Attempts != 1 || failed.ExpiresAt != nil || failed.SealedData == nil || d.Attempts != 0 {
		t.Errorf("failed: %+v", failed)
	}
	dead := failed.Dead("c", true, now)
	if dead.State != domain.WebhookDead || dead.Attempts != 2 || dead.SealedData == nil || !dead.ExpiresAt.Equal(dead.UpdatedAt.Add(90*24*time.Hour)) {
		t.Errorf("dead: %+v", dead)
	}
	if again := dead.Replayed(now); again.State != domain.WebhookReceived || again.Attempts != 0 || again.Reason != "" || again.ExpiresAt != nil || again.SealedData == nil {
		t.Errorf("replayed: %+v", again)
	}
	done := dead.Settled(domain.WebhookApplied, "updated", now)
	if done.SealedData != nil || done.Reason != "updated" || !done.ExpiresAt.Equal(done.UpdatedAt.Add(30*24*time.Hour)) || !done.ReceivedAt.Equal(d.ReceivedAt) {
		t.Errorf("settled: %+v", done)
	}
	nobody, err := domain.NewWebhookDelivery("msg_2", domain.WebhookEvent{Type: domain.WebhookUserUpdated, Data: json.RawMessage(`{"id":"me","first_name":"Ada"}`)}, sealer, hashes, now)
	if err != nil || nobody.State != domain.WebhookDead || nobody.SealedData != nil || nobody.SubjectHash != nil || nobody.Attempts != 0 || !nobody.ExpiresAt.Equal(*dead.ExpiresAt) {
		t.Errorf("of nobody: %+v, %v", nobody, err)
	}
	for size, kept := range map[int]bool{64 << 10: true, 64<<10 + 1: false} {
		data := `{"id":"user_1","first_name":"` + strings.Repeat("a", size-len(`{"id":"user_1","first_name":""}`)) + `"}`
		large, err := domain.NewWebhookDelivery("msg_3", domain.WebhookEvent{Type: domain.WebhookUserUpdated, Data: json.RawMessage(data)}, sealer, hashes, now)
		if err != nil || (large.SealedData != nil) != kept || (large.SubjectHash != nil) != kept || (large.State == domain.WebhookDead) == kept {
			t.Errorf("of %d bytes: %s, kept %v, %v", size, large.State, large.SealedData != nil, err)
		}
	}
	if _, err := done.Event(sealer); !errors.Is(err, domain.Conflict) {
		t.Errorf("the data of what is done: %v", err)
	}
	for _, state := range domain.WebhookStates() {
		if state.Done() == slices.Contains(domain.OpenWebhookStates(), state) {
			t.Errorf("%s is open and done, or neither", state)
		}
		if open := slices.Contains(domain.OpenWebhookStates(), state); (domain.WebhookRetention(state) == 0) != (open && state != domain.WebhookDead) {
			t.Errorf("%s is kept %s", state, domain.WebhookRetention(state))
		}
	}
	for _, id := range []string{"", " ", "a b", "a\n", "ü", strings.Repeat("a", 256)} {
		if domain.ValidWebhookID(id) {
			t.Errorf("%q may be an id", id)
		}
	}
	if !domain.ValidWebhookID("!~") || !domain.ValidWebhookID(strings.Repeat("a", 255)) {
		t.Error("an id is refused")
	}
}
