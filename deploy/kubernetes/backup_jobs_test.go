package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pgbackrest stands in for the real one: its repository is the file backups, what
// verify says the file verified, and each backup taken is a line in taken.
const pgbackrest = `#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
*info*) printf '[{"backup":[%s]}]' "$(paste -sd, backups)" ;;
*verify*) cat verified ;;
*--type=*backup)
	type=${*#*--type=}
	echo "${type%% *}" >>taken
	printf '{"error":false,"label":"x","timestamp":{"start":1,"stop":%s},"type":"%s"}\n' "$(date +%s)" "${type%% *}" >>backups ;;
esac
`

// repository is a folder with the stand-in and its files; backups are the ages by type.
func repository(t *testing.T, verified string, backups ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"pgbackrest": pgbackrest, "verified": verified, "taken": "", "backups": strings.Join(backups, "\n") + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// aged is a backup that ended so many seconds ago.
func aged(kind string, seconds int) string {
	return fmt.Sprintf(`{"error":false,"label":"x","timestamp":{"start":1,"stop":%d},"type":%q}`, time.Now().Unix()-int64(seconds), kind)
}

// runJob does what Kubernetes does with the job of a CronJob: its container, again while it fails and the limit allows.
func runJob(t *testing.T, c cluster, name, dir string) (output string, succeeded bool) {
	t.Helper()
	o := c.named("CronJob", name)
	for tries := 0; tries <= number(o.at(under(inBackup, "backoffLimit")...)); tries++ {
		cmd := exec.CommandContext(bounded(t), "../backup/backup", o.does()...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		for _, from := range list(o.pod().at("spec", "containers", "0", "envFrom")) {
			data, _ := c.named("ConfigMap", text(at(from, "configMapRef", "name"))).at("data").(map[string]any)
			for variable, value := range data {
				cmd.Env = append(cmd.Env, variable+"="+text(value))
			}
		}
		out, err := cmd.CombinedOutput()
		output += string(out)
		if err == nil {
			return output, true
		}
	}
	return output, false
}

// taken are the types of the backups that were taken.
func taken(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "taken"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(raw)), " ")
}

// Full backups that are taken again and again would drive the good ones out of the repository.
func TestADamagedRepositoryCostsNoBackups(t *testing.T) {
	t.Parallel()
	c, dir := backedUp(t), repository(t, "status: error, total valid files: 1\n")
	if out, ok := runJob(t, c, "backup", dir); ok || !strings.Contains(out, "damaged") {
		t.Errorf("nobody is told: %s", out)
	}
	for hour := range 3 {
		if out, ok := runJob(t, c, "backup", dir); !ok || taken(t, dir) != "full" {
			t.Errorf("%d hours later these were taken: %s\n%s", hour+1, taken(t, dir), out)
		}
	}
	if out, ok := runJob(t, c, "backup-verify", dir); ok || !strings.Contains(out, "damaged") || taken(t, dir) != "full" {
		t.Errorf("by the night it is forgotten: %s", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "verified"), []byte("status: ok, total valid files: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, ok := runJob(t, c, "backup-verify", dir); !ok {
		t.Errorf("a sound repository is refused: %s", out)
	}
}

// Daily backups that take half an hour stay at their time of the day; one that was missed is taken within the hour.
func TestABackupIsTakenWhenItIsDue(t *testing.T) {
	t.Parallel()
	c := backedUp(t)
	for _, test := range []struct {
		what               string
		full, differential int // ages in seconds
		want               string
	}{
		{"an hour before its time", 3*86400 - 1800, 86400 - 1800 - 3600, ""},
		{"at its time", 3*86400 - 1800, 86400 - 1800, "diff"},
		{"at its time of the week", 7*86400 - 1800, 86400 - 1800, "full"},
		{"hours late", 3 * 86400, 86400 + 5*3600, "diff"},
	} {
		dir := repository(t, "status: ok, total valid files: 1\n", aged("full", test.full), aged("diff", test.differential))
		if out, ok := runJob(t, c, "backup", dir); !ok || taken(t, dir) != test.want {
			t.Errorf("%s: took %q, want %q: %s", test.what, taken(t, dir), test.want, out)
		}
	}
}

// While the longest full backup runs, those before it are not called too old; later they are.
func TestALongBackupIsNoMissingOne(t *testing.T) {
	t.Parallel()
	c := backedUp(t)
	longest := 3600 + number(c.named("CronJob", "backup").at(under(inBackup, "activeDeadlineSeconds")...))
	full, differential := setting(c, "BACKUP_FULL_SECONDS")+longest, setting(c, "BACKUP_DIFFERENTIAL_SECONDS")+longest
	for _, test := range []struct {
		full, differential int
		ok                 bool
	}{
		{full - 60, differential - 60, true}, {full + 2*3600, differential - 60, false}, {full - 60, differential + 2*3600, false},
	} {
		dir := repository(t, "", aged("full", test.full), aged("diff", test.differential))
		if out, ok := runJob(t, c, "backup-check", dir); ok != test.ok {
			t.Errorf("full %d s and differential %d s ago: %v, want %v: %s", test.full, test.differential, ok, test.ok, out)
		}
	}
}
