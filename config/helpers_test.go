package config

import (
	"encoding/base64"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	goodKey  = "mB7qv0ZxT2Lr9NfKc4Wd8Yh1PsJ6gEuA3oRiVtXzQ5wCnDkMbHyGaSl"
	otherKey = "Zp4Kx9Wb2Vn7Qc1Ld6Jf3Rg8Th5YsMuEoAiPwXzCvBnNmHkGjDqFtSr"
)

// publishable makes a publishable key for a mode and a host.
func publishable(mode, host string) string {
	return "pk_" + mode + "_" + base64.StdEncoding.EncodeToString([]byte(host+"$"))
}

// production is a complete environment that has no fault, in the strictest mode.
func production() map[string]string {
	return map[string]string{
		"SECRET_KEY":               goodKey,
		"CLERK_SECRET_KEY":         "sk_live_Jq8ZtVb3Kx0RwYp5",
		"CLERK_PUBLISHABLE_KEY":    publishable("live", "clerk.acme.dev"),
		"CLERK_AUTHORIZED_PARTIES": "https://app.acme.dev",
		"DATABASE_URL":             "postgres://app:Tr0ub4dorX9@db.acme.dev:5432/profiles?sslmode=verify-full",
		"VALKEY_URL":               "rediss://app:V4lkeyPw77@cache.acme.dev:6379/0",
		"SENTRY_DSN":               "https://d3adb33fk3y@sentry.acme.dev/42",
		"ALLOWED_HOSTS":            "api.acme.dev",
	}
}

// development is production's counterpart with nothing but what is always required.
func development() map[string]string {
	return map[string]string{
		"ENVIRONMENT":           "development",
		"SECRET_KEY":            goodKey,
		"CLERK_SECRET_KEY":      "sk_test_Jq8ZtVb3Kx0RwYp5",
		"CLERK_PUBLISHABLE_KEY": publishable("test", "clerk.acme.dev"),
		"DATABASE_URL":          "postgres://app:Tr0ub4dorX9@db.acme.dev/profiles",
		"VALKEY_URL":            "redis://cache:6379",
	}
}

func with(env map[string]string, pairs ...string) map[string]string {
	env = maps.Clone(env)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return env
}

func without(env map[string]string, names ...string) map[string]string {
	env = maps.Clone(env)
	for _, name := range names {
		delete(env, name)
	}
	return env
}

func pairs(env map[string]string) []string {
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

func loadEnv(env map[string]string) (*Settings, error) {
	return Load(Options{Environ: pairs(env)})
}

// mustLoad fails the test when the environment has a fault.
func mustLoad(t *testing.T, env map[string]string) *Settings {
	t.Helper()
	s, err := loadEnv(env)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if s == nil {
		t.Fatal("Load gave neither settings nor an error")
	}
	return s
}

// faultsOf fails the test when the environment has no fault.
func faultsOf(t *testing.T, env map[string]string) Faults {
	t.Helper()
	s, err := loadEnv(env)
	var faults Faults
	if !errors.As(err, &faults) || len(faults) == 0 {
		t.Fatalf("Load error = %v, want Faults", err)
	}
	if s != nil {
		t.Fatal("Load gave settings together with faults")
	}
	return faults
}

// wantOnly asserts that exactly the variables named are at fault.
func wantOnly(t *testing.T, faults Faults, variables ...string) {
	t.Helper()
	var got []string
	for _, f := range faults {
		got = append(got, f.Variable)
	}
	got = slices.Compact(got)
	slices.Sort(variables)
	if !slices.Equal(got, variables) {
		t.Errorf("variables at fault = %q, want %q\n%v", got, variables, faults)
	}
}

func wantHidden(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s shows the secret %q:\n%s", where, secret, text)
		}
	}
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeAll(path, content string) error { return os.WriteFile(path, []byte(content), 0o600) }
