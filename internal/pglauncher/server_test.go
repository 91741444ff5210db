package pglauncher_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/profile-api/profile-api/internal/pglauncher"
)

func execute(t *testing.T, url, statement string) {
	t.Helper()
	connection := connect(t, url)
	defer func() { _ = connection.Close(t.Context()) }()
	if _, err := connection.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

func text(t *testing.T, url, query string) string {
	t.Helper()
	connection := connect(t, url)
	defer func() { _ = connection.Close(t.Context()) }()
	var value string
	if err := connection.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func TestDataSurvivesStopCrashAndANewLauncher(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := start(t, options(dir))
	for range 2 { // the second time it exists
		if err := server.EnsureDatabase(t.Context(), "Shop \"1\""); err != nil {
			t.Fatal(err)
		}
	}
	database := server.URL("Shop \"1\"")
	execute(t, database, "CREATE TABLE mark (value text); INSERT INTO mark VALUES ('kept')")
	const read = "SELECT value FROM mark"

	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := text(t, database, read); got != "kept" {
		t.Errorf("after Restart: %q", got)
	}
	pid := server.Pid()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if err := server.Start(t.Context()); err != nil {
		t.Fatalf("start after a crash: %v", err)
	}
	if server.Pid() == pid {
		t.Error("the process is the same after Kill and Start")
	}
	if got := text(t, database, read); got != "kept" {
		t.Errorf("after Kill: %q", got)
	}
	if err := server.Start(t.Context()); err == nil {
		t.Error("a running server was started again without an error")
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	another := start(t, options(dir))
	if got := text(t, another.URL("Shop \"1\""), read); got != "kept" {
		t.Errorf("with a new launcher: %q", got)
	}
}

func TestStopDisconnectsClients(t *testing.T) {
	t.Parallel()
	server := start(t, options(dataDir(t)))
	connection := connect(t, server.URL("postgres"))
	defer func() { _ = connection.Close(context.Background()) }()
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := connection.Ping(t.Context()); err == nil {
		t.Error("the connection still works after Stop")
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestServerIsPrivate(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := start(t, options(dir))
	t.Run("the password is needed", func(t *testing.T) {
		address, err := url.Parse(server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		if address.Hostname() != "127.0.0.1" {
			t.Errorf("host %s", address.Host)
		}
		address.User = url.UserPassword("postgres", "wrong")
		_, err = pgx.Connect(t.Context(), address.String())
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "28P01" {
			t.Errorf("a wrong password: %v, want SQLSTATE 28P01", err)
		}
	})
	t.Run("nobody else can read", func(t *testing.T) {
		version := strconv.Itoa(server.Programs().Major)
		for path, want := range map[string]os.FileMode{"": 0o700, version + "/data": 0o700, version + "/password": 0o600, version + "/server.log": 0o600} {
			info, err := os.Stat(filepath.Join(dir, path))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s has mode %o, want %o", path, got, want)
			}
		}
	})
	t.Run("settings and locale", func(t *testing.T) {
		for query, want := range map[string]string{"SHOW fsync": "off", "SHOW server_encoding": "UTF8", "SELECT 'a' < 'B'": "false", "SHOW listen_addresses": "127.0.0.1"} {
			if strings.HasPrefix(query, "SELECT") {
				query = "SELECT (" + strings.TrimPrefix(query, "SELECT ") + ")::text"
			}
			if got := text(t, server.URL("postgres"), query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
	})
}

func TestSecondServerOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := start(t, options(dir))
	_, err := pglauncher.Start(t.Context(), options(dir))
	if !errors.Is(err, pglauncher.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(server.Pid())) {
		t.Errorf("got %v, want ErrInUse with the process id %d", err, server.Pid())
	}
	if got := text(t, server.URL("postgres"), "SELECT 'alive'"); got != "alive" {
		t.Errorf("the first server: %q", got)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	taken := options(dataDir(t))
	taken.Port = listener.Addr().(*net.TCPAddr).Port
	_, err = pglauncher.Start(t.Context(), taken)
	if !errors.Is(err, pglauncher.ErrPortInUse) || !strings.Contains(err.Error(), strconv.Itoa(taken.Port)) {
		t.Errorf("got %v, want ErrPortInUse with the port", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if server := start(t, taken); server.Port() != taken.Port {
		t.Errorf("port %d, want %d", server.Port(), taken.Port)
	}
}

func TestForeignDirectoriesAreLeftAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file string
		text string
		want error
		says string
	}{
		"another major version": {"PG_VERSION", "9\n", pglauncher.ErrVersion, "version 9"},
		"not a data directory":  {"thesis.txt", "ten years of work", nil, "no PG_VERSION"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := dataDir(t)
			data := filepath.Join(dir, strconv.Itoa(major(t).Major), "data")
			file := filepath.Join(data, test.file)
			if err := os.MkdirAll(data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			chownLike(t, dir, filepath.Dir(data), data, file)
			_, err := pglauncher.Start(t.Context(), options(dir))
			if err == nil || !strings.Contains(err.Error(), test.says) || (test.want != nil && !errors.Is(err, test.want)) {
				t.Errorf("got %v", err)
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != test.text {
				t.Errorf("the file is %q, %v afterwards", got, err)
			}
		})
	}
}

func TestDataOfAnotherVersionIsMentioned(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	older := filepath.Join(dir, "9", "data")
	if err := os.MkdirAll(older, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(older, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	with := options(dir)
	with.Progress = func(message string) { said = append(said, message) }
	start(t, with)
	if all := strings.Join(said, "\n"); !strings.Contains(all, older) || !strings.Contains(all, "untouched") {
		t.Errorf("progress said %q, want a word about %s", all, older)
	}
}

func TestLostPasswordIsAnErrorAndNotAReset(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := start(t, options(dir))
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, strconv.Itoa(server.Programs().Major), "password")); err != nil {
		t.Fatal(err)
	}
	if _, err := pglauncher.Start(t.Context(), options(dir)); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "password") {
		t.Errorf("got %v", err)
	}
}

func TestBadSettingIsQuotedFromTheServer(t *testing.T) {
	t.Parallel()
	with := options(dataDir(t))
	with.Settings = map[string]string{"fsync": "off", "no_such_setting": "1"}
	_, err := pglauncher.Start(t.Context(), with)
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want the server's own words", err)
	}
}

func TestMissingProgramsComeWithRemedies(t *testing.T) {
	t.Parallel()
	with := options(dataDir(t))
	with.BinDir, with.Install = t.TempDir(), true // an explicit directory is never a reason to install
	_, err := pglauncher.Start(t.Context(), with)
	if !errors.Is(err, pglauncher.ErrNoPrograms) {
		t.Fatalf("got %v, want ErrNoPrograms", err)
	}
	for _, want := range []string{with.BinDir, "Install", "initdb"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the message: %v", want, err)
		}
	}
}
