package backup_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/testservers"
)

// waitsLong is far more than any of these steps takes.
const waitsLong = time.Minute

// archiving is a real PostgreSQL whose archive is tried.
type archiving struct {
	*testing.T
	server *pglauncher.Server
}

// environment is what psql, and the script through it, finds the server with.
func (a archiving) environment() []string {
	parsed, err := url.Parse(a.server.URL("postgres"))
	if err != nil {
		a.Fatal(err)
	}
	password, _ := parsed.User.Password()
	return []string{
		"PATH=" + a.server.Programs().BinDir + ":/usr/bin:/bin", "PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(a.server.Port()),
		"PGUSER=" + parsed.User.Username(), "PGPASSWORD=" + password,
	}
}

func (a archiving) execute(statements ...string) {
	a.Helper()
	cmd := exec.CommandContext(a.Context(), a.server.Programs().BinDir+"/psql", "--no-psqlrc", "--dbname=postgres", "--set=ON_ERROR_STOP=1")
	cmd.Env, cmd.Stdin = a.environment(), strings.NewReader(strings.Join(statements, ";\n")+";\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		a.Fatalf("%v: %s", err, out)
	}
}

// command has PostgreSQL archive by another command.
func (a archiving) command(text string) {
	a.Helper()
	a.execute("ALTER SYSTEM SET archive_command = '"+text+"'", "SELECT pg_reload_conf()")
}

// says runs archiver and gives what it says: nothing when it is content.
func (a archiving) says(env ...string) string {
	a.Helper()
	cmd := exec.CommandContext(a.Context(), "./backup", "archiver")
	cmd.Env = slices.Concat(a.environment(), env)
	out, err := cmd.CombinedOutput()
	if failed := strings.Contains(string(out), "FAILED"); failed != (err != nil) {
		a.Fatalf("archiver ended with %v and said %s", err, out)
	}
	return string(out)
}

// await has segments archived until archiver says so.
func (a archiving) await(what string, env ...string) {
	a.Helper()
	said := ""
	for end := time.Now().Add(waitsLong); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		a.execute("SELECT txid_current()", "SELECT pg_switch_wal()")
		if said = a.says(env...); said == what || what != "" && strings.Contains(said, what) {
			return
		}
	}
	a.Fatalf("archiver says %q, want %q", said, what)
}

// settles waits for archiver's content without any further segment, as on an idle server.
func (a archiving) settles() {
	a.Helper()
	for end := time.Now().Add(waitsLong); a.says() != ""; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			a.Fatalf("nothing waits, and archiver says %q", a.says())
		}
	}
}

// archiver fails in each way in which WAL does not reach the archive: also in those that PostgreSQL counts as no failure.
func TestTheArchiverIsTold(t *testing.T) {
	t.Parallel()
	a := archiving{t, testservers.OwnPostgres(t)}
	if said := a.says(); !strings.Contains(said, "archive_mode is off") {
		t.Errorf("nothing is archived: %q", said)
	}
	folder := t.TempDir()
	for _, open := range []string{folder, filepath.Dir(folder)} { // to the database's user
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mended := filepath.Join(folder, "mended")
	a.execute("ALTER SYSTEM SET archive_mode = 'on'", "ALTER SYSTEM SET archive_command = 'test -e "+mended+"'")
	if err := a.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.await("cannot archive its WAL")
	time.Sleep(3 * time.Second) // three tries a second apart: the next one is a minute away, or at the end
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.settles()
	a.await("")
	a.command("sleep 120") // for longer than it is waited for; ends by itself
	a.await("WAL has waited for the archive for", "BACKUP_WAL_SECONDS=0")
	if said := a.says(); said != "" {
		t.Errorf("a segment that waits for a moment: %q", said)
	}
	if err := a.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if said := a.says(); !strings.Contains(said, "the database does not answer") {
		t.Errorf("no database: %q", said)
	}
}
