package testservers

import (
	"errors"
	"strings"
	"testing"
)

func TestVariablesThatAreSetMustWork(t *testing.T) {
	const secret = "hunter2"
	tests := map[string]struct {
		variable, value string
		says            string
	}{
		"not a postgres URL":  {postgresVariable, "mysql://u:" + secret + "@127.0.0.1/db", "is not a postgres:// URL"},
		"not a URL":           {postgresVariable, "postgres://u:" + secret + "@[127.0.0.1/db", "is not a postgres:// URL"},
		"no server":           {postgresVariable, "postgres://u:" + secret + "@127.0.0.1:1/db", "is set, but"},
		"not a redis URL":     {valkeyVariable, "http://u:" + secret + "@127.0.0.1", "is not a redis://"},
		"no server at Valkey": {valkeyVariable, "valkey://u:" + secret + "@127.0.0.1:1", "is set, but"},
	}
	open := map[string]way{postgresVariable: {"env", postgresFromEnv}, valkeyVariable: {"env", valkeyFromEnv}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			_, err := open[test.variable].open(t.Context())
			if err == nil || errors.Is(err, errNotHere) {
				t.Fatalf("got %v, want an error that ends the search", err)
			}
			if !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want %q and no password", err, test.says)
			}
		})
	}
}

func TestVariablesThatAreNotSetLeadOn(t *testing.T) {
	t.Setenv(postgresVariable, "")
	t.Setenv(valkeyVariable, "")
	for _, w := range []way{{"postgres", postgresFromEnv}, {"valkey", valkeyFromEnv}} {
		if _, err := w.open(t.Context()); !errors.Is(err, errNotHere) {
			t.Errorf("%s: %v, want errNotHere", w.name, err)
		}
	}
}

func TestVariablesThatWorkAreUsed(t *testing.T) {
	t.Setenv(postgresVariable, OwnPostgres(t).URL("postgres"))
	opened, err := postgresFromEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(opened.where, "@") {
		t.Errorf("what is printed may hold the password: %s", opened.where)
	}
	if err := pingPostgres(t.Context(), strings.Replace(opened.url, "/postgres?", "/template1?", 1)); err != nil {
		t.Error(err)
	}
	t.Setenv(valkeyVariable, strings.Replace(OwnValkey(t).URL(), "redis://", "valkey://", 1))
	cache, err := valkeyFromEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(cache.url, "redis://") {
		t.Errorf("%s is not what every client understands", cache.url)
	}
}
