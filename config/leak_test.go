package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever stands in the variables of secrets, however malformed and by
// whichever source it comes, neither the faults nor the description nor the
// printed settings repeat it.
func TestNoSecretEverShows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var secrets []Entry
	for _, entry := range Reference() {
		if entry.Secret {
			secrets = append(secrets, entry)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		env := production()
		if rapid.Bool().Draw(t, "development") {
			env = development()
		}
		hidden := rapid.StringMatching(`[A-Za-z0-9]{12,70}`).Draw(t, "hidden")
		value := fmt.Sprintf(rapid.SampledFrom(wrappings).Draw(t, "wrapping"), hidden)
		variable := rapid.SampledFrom(secrets).Draw(t, "variable").Variable
		delete(env, variable)
		content := "# nothing\n"
		switch rapid.SampledFrom([]string{"environment", "path", "yaml", "yaml list", "yaml map", "yaml key", "yaml syntax", "publishable", "typo"}).Draw(t, "source") {
		case "environment":
			env[variable] = value
		case "path":
			env[variable+"_FILE"] = strings.TrimLeft(value, "/.")
		case "yaml":
			content = fmt.Sprintf("%s: %q\n", strings.ToLower(variable), value)
		case "yaml list":
			content = fmt.Sprintf("%s: [%q, %q]\n", strings.ToLower(variable), value, value)
		case "yaml map":
			content = fmt.Sprintf("%s: {%q: %q}\n", strings.ToLower(variable), value, value)
		case "yaml key":
			content = fmt.Sprintf("sk_live_%s: x\n", hidden)
		case "yaml syntax":
			content = fmt.Sprintf("%s: %s\n\t*%s [\n", strings.ToLower(variable), value, hidden)
		case "publishable":
			env["CLERK_PUBLISHABLE_KEY"] = "sk_live_" + hidden
		case "typo":
			env[variable+"X"] = value
		}
		path := filepath.Join(dir, "settings.yaml")
		if err := writeAll(path, content); err != nil {
			t.Fatal(err)
		}
		env["CONFIG_FILE"] = path
		text := everythingPrinted(t, Options{Environ: pairs(env)})
		for _, shape := range shapes(hidden) {
			if strings.Contains(text, shape) {
				t.Fatalf("%q shows in:\n%s", shape, text)
			}
		}
	})
}

// wrappings are the places in a value where its secret part may stand.
var wrappings = []string{
	"%s", " %s", "%s\n", "%s\x00", "%s,%[1]s", "sk_live_%s", "sk_test_%s", "sk_prod_%s", "whsec_%s", "whsec_%s==,x", "https://%s@sentry.acme.dev/4", "https://k:%s@sentry.acme.dev/4",
	"https://%s", "postgres://u:%s@db.acme.dev/p", "postgres://u:%s@db.acme.dev/p?sslmode=require", "postgres://u:1/%s@db/p", "postgres://u:%s", "postgres://u:%%zz%s@db/p", "postgres://db/p?password=%s&sslmode=require",
	"postgres://u:1?%s@db/p", "postgres://db:%s/p", "postgres://u:%s@db/p?sslmode=%[1]s", "postgres://u:p@db/%s?sslmode=x", "redis://:%s@cache:6379", "redis://u:%s@cache/%[1]s", "redis://%s", "redis://u:%s", "redis://cache?x=%s",
	"redis://u:1/%s@cache.acme.dev", "valkey://u:%s#x@cache", "http://%s@x", "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", "-----BEGIN %s-----", "change-me-%s-change-me-change-me-change-me-change-me", "\xff%s", "%s://x",
}

func everythingPrinted(t *rapid.T, opts Options) string {
	var b bytes.Buffer
	s, err := Load(opts)
	if err != nil {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n%q\n", err, err, err, err)
	}
	if s != nil {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n%+v\n", s, s, *s, struct{ s Settings }{*s})
	}
	lines, _ := Inspect(opts) // the same faults again
	if err := WriteTable(&b, lines); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&b, lines); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Values that are no secrets are repeated in faults, unless a secret was put there by mistake.
func TestASecretInTheWrongVariableIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		goodKey, "sk_live_Jq8Zt", "whsec_AAECAw==", "postgres://u:p4ss@db/x", "my-password", "a-secret-thing", "-----BEGIN PRIVATE KEY-----",
	} {
		for _, variable := range []string{"LOG_LEVEL", "HTTP_ADDR", "DISK_PATH", "CLERK_API_URL", "CLERK_ISSUER", "CORS_ALLOWED_ORIGINS", "RATE_LIMIT_IP", "TRUSTED_PROXIES"} {
			faults := faultsOf(t, with(production(), variable, secret))
			wantOnly(t, faults, variable)
			wantHidden(t, "the error", faults.Error(), secret)
		}
	}
	faults := faultsOf(t, with(production(), "CONFIG_FILE", writeFile(t, "c.yaml", "a1"+goodKey[:30]+": x\n")))
	wantHidden(t, "the error", faults.Error(), goodKey[:30])
}

func TestAnOrdinaryBadValueIsRepeatedOnOneLine(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"LOG_LEVEL": "loud", "HTTP_ADDR": "nowhere", "RATE_LIMIT_IP": "0/1m", "CLERK_API_URL": "http://api.acme.dev/v1", "TRUSTED_PROXIES": "10.0.0.1/8",
	} {
		faults := faultsOf(t, with(production(), variable, value))
		if !strings.HasSuffix(faults.Error(), fmt.Sprintf(", not %q", value)) {
			t.Errorf("%s=%s is not repeated: %v", variable, value, faults)
		}
	}
}
