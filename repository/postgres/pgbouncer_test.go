package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
)

// Everything works through PgBouncer in transaction mode, where a session's
// connection changes with each transaction.
func TestThroughPgBouncer(t *testing.T) {
	program := findPgBouncer(t)
	through := startPgBouncer(t, program, migrated(t))
	t.Run("profiles", func(t *testing.T) {
		storetest.Profiles(t, func(t *testing.T) storetest.Stores {
			direct := migrated(t)
			return stores(t, through(t, direct), asker(t, direct))
		})
	})
	t.Run("ports", func(t *testing.T) {
		storetest.Ports(t, func(t *testing.T) storetest.Stores {
			direct := migrated(t)
			return stores(t, through(t, direct), asker(t, direct))
		})
	})
	t.Run("jobs", func(t *testing.T) {
		storetest.Jobs(t, func(t *testing.T) storetest.JobStores {
			direct := migrated(t)
			return jobStores(t, through(t, direct), asker(t, direct))
		})
	})
	t.Run("job runner", func(t *testing.T) {
		direct := migrated(t)
		runAndFinish(t, through(t, direct), asker(t, direct))
	})
	t.Run("cancellation reaches the server", func(t *testing.T) {
		direct := migrated(t)
		conn := asker(t, direct)
		db := openDB(t, postgres.Options{URL: through(t, direct)})
		gone, hangUp := context.WithCancel(within(t))
		result := make(chan error, 1)
		go func() { result <- postgres.Translate(gone, db.Conn(gone).Exec("SELECT pg_sleep(300)").Error) }()
		awaitSleep(t, conn, 1)
		hangUp()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		awaitSleep(t, conn, 0)
	})
	t.Run("settings", func(t *testing.T) {
		db := openDB(t, postgres.Options{URL: through(t, migrated(t))})
		for name, want := range map[string]string{"application_name": "profile-api", "TimeZone": "UTC"} {
			var got string
			must(t, db.Conn(within(t)).Raw("SELECT current_setting(?)", name).Scan(&got).Error)
			if got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
}

// findPgBouncer skips the test, and says so, where there is none and it cannot
// be installed: PgBouncer is an option of operators, not a part of the program.
func findPgBouncer(t *testing.T) string {
	t.Helper()
	if path, ok := process.Find("pgbouncer"); ok {
		return path
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	err := process.Install(ctx, func(format string, args ...any) { t.Logf(format, args...) }, "pgbouncer")
	if path, ok := process.Find("pgbouncer"); ok {
		return path
	}
	t.Skipf("THE PGBOUNCER MODE IS NOT TESTED HERE: no pgbouncer in PATH and none could be installed (%v). Remedy: apt-get install pgbouncer", err)
	return ""
}

// startPgBouncer starts one in front of the server of that URL, and returns how
// to go through it to any database of that server.
func startPgBouncer(t *testing.T, program, server string) func(t *testing.T, direct string) string {
	t.Helper()
	parsed, err := url.Parse(server)
	must(t, err)
	password, _ := parsed.User.Password()
	account, err := process.Unprivileged("postgres")
	must(t, err)
	dir, err := process.TempDir(account, "profile-api-pgbouncer")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port, err := process.FreePort()
	must(t, err)
	config := filepath.Join(dir, "pgbouncer.ini")
	must(t, account.WriteNew(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
`, parsed.Hostname(), parsed.Port(), parsed.User.Username(), password, port)))
	output, err := account.Log(filepath.Join(dir, "output"))
	must(t, err)
	p, err := process.Start(process.Spec{
		Path: program, Args: []string{config}, Dir: dir, Account: account, Output: output, Orphan: syscall.SIGTERM,
	})
	must(t, errors.Join(err, output.Close()))
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(output.Name())
			t.Logf("PgBouncer running: %v; its last words:\n%s", p.Running(), process.LastLines(string(text), 20))
		}
		if err := p.Stop(context.Background(), process.Rung{Signal: syscall.SIGTERM, Patience: 5 * time.Second}); err != nil {
			t.Error(err)
		}
	})
	through := func(t *testing.T, direct string) string {
		t.Helper()
		u, err := url.Parse(direct)
		must(t, err)
		u.Host, u.User = fmt.Sprintf("127.0.0.1:%d", port), url.User(parsed.User.Username())
		u.RawQuery = "sslmode=disable&default_query_exec_mode=cache_describe"
		return u.String()
	}
	must(t, p.WaitReady(within(t), func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, through(t, server))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}))
	return through
}
