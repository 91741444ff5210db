package main_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// What the doctor finds is tested beside it; here are the command, its output and its exit status.
func TestDoctor(t *testing.T) {
	parallel(t)
	s := newStack(t)
	// The tests' role is a superuser: a failure in production, elsewhere a warning.
	for environment, status := range map[string]int{"production": 1, "staging": 0} {
		env := s.with("ENVIRONMENT", environment)
		text, asJSON := command(t, env, "doctor"), command(t, env, "doctor", "--json")
		wantNone(t, "doctor", text.stdout+text.stderr+asJSON.stdout+asJSON.stderr, secretsOf(t, env))
		for _, want := range []string{
			"pass  migrations ", "pass  valkey ", "pass  clerk_key_set ", "warn  sentry ", "Remedy: set SENTRY_DSN", "database_role ", "deploy/database/roles.sql",
		} {
			if text.status != status || !strings.Contains(text.stdout, want) {
				t.Errorf("%s: status %d, want %d and %q in\n%s%s", environment, text.status, status, want, text.stdout, text.stderr)
			}
		}
		var shown struct {
			Status string
			Checks []struct{ Check, Status, Message, Remedy string }
		}
		err := json.Unmarshal([]byte(asJSON.stdout), &shown)
		want := map[int]string{0: "warn", 1: "fail"}[status]
		if err != nil || asJSON.status != status || shown.Status != want || len(shown.Checks) != 30 || shown.Checks[0].Check != "settings" {
			t.Errorf("%s: as JSON: %v, status %d\n%s", environment, err, asJSON.status, asJSON.stdout)
		}
		if (text.stderr == "") != (status == 0) || status == 1 && !strings.Contains(text.stderr, "1 of 30 checks fail") {
			t.Errorf("%s: on standard error: %q", environment, text.stderr)
		}
	}
}

func TestDoctorOnNothingAtAll(t *testing.T) {
	parallel(t)
	r := command(t, settings{}, "doctor")
	if r.status != 1 || !strings.Contains(r.stdout, "SECRET_KEY is required") || !strings.Contains(r.stdout, "not looked at: DATABASE_URL is at fault") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if r := command(t, settings{}, "doctor", "--yaml"); r.status != 2 {
		t.Errorf("a wrong option: status %d", r.status)
	}
}
