package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var verbs = []string{
	"%v", "%+v", "%#v", "%s", "%+s", "%#s", "%q", "%+q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%t", "%c", "%U", "%e", "%b", "%o",
	"%p", "%w", "%T", "%z", "%10s", "%-200v", "%.3s", "%[1]v", "%!",
}

// holders wrap a value in every way that a printer may meet it.
func holders[T any](v T) map[string]any {
	type exported struct{ V T }
	type hidden struct{ v T }
	type hiddenPointer struct{ v *T }
	type nested struct{ inner hidden }
	return map[string]any{
		"value": v, "pointer": &v, "exported field": exported{v}, "pointer to exported field": &exported{v},
		"hidden field": hidden{v}, "pointer to hidden field": &hidden{v}, "hidden pointer": hiddenPointer{&v}, "nested": nested{hidden{v}},
		"slice": []T{v}, "array": [1]T{v}, "map": map[string]T{"k": v}, "any": []any{v}, "slice of pointers": []*T{&v},
		"hidden slice": struct{ v []T }{[]T{v}}, "hidden map": struct{ v map[string]T }{map[string]T{"k": v}},
		"hidden any": struct{ v any }{v}, "error": fmt.Errorf("wrapped: %v", v),
	}
}

// printings is everything that the usual printers make of a value.
func printings(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{"Sprint": fmt.Sprint(v), "Sprintln": fmt.Sprintln(v), "Errorf": errors.Join(fmt.Errorf("%v", v)).Error()}
	for _, verb := range verbs {
		out[verb] = fmt.Sprintf(verb, v)
	}
	if encoded, err := json.Marshal(v); err == nil {
		out["json"] = string(encoded)
	}
	if encoded, err := json.MarshalIndent(map[string]any{"k": v}, "", " "); err == nil {
		out["json in a map"] = string(encoded)
	}
	if encoded, err := yaml.Marshal(v); err == nil {
		out["yaml"] = string(encoded)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("settings", "value", v, slog.Group("group", "inner", v))
		out[name] = b.String()
	}
	return out
}

// shapes are the forms in which a printer could show a text.
func shapes(secret string) []string {
	numbers := strings.Trim(fmt.Sprintf("%v", []byte(secret)), "[]")
	return []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), numbers}
}

func TestASecretIsMaskedHoweverItIsPrinted(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t-value-X"
	for holder, v := range holders(NewSecret(value)) {
		for printer, text := range printings(t, v) {
			wantHidden(t, printer+" of "+holder, text, shapes(value)...)
		}
	}
	secret := NewSecret(value)
	for verb, want := range map[string]string{"%v": mask, "%+v": mask, "%#v": mask, "%s": mask, "%q": mask, "%x": mask, "%d": mask} {
		if got := fmt.Sprintf(verb, secret); got != want {
			t.Errorf("%s = %q, want %q", verb, got, want)
		}
	}
	if secret.Reveal() != value || !secret.IsSet() || secret.String() != mask || secret.GoString() != mask {
		t.Errorf("revealed %q, set %v, string %q", secret.Reveal(), secret.IsSet(), secret.String())
	}
	var none Secret
	if none.Reveal() != "" || none.IsSet() || none.String() != "" || NewSecret("").IsSet() {
		t.Error("the zero value is not a secret that is not set")
	}
	if encoded, err := json.Marshal(map[string]Secret{"a": secret, "b": none}); err != nil || string(encoded) != `{"a":"[redacted]","b":""}` {
		t.Errorf("json = %s, %v", encoded, err)
	}
}

