package backup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The entry point gives PostgreSQL what archiving.conf says, quotes taken off, and leaves other commands alone.
func TestTheEntryPointAddsTheSettings(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "docker-entrypoint.sh"), `printf '<%s>' "$@"`)
	if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("17\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"postgres -c a=b": "<postgres><-c><a=b><-c><wal_level=replica><-c><archive_mode=on>" +
			"<-c><archive_command=pgbackrest --stanza=profile-api archive-push %p><-c><archive_timeout=60s>",
		"sh -c true": "<sh><-c><true>",
	} {
		cmd := exec.CommandContext(t.Context(), "./entrypoint", strings.Fields(command)...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "ARCHIVING_CONF=archiving.conf", "PGDATA=" + dir}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: %s %v, want %s", command, out, err, want)
		}
	}
}

// Where a database has been lost no empty one is begun, which would be taken for it.
func TestTheEntryPointBeginsNoDatabaseWhereBackupsAre(t *testing.T) {
	for name, test := range map[string]struct{ info, refusal string }{
		"nothing yet":        {`echo '[{"backup":[],"status":{"code":1,"message":"missing stanza path"}}]'`, ""},
		"backups":            {`echo '[{"backup":[{"error":false,"label":"20260301-020003F"}],"status":{"code":0}}]'`, "restore it (docs/runbooks/restore.md)"},
		"a wrong key":        {`echo '[{"backup":[],"status":{"code":99,"message":"other"}}]'`, "cannot be read"},
		"out of reach":       {`echo 'ERROR: [049]: HTTP request failed' >&2; exit 49`, "cannot be asked"},
		"with no pgbackrest": {"exit 127", "cannot be asked"},
	} {
		dir := t.TempDir()
		script(t, filepath.Join(dir, "docker-entrypoint.sh"), "echo started")
		script(t, filepath.Join(dir, "pgbackrest"), `[ "$PGBACKREST_LOCK_PATH $*" = "/tmp/pgbackrest-entrypoint --stanza=profile-api --log-level-console=off --log-level-stderr=error --output=json info" ] || exit 1
`+test.info)
		cmd := exec.CommandContext(t.Context(), "./entrypoint", "postgres")
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "ARCHIVING_CONF=archiving.conf", "PGDATA=" + filepath.Join(dir, "data")}
		out, err := cmd.CombinedOutput()
		if started := err == nil && string(out) == "started\n"; started != (test.refusal == "") || !strings.Contains(string(out), test.refusal) {
			t.Errorf("%s: %s %v", name, out, err)
		}
	}
}

// make compose-up sees whether the image must be built anew: it compares all that the image is made of, besides the base.
func TestTheImageHoldsWhatItIsMadeOf(t *testing.T) {
	const folder = "/usr/local/share/profile-api/image/"
	files := "Dockerfile"
	for line := range strings.Lines(read(t, "Dockerfile")) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == "COPY" && words[len(words)-1] != folder {
			files += " " + words[len(words)-2]
		}
	}
	for path, want := range map[string]string{"Dockerfile": "COPY " + files + " " + folder + "\n", "../compose/up": "files='" + files + "'\n"} {
		if !strings.Contains(read(t, path), want) {
			t.Errorf("%s lacks %s", path, want)
		}
	}
}
