package testservers_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A run without a server must fail loudly, so this test runs some of the others in such a run.
func TestRunWithoutAServerFails(t *testing.T) {
	tests := map[string]struct {
		run  string
		says []string
	}{
		"PostgreSQL": {"^TestDatabasesAreSeparateAndDropped$", []string{"found no PostgreSQL", "TEST_DATABASE_URL is not set", "apt-get install postgresql"}},
		"Valkey":     {"^TestValkeysAreSeparateAndEmptied$", []string{"found no Valkey", "TEST_VALKEY_URL is not set", "apt-get install redis-server"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run="+test.run, "-test.v")
			cmd.Env = append(os.Environ(), "TEST_SERVERS=env", "TEST_DATABASE_URL=", "TEST_VALKEY_URL=")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL") || strings.Contains(string(out), "SKIP") {
				t.Errorf("the run did not fail (%v):\n%s", err, out)
			}
			for _, want := range test.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is missing in:\n%s", want, out)
				}
			}
		})
	}
}