// secretValues are the values that must never show, in settings where every secret is set.
func fullSettings(t *testing.T) (*Settings, []string) {
	t.Helper()
	env := with(production(), "SECRET_KEY_FALLBACKS", otherKey, "CLERK_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"EVENTS_WEBHOOK_URLS", "https://hooks.acme.dev/T0kenOfAnEndpoint", "EVENTS_WEBHOOK_SECRET", "whsec_QnV0VGhpc09uZUlzT2Z0ZW5TaG93bkFzV2VsbA==")
	return mustLoad(t, env), []string{
		goodKey, otherKey, "sk_live_Jq8ZtVb3Kx0RwYp5", "MfKQ9r8GKYqr", "Tr0ub4dorX9", "V4lkeyPw77", "d3adb33fk3y", "T0kenOfAnEndpoint", "QnV0VGhpc09uZU",
	}
}

func TestSettingsAreMaskedHoweverTheyArePrinted(t *testing.T) {
	t.Parallel()
	s, secrets := fullSettings(t)
	var all []string
	for _, secret := range secrets {
		all = append(all, shapes(secret)...)
	}
	values := holders(*s)
	for holder, v := range holders(s) {
		values["pointer in "+holder] = v
	}
	for holder, v := range values {
		for printer, text := range printings(t, v) {
			wantHidden(t, printer+" of "+holder, text, all...)
		}
	}
	for printer, text := range printings(t, s) {
		switch printer {
		case "%p", "%w", "%T", "%!", "yaml": // these reach past the methods, and find pointers
			continue
		}
		if !strings.Contains(text, "api.acme.dev") || !strings.Contains(text, "[redacted]") {
			t.Errorf("%s of the settings shows too little: %s", printer, text)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	s, secrets := fullSettings(t)
	lines := map[string]Line{}
	for _, line := range s.Describe() {
		lines[line.Variable] = line
	}
	for variable, want := range map[string]string{
		"SECRET_KEY": mask, "SECRET_KEY_FALLBACKS": mask, "CLERK_WEBHOOK_SECRET": mask, "EVENTS_WEBHOOK_URLS": mask, "EVENTS_WEBHOOK_SECRET": mask, "CLERK_JWT_KEY": "", "CLERK_ISSUER": "https://clerk.acme.dev",
		"DATABASE_URL": "postgres://[redacted]@db.acme.dev", "VALKEY_URL": "rediss://[redacted]@cache.acme.dev", "SENTRY_DSN": "https://[redacted]@sentry.acme.dev",
		"DB_CONN_MAX_LIFETIME": "10m", "RATE_LIMIT_GLOBAL": "10000/1m", "LOG_LEVEL": "info", "DEBUG": "false", "TRUSTED_PROXIES": "",
		"ALLOWED_HOSTS": "api.acme.dev", "ENVIRONMENT": "production", "MAX_BODY_BYTES": "65536",
	} {
		if got := lines[variable].Value; got != want {
			t.Errorf("%s is shown as %q, want %q", variable, got, want)
		}
	}
	var table, encoded bytes.Buffer
	if err := errors.Join(s.WriteTable(&table), WriteJSON(&encoded, s.Describe())); err != nil {
		t.Fatal(err)
	}
	wantHidden(t, "the table", table.String(), secrets...)
	wantHidden(t, "the JSON", encoded.String(), secrets...)
	var decoded []Line
	if err := json.Unmarshal(encoded.Bytes(), &decoded); err != nil || len(decoded) != len(Reference()) {
		t.Errorf("%d lines of JSON, error %v", len(decoded), err)
	}
	for _, entry := range Reference() {
		if !strings.Contains(table.String(), "\n"+entry.Variable+" ") {
			t.Errorf("the table lacks %s", entry.Variable)
		}
	}
	if !strings.Contains(table.String(), "derived") || !strings.HasPrefix(table.String(), "VARIABLE ") {
		t.Errorf("table:\n%s", table.String())
	}
	if err := s.WriteTable(brokenWriter{}); err == nil {
		t.Error("a failed write is not reported")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestAHostIsShownOnlyWhenItIsCertain(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"redis://hunter2secret":             mask, // could be a password whose host was forgotten
		"redis://user:12345":                mask,
		"redis://cache.acme.dev:6379":       "redis://[redacted]@cache.acme.dev",
		"redis://localhost:6379":            "redis://[redacted]@localhost",
		"redis://u:p@cache:6379/0":          "redis://[redacted]@cache",
		"valkeys://:pw1234567@[::1]:6379/0": "valkeys://[redacted]@::1",
	} {
		s := mustLoad(t, with(production(), "VALKEY_URL", raw))
		for _, line := range s.Describe() {
			if line.Variable == "VALKEY_URL" && line.Value != want {
				t.Errorf("%s is shown as %q, want %q", raw, line.Value, want)
			}
		}
	}
}

func TestSourcesNameTheOtherVariable(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "key", goodKey)
	s := mustLoad(t, with(without(production(), "SECRET_KEY", "VALKEY_URL"), "SECRET_KEY_FILE", key, "REDIS_URL", "redis://cache"))
	var table bytes.Buffer
	if err := s.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"secret file (SECRET_KEY_FILE)", "environment (REDIS_URL)"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}
