package domain

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// clerkRecord is a user object as Clerk writes it, with changes.
func clerkRecord(t *testing.T, change map[string]any) []byte {
	t.Helper()
	record := map[string]any{
		"id": "user_2abc", "object": "user", "updated_at": 1772366400123, "created_at": 1772366400000,
		"first_name": "Ada", "last_name": "Lovelace", "username": "ada", "image_url": "https://img.example/ada",
		"banned": false, "locked": false, "lockout_expires_in_seconds": nil, "primary_email_address_id": "idn_1",
		"email_addresses":  []any{address("idn_0", "old@example.org", "verified"), address("idn_1", "ada@example.org", "verified")},
		"private_metadata": map[string]any{"x": 1}, "phone_numbers": []any{},
	}
	maps.Copy(record, change)
	for name, value := range change {
		if value == absent {
			delete(record, name)
		}
	}
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const absent = "\x00absent"

func address(id, email string, status any) map[string]any {
	return map[string]any{"id": id, "email_address": email, "verification": map[string]any{"status": status}}
}

func TestParseClerkUser(t *testing.T) {
	u, err := ParseClerkUser(clerkRecord(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if u.ID != "user_2abc" || !u.UpdatedAt.Equal(time.UnixMilli(1772366400123)) || *u.Email != "ada@example.org" || *u.AvatarURL != "https://img.example/ada" ||
		*u.DisplayName != "Ada Lovelace" || u.Username != "ada" || u.Suspended || u.LockoutEndsIn != 0 {
		t.Errorf("%+v", u)
	}
	for name, c := range map[string]struct {
		change map[string]any
		got    func(ClerkUser) any
		want   any
	}{
		"primary is not verified":   {map[string]any{"email_addresses": []any{address("idn_1", "a@b.c", "unverified"), address("idn_0", "x@y.z", "verified")}}, email, "<nil>"},
		"verification is null":      {map[string]any{"email_addresses": []any{map[string]any{"id": "idn_1", "email_address": "a@b.c", "verification": nil}}}, email, "<nil>"},
		"no primary":                {map[string]any{"primary_email_address_id": nil}, email, "<nil>"},
		"primary is not there":      {map[string]any{"primary_email_address_id": "idn_9"}, email, "<nil>"},
		"no addresses":              {map[string]any{"email_addresses": absent}, email, "<nil>"},
		"longest address":           {map[string]any{"email_addresses": []any{address("idn_1", strings.Repeat("é", 318)+"@b", "verified")}}, email, strings.Repeat("é", 318) + "@b"},
		"address too long":          {map[string]any{"email_addresses": []any{address("idn_1", strings.Repeat("é", 319)+"@b", "verified")}}, email, "<nil>"},
		"address with a break":      {map[string]any{"email_addresses": []any{address("idn_1", "a@b\nc", "verified")}}, email, "<nil>"},
		"address with a NUL":        {map[string]any{"email_addresses": []any{address("idn_1", "a@b\x00c", "verified")}}, email, "<nil>"},
		"avatar without https":      {map[string]any{"image_url": "http://img.example/a"}, avatar, "<nil>"},
		"avatar with a script":      {map[string]any{"image_url": "javascript:alert(1)"}, avatar, "<nil>"},
		"no avatar":                 {map[string]any{"image_url": nil}, avatar, "<nil>"},
		"one name":                  {map[string]any{"last_name": nil}, name, "Ada"},
		"no name":                   {map[string]any{"last_name": "", "first_name": " "}, name, "<nil>"},
		"name too long":             {map[string]any{"first_name": strings.Repeat("é", 130)}, name, strings.Repeat("é", 100)},
		"name with control":         {map[string]any{"first_name": "A\x00d\na"}, name, "Ada Lovelace"},
		"banned":                    {map[string]any{"banned": true}, suspended, "true 0s"},
		"locked":                    {map[string]any{"locked": true}, suspended, "true 0s"},
		"locked for a while":        {map[string]any{"locked": true, "lockout_expires_in_seconds": 90}, suspended, "true 1m30s"},
		"not locked any more":       {map[string]any{"lockout_expires_in_seconds": 90}, suspended, "false 0s"},
		"a lockout of ages":         {map[string]any{"locked": true, "lockout_expires_in_seconds": int64(1) << 60}, suspended, "true 596523h14m8s"},
		"a lockout of the past":     {map[string]any{"locked": true, "lockout_expires_in_seconds": -1}, suspended, "true 0s"},
		"no flags":                  {map[string]any{"locked": absent, "banned": nil}, suspended, "false 0s"},
		"other members of any sort": {map[string]any{"phone_numbers": 7, "object": nil, "Banned": true}, suspended, "false 0s"},
	} {
		u, err := ParseClerkUser(clerkRecord(t, c.change))
		if err != nil || c.got(u) != c.want {
			t.Errorf("%s: %q, %v", name, c.got(u), err)
		}
	}
}

func email(u ClerkUser) any  { return orNil(u.Email) }
func avatar(u ClerkUser) any { return orNil(u.AvatarURL) }
func name(u ClerkUser) any   { return orNil(u.DisplayName) }
func suspended(u ClerkUser) any {
	return map[bool]string{true: "true ", false: "false "}[u.Suspended] + u.LockoutEndsIn.String()
}

func orNil(s *string) any {
	if s == nil {
		return "<nil>"
	}
	return *s
}

func TestParseClerkUserRefuses(t *testing.T) {
	for named, change := range map[string]map[string]any{
		"id": {"id": "org_1"}, "id ": {"id": absent}, "id  ": {"id": "user_" + strings.Repeat("a", 65)}, "id   ": {"id": "user_../x"}, "id    ": {"id": 7},
		"updated_at": {"updated_at": absent}, "updated_at ": {"updated_at": 0}, "updated_at  ": {"updated_at": "now"}, "updated_at   ": {"updated_at": 1.5},
		"updated_at    ": {"updated_at": 253402300800000}, "updated_at     ": {"updated_at": -5},
		"email_addresses": {"email_addresses": "a@b.c"}, "primary_email_address_id": {"primary_email_address_id": 1}, "image_url": {"image_url": []any{}},
		"first_name": {"first_name": 1}, "last_name": {"last_name": map[string]any{}}, "username": {"username": true}, "banned": {"banned": "yes"}, "locked": {"locked": 1},
		"lockout_expires_in_seconds": {"locked": true, "lockout_expires_in_seconds": "soon"},
	} {
		_, err := ParseClerkUser(clerkRecord(t, change))
		var e *Error
		if !errors.Is(err, Invalid) || !errors.As(err, &e) || !strings.Contains(e.Message(), strings.TrimSpace(named)+" is") || strings.Contains(e.Message(), "a@b.c") {
			t.Errorf("%s: %v", named, err)
		}
	}
	for _, data := range []string{``, `null`, `[]`, `"x"`, `{`, `7`} {
		if _, err := ParseClerkUser([]byte(data)); !errors.Is(err, Invalid) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func FuzzParseClerkUser(f *testing.F) {
	f.Add([]byte(`{"id":"user_1","updated_at":1772366400123,"username":"ada","locked":true,"lockout_expires_in_seconds":5}`))
	f.Add([]byte(`{"id":"user_1","updated_at":1,"first_name":"\ud800","email_addresses":[null,{"id":"a"}],"primary_email_address_id":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := ParseClerkUser(data)
		if err != nil {
			return
		}
		p := NewProfile(u.ID, "drawn", u.UpdatedAt)
		p.ApplyClerk(u, FromWebhook, p.ProposedHandle(u, FromWebhook), u.UpdatedAt)
		before := *p
		if changed, store := p.ApplyClerk(u, FromWebhook, p.ProposedHandle(u, FromWebhook), u.UpdatedAt); changed != nil || store || p.Version != before.Version {
			t.Errorf("the same again changed %v", changed)
		}
		if p.DisplayName != nil {
			if _, f := cleanDisplayName(*p.DisplayName); f != nil {
				t.Errorf("the display name breaks a rule: %s", f.detail)
			}
		}
		if !ValidHandle(p.Handle) || p.Email != nil && (len([]rune(*p.Email)) > maxEmail || strings.ContainsRune(*p.Email, 0)) {
			t.Errorf("handle %q, e-mail %q", p.Handle, orNil(p.Email))
		}
	})
}
