package backup_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A setting that the script would read otherwise than whoever wrote it stops each
// command before it does anything, and is named.
func TestWrongSettingsAreRefused(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	script(t, filepath.Join(dir, "pgbackrest"), "touch "+asked+"; exit 1")
	for _, test := range []struct{ command, setting, wrong string }{
		{"once", "BACKUP_FULL_SECONDS=0", "BACKUP_FULL_SECONDS must be"},
		{"once", "BACKUP_FULL_SECONDS=3599", "from 3600 to 31536000"},
		{"once", "BACKUP_FULL_SECONDS=31536001", "from 3600 to 31536000"},
		{"once", "BACKUP_FULL_SECONDS=99999999999999999999", "BACKUP_FULL_SECONDS must be"},
		{"status", "BACKUP_GRACE_SECONDS=08", "BACKUP_GRACE_SECONDS must be"},
		{"status", "BACKUP_GRACE_SECONDS=00", "BACKUP_GRACE_SECONDS must be"},
		{"status", "BACKUP_GRACE_SECONDS=1e3", "not '1e3'"},
		{"status", "BACKUP_GRACE_SECONDS=1x3", "not '1x3'"},
		{"status", "BACKUP_GRACE_SECONDS=-1", "not '-1'"},
		{"archiver", "BACKUP_WAL_SECONDS=15m", "BACKUP_WAL_SECONDS must be"},
		{"schedule", "BACKUP_DIFFERENTIAL_SECONDS=0", "BACKUP_DIFFERENTIAL_SECONDS must be"},
		{"schedule", "BACKUP_DIFFERENTIAL_SECONDS=60", "from 3600 to 31536000"},
		{"once", "BACKUP_FULL_SECOND=604800", "BACKUP_FULL_SECOND is no setting"},
		{"status", "BACKUP_SCHEDULE=daily", "BACKUP_SCHEDULE is no setting"},
		{"once", "BACKUP_FULL_SECONDS=3600", ""}, {"once", "BACKUP_FULL_SECONDS=31536000", ""}, {"once", "BACKUP_FULL_SECONDS=", ""},
		{"once", "BACKUP_DIFFERENTIAL_SECONDS=0", ""}, {"status", "BACKUP_GRACE_SECONDS=0", ""}, {"status", "BACKUP_GRACE_SECONDS=9", ""},
		{"once", "BACKUP_METRICS_SERVICE_HOST=10.0.0.7", ""}, {"once", "BACKUP_METRICS_PORT_8080_TCP_ADDR=10.0.0.7", ""},
	} {
		_ = os.Remove(asked)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // schedule would go on for ever
		cmd := exec.CommandContext(ctx, "./backup", test.command)
		cmd.WaitDelay = time.Second
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", test.setting}
		out, err := cmd.CombinedOutput()
		cancel()
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			t.Fatalf("%s %s: %v", test.command, test.setting, err)
		}
		_, missing := os.Stat(asked)
		if test.wrong == "" && (missing != nil || !strings.Contains(string(out), "the repository cannot be read")) {
			t.Errorf("%s %s is refused: %s", test.command, test.setting, out)
		}
		if test.wrong != "" && (ended.ExitCode() != 2 || missing == nil || !strings.Contains(string(out), test.wrong) || strings.Count(string(out), "\n") != 1) {
			t.Errorf("%s %s: status %d, %s", test.command, test.setting, ended.ExitCode(), out)
		}
	}
}
