package main_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/testhooks"
	"github.com/profile-api/profile-api/internal/testservers"
)

const (
	clerkHost  = "clerk.blackbox.test"
	clerkKey   = "sk_live_c3RhbmQtaW4tZm9yLWJsYWNrLWJveC10ZXN0cw"
	frontEnd   = "https://app.blackbox.test"
	signingKey = "kV9#mQ2xT7!pL4wZ8@rN6yB3cF5hJ1dS0gA-uE+oI=vXq%tYzW&nM"
)

// settings are the variables that a program gets to see, and nothing of ours beside them.
type settings map[string]string

// with returns a copy with more variables; an empty value takes one away.
func (s settings) with(pairs ...string) settings {
	c := maps.Clone(s)
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
	}
	return c
}

func (s settings) environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "GORACE=exitcode=66 halt_on_error=0"}
	for name, value := range s {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// production is what an operator would set, with limits that are in no test's way.
func production(database, valkey, clerkAPI string) settings {
	return settings{
		"ENVIRONMENT": "production", "SECRET_KEY": signingKey, "SENTRY_DSN": "disabled",
		"CLERK_SECRET_KEY": clerkKey, "CLERK_PUBLISHABLE_KEY": clerkstandin.LivePublishableKey(clerkHost),
		"CLERK_AUTHORIZED_PARTIES": frontEnd, "CLERK_API_URL": clerkAPI, "CLERK_WEBHOOK_SECRET": testhooks.Secret,
		"DATABASE_URL": database, "VALKEY_URL": valkey,
		"ALLOWED_HOSTS": "127.0.0.1,localhost", "HTTP_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0",
		"RATE_LIMIT_USER": "1000000/1m", "RATE_LIMIT_IP": "1000000/1m", "RATE_LIMIT_GLOBAL": "10000000/1m",
		"SHUTDOWN_DRAIN_DELAY": "100ms", "SHUTDOWN_TIMEOUT": "20s", "DISK_MIN_FREE_PERCENT": "0",
	}
}

// stack is what a replica needs around it.
type stack struct {
	settings
	database string // URL
	clerk    *clerkstandin.Server
	running  *clerkstandin.Running
}

// newStack makes a migrated database, an empty Valkey and a Clerk, for this test alone.
func newStack(t *testing.T) *stack {
	t.Helper()
	return stackOn(t, migrated(t), testservers.Valkey(t))
}

func stackOn(t *testing.T, database, valkey string) *stack {
	t.Helper()
	s := &stack{database: database, clerk: newClerk(t)}
	s.running = startClerk(t, s.clerk, "127.0.0.1:0")
	s.settings = production(database, valkey, s.running.APIURL())
	return s
}

// migrated is a database that `migrate up` has prepared.
func migrated(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return reachable(t, testservers.DatabaseFromTemplate(t, "migrated", func(_ context.Context, url string) error {
		url, closeIt, err := onLoopback(url)
		if err != nil {
			return err
		}
		defer closeIt()
		r, err := runCommand(path, production(url, "redis://127.0.0.1:1", "http://127.0.0.1:1/v1"), "migrate", "up")
		if err == nil && r.status != 0 {
			err = fmt.Errorf("migrate up: status %d: %s", r.status, r.stderr)
		}
		return err
	}))
}

func newClerk(t *testing.T) *clerkstandin.Server {
	t.Helper()
	s, err := clerkstandin.New(clerkstandin.Options{Host: clerkHost, SecretKey: clerkKey, AuthorizedParty: frontEnd})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startClerk(t *testing.T, s *clerkstandin.Server, addr string) *clerkstandin.Running {
	t.Helper()
	running, err := s.Start(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopClerk(t, running) })
	return running
}

func stopClerk(t *testing.T, running *clerkstandin.Running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := running.Close(ctx); err != nil {
		t.Logf("close the stand-in: %v", err) // requests of a replica that is ending were cut off, maybe
	}
}

// replica starts a replica on the stack and waits until it is ready and has keys.
func (s *stack) replica(t *testing.T, pairs ...string) *program {
	t.Helper()
	p := start(t, s.with(pairs...))
	p.awaitReady(t)
	return p
}

// awaitReady waits until the replica takes traffic and can judge tokens.
func (p *program) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "the replica is ready", func() bool { return p.get(t, "/health/ready", "").status == 200 })
	eventually(t, "the replica has Clerk's keys", func() bool { return p.metrics(t).value(`dependency_up{dependency="clerk"}`) == 1 })
}

// person mints tokens of somebody whom nobody has seen before.
func (s *stack) person(t *testing.T) (token, id string) {
	t.Helper()
	id = newUserID()
	return s.clerk.Mint(clerkstandin.WithUser(id)), id
}

// connect opens a connection of the test's own to the database.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server may be gone by design
	return conn
}

// scan reads one row.
func scan(t *testing.T, conn *pgx.Conn, into any, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := conn.QueryRow(ctx, sql, args...).Scan(into); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// lockProfile holds a person's row on a connection of its own until release.
func lockProfile(t *testing.T, database, userID string) (release func()) {
	t.Helper()
	conn := connect(t, database)
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	tag, err := tx.Exec(context.Background(), "SELECT 1 FROM profiles WHERE clerk_user_id = $1 FOR UPDATE", userID)
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("lock the row: %v, %d rows", err, tag.RowsAffected())
	}
	return func() { _ = tx.Rollback(context.Background()) } // fails only with the connection, which frees the row too
}

// waiting counts the statements of replicas that wait for a lock in the database.
func waiting(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	var n int
	scan(t, conn, &n, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND wait_event_type = 'Lock'`)
	return n
}

// freeAddr is a host:port on which nothing listens now.
func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
