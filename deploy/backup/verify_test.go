package backup_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	whole     = "status: ok, total valid files: 1"
	gone      = "status: error, total missing files: 1"
	neverTold = "nothing"
)

// repository is one with a full and a differential backup of these ages, and a script that is told of it.
type repository struct {
	dir, file string
}

func newRepository(t *testing.T, full, differential time.Duration, verify string) repository {
	t.Helper()
	dir, now := t.TempDir(), time.Now()
	entry := func(kind string, age time.Duration) string {
		return fmt.Sprintf(`{"error":false,"timestamp":{"start":1,"stop":%d},"type":"%s"}`, now.Add(-age).Unix(), kind)
	}
	script(t, filepath.Join(dir, "pgbackrest"), `case "$*" in
*info*) echo '[{"backup":[`+entry("full", full)+","+entry("diff", differential)+`]}]' ;;
*verify*) echo "`+verify+`" ;;
esac`)
	return repository{dir, filepath.Join(dir, "verified")}
}

// run gives what the script says, whether it was content, and backup_damaged where status wrote it.
func (r repository) run(t *testing.T, command string) (said string, content bool, damaged string) {
	t.Helper()
	metrics := filepath.Join(r.dir, "metrics.txt")
	cmd := exec.CommandContext(t.Context(), "./backup", command)
	cmd.Env = []string{"PATH=" + r.dir + ":/usr/bin:/bin", "BACKUP_VERIFY_FILE=" + r.file, "BACKUP_METRICS_FILE=" + metrics}
	out, err := cmd.CombinedOutput()
	if text, missing := os.ReadFile(metrics); missing == nil {
		_, damaged, _ = strings.Cut(string(text), "\nbackup_damaged ")
		damaged, _, _ = strings.Cut(damaged, "\n")
	}
	return string(out), err == nil, damaged
}

// found puts down what a verify has left that long ago.
func (r repository) found(t *testing.T, what string, age time.Duration) {
	t.Helper()
	if what == neverTold {
		return
	}
	if err := os.WriteFile(r.file, fmt.Appendf(nil, "%d %s\n", time.Now().Add(-age).Unix(), what), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The schedule verifies after a full backup and then has nothing to do: without the file the next health check would be content.
func TestADamagedRepositoryIsToldUntilItIsWhole(t *testing.T) {
	r := newRepository(t, 0, 0, gone)
	if said, content, _ := r.run(t, "full"); content || !strings.Contains(said, "FAILED: the repository is damaged") {
		t.Errorf("the full backup: %t, %s", content, said)
	}
	for range 2 {
		if said, content, _ := r.run(t, "once"); !content || said != "" {
			t.Errorf("there was something to do: %t, %s", content, said)
		}
		if said, content, damaged := r.run(t, "status"); content || damaged != "1" || !strings.Contains(said, "FAILED: the last verify found: the repository is damaged") {
			t.Errorf("status: %t, backup_damaged %s, %s", content, damaged, said)
		}
	}
	mended := newRepository(t, 0, 0, whole)
	mended.file = r.file
	if said, content, _ := mended.run(t, "status"); content {
		t.Errorf("content before anybody has looked: %s", said)
	}
	if said, content, _ := mended.run(t, "verify"); !content || !strings.HasSuffix(said, "verified\n") {
		t.Errorf("verify: %t, %s", content, said)
	}
	if said, content, damaged := mended.run(t, "status"); !content || damaged != "0" {
		t.Errorf("status: %t, backup_damaged %s, %s", content, damaged, said)
	}
}

// What status complains of, and when the schedule looks anew, by what the last verify left.
func TestWhatTheLastVerifyLeft(t *testing.T) {
	const hour = time.Hour
	for name, test := range map[string]struct {
		left     string
		age      time.Duration
		full     time.Duration
		status   string // what it complains of; empty for nothing
		verifies bool
	}{
		"content":                            {"ok", 29 * hour, 30 * hour, "", false},
		"content, of an older full one":      {"ok", 31 * hour, 30 * hour, "the last full backup was never verified", true},
		"content, a full one has just ended": {"ok", 31 * hour, hour, "", true},
		"never":                              {neverTold, 0, 30 * hour, "the repository was never verified", true},
		"never, a full one has just ended":   {neverTold, 0, hour, "", true},
		"under way":                          {"began", hour, 30 * hour, "", false},
		"broken off":                         {"began", 3 * hour, 30 * hour, "verify began 180 minutes ago and has not ended", true},
		"a fault":                            {"WAL is missing before X", hour, 30 * hour, "the last verify found: WAL is missing before X", false},
		"a fault of yesterday":               {"WAL is missing before X", 25 * hour, 30 * hour, "the last verify found: WAL is missing before X", true},
		"a file of something else":           {"", 0, 30 * hour, "the repository was never verified", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t, test.full, hour, whole)
			r.found(t, test.left, test.age)
			said, content, damaged := r.run(t, "status")
			if content != (test.status == "") || !strings.Contains(said, test.status) || damaged != map[bool]string{true: "0", false: "1"}[content] {
				t.Errorf("status: %t, backup_damaged %s, %q, want %q", content, damaged, said, test.status)
			}
			said, content, _ = r.run(t, "once")
			if !content || strings.HasSuffix(said, "verified\n") != test.verifies {
				t.Errorf("once: %t, %q; want it to verify: %t", content, said, test.verifies)
			}
			if said, content, _ := r.run(t, "status"); test.verifies && !content {
				t.Errorf("status after a verify that was content: %s", said)
			}
		})
	}
}

// While a fault is looked for anew it stays one: a large repository takes hours to read.
func TestAFaultStaysWhileItIsLookedForAnew(t *testing.T) {
	r := newRepository(t, 0, 0, whole)
	r.found(t, "WAL is missing before X", 0)
	script(t, filepath.Join(r.dir, "pgbackrest"), `cat "`+r.file+`"; exit 1`)
	if said, content, _ := r.run(t, "verify"); content || !strings.Contains(said, "WAL is missing before X") {
		t.Errorf("in the midst of verify: %t, %s", content, said)
	}
}

func TestAnUnwritableFileIsAFault(t *testing.T) {
	r := newRepository(t, 0, 0, whole)
	r.file = filepath.Join(r.dir, "none", "verified")
	if said, content, _ := r.run(t, "verify"); content || !strings.Contains(said, "cannot be written") {
		t.Errorf("verify: %t, %s", content, said)
	}
}

// In compose the file lies beside the repository that it is about, where the container may write.
func TestComposeKeepsWhatVerifyFinds(t *testing.T) {
	backup := compose(t, "compose.yml").Services["backup"]
	if file, at := backup.Environment["BACKUP_VERIFY_FILE"], repositoryFolder; filepath.Dir(file) != at {
		t.Errorf("the file is %q, the repository in %s", file, at)
	}
}
