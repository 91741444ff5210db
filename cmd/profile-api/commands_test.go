package main_test

import (
	"net"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/testservers"
)

// secretsOf lists every value of the settings that must never be shown.
func secretsOf(t *testing.T, s settings) []string {
	t.Helper()
	secrets := []string{s["SECRET_KEY"], s["CLERK_SECRET_KEY"]}
	for _, name := range []string{"DATABASE_URL", "VALKEY_URL"} {
		u, err := url.Parse(s[name])
		if err != nil {
			t.Fatal(err)
		}
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, password)
		}
	}
	return secrets
}

func wantNone(t *testing.T, where, s string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if secret != "" && strings.Contains(s, secret) {
			t.Errorf("%s shows a secret: %s", where, strings.ReplaceAll(s, secret, "[HERE]"))
		}
	}
}

func TestCommandsThatNeedNothing(t *testing.T) {
	parallel(t)
	version := command(t, nil, "version")
	for _, want := range []string{builtVersion, "abcdef0", runtime.Version()} {
		if version.status != 0 || !strings.Contains(version.stdout, want) {
			t.Errorf("version: status %d, %q lacks %q", version.status, version.stdout, want)
		}
	}
	for _, args := range [][]string{
		{}, {"nonsense"}, {"serve", "now"}, {"migrate"}, {"migrate", "sideways"}, {"migrate", "up", "2"},
		{"config", "--yaml"}, {"healthcheck", "x"}, {"version", "x"}, {"Serve"}, {"reconcile", "now"}, {"reconcile", "--dry"}, {"--version"},
		{"webhooks"}, {"webhooks", "list", "x"}, {"webhooks", "list", "--state"},
		{"webhooks", "list", "--state", "lost"}, {"webhooks", "replay"}, {"webhooks", "replay", "--all"}, {"webhooks", "replay", "--dead", "msg_1"}, {"webhooks", "drop"},
		{"webhooks", "dismiss"}, {"webhooks", "dismiss", "msg_1"}, {"webhooks", "dismiss", "--reason", "test"}, {"webhooks", "dismiss", "msg_1", "--reason"},
		{"webhooks", "dismiss", "--reason", "ada@example.org", "msg_1"}, {"webhooks", "dismiss", "--reason=test", "--reason=test", "msg_1"},
		{"webhooks", "dismiss", "--reason", "test", "--dead"}, {"webhooks", "dismiss", "--reason=", "msg_1"},
	} {
		r := command(t, nil, args...)
		if r.status != 2 || r.stdout != "" || !strings.Contains(r.stderr, "profile-api serve") {
			t.Errorf("%q: status %d, out %q, err %q; want 2 and the usage on standard error", args, r.status, r.stdout, r.stderr)
		}
	}
	for _, help := range []string{"help", "-h", "--help"} {
		if r := command(t, nil, help); r.status != 0 || !strings.Contains(r.stdout, "migrate up|down|status") {
			t.Errorf("%s: status %d, %q", help, r.status, r.stdout)
		}
	}
}

func TestConfigShowsSettingsAndMasksSecrets(t *testing.T) {
	parallel(t)
	s := production("postgres://someone:hunter2hunter2@127.0.0.1:5/x", "redis://:hunter3hunter3@127.0.0.1:6/0", "http://127.0.0.1:7/v1").
		with("SECRET_KEY_FALLBACKS", "An0ther.Key/That~was^used{before}the|rotation:of[last]summer", "SENTRY_DSN", "https://hunter4hunter4@sentry.blackbox.test/7")
	secrets := append(secretsOf(t, s), s["SECRET_KEY_FALLBACKS"], "hunter4hunter4")
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		r := command(t, s, args...)
		if r.status != 0 || r.stderr != "" {
			t.Fatalf("%v: status %d, %s", args, r.status, r.stderr)
		}
		wantNone(t, "config", r.stdout+r.stderr, secrets)
		for _, want := range []string{"DATABASE_URL", "RATE_LIMIT_USER", "1000000/1m", "environment", "default", "127.0.0.1"} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%v does not show %s: %s", args, want, r.stdout)
			}
		}
	}
}

// faulty breaks a rule in many places at once.
func faulty(database string) (s settings, variables, secrets []string) {
	s = production(database, "http://hunter5hunter5@cache", "http://clerk.elsewhere.test/v1").with(
		"MIGRATE_ON_START", "true", "SECRET_KEY", "change-me-hunter6", "CLERK_SECRET_KEY", "sk_test_hunter7hunter7",
		"CLERK_AUTHORIZED_PARTIES", "", "SENTRY_DSN", "", "ALLOWED_HOSTS", "*", "DEBUG", "true", "RATE_LIMIT_IP", "0/1m",
		"RATE_LIMIT_USER", "off", "REQUEST_TIMEOUT", "soon", "DB_MAX_OPEN_CONS", "5", "CORS_ALLOWED_ORIGINS", "*", "LOG_FORMAT", "xml",
	)
	variables = []string{
		"VALKEY_URL", "CLERK_API_URL", "SECRET_KEY", "CLERK_SECRET_KEY", "CLERK_AUTHORIZED_PARTIES", "SENTRY_DSN", "ALLOWED_HOSTS", "DEBUG",
		"RATE_LIMIT_IP", "RATE_LIMIT_USER", "REQUEST_TIMEOUT", "DB_MAX_OPEN_CONS", "CORS_ALLOWED_ORIGINS", "LOG_FORMAT",
	}
	return s, variables, []string{"hunter5", "hunter6", "hunter7"}
}

func TestFaultySettingsStopEveryCommand(t *testing.T) {
	parallel(t)
	database := reachable(t, testservers.Database(t))
	s, variables, secrets := faulty(database)
	for _, args := range [][]string{{"serve"}, {"config"}, {"migrate", "up"}, {"healthcheck"}, {"webhooks", "list"}, {"webhooks", "replay", "msg_1"}} {
		r := command(t, s, args...)
		if r.status != 1 {
			t.Errorf("%v with faulty settings: status %d, want 1", args, r.status)
		}
		for _, name := range variables {
			if !strings.Contains(r.stderr, "\n  "+name+" ") {
				t.Errorf("%v does not name the fault of %s:\n%s", args, name, r.stderr)
			}
		}
		wantNone(t, args[0], r.stdout+r.stderr, secrets)
	}
	var tables int
	scan(t, connect(t, database), &tables, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
	if tables != 0 {
		t.Errorf("a program with faulty settings made %d tables", tables)
	}
}

func TestServeNeedsItsAddresses(t *testing.T) {
	parallel(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	base := production("postgres://u:p@127.0.0.1:1/x", "redis://127.0.0.1:1", "http://127.0.0.1:1/v1")
	for _, name := range []string{"HTTP_ADDR", "OPS_ADDR"} {
		r := command(t, base.with(name, taken.Addr().String()), "serve")
		if r.status != 1 || !strings.Contains(r.stderr, taken.Addr().String()) || strings.Contains(r.stdout, `"msg":"serving"`) {
			t.Errorf("%s is taken: status %d\n%s%s", name, r.status, r.stdout, r.stderr)
		}
	}
}

func TestMigrateUpDownStatus(t *testing.T) {
	parallel(t)
	s := production(reachable(t, testservers.Database(t)), "redis://127.0.0.1:1", "http://127.0.0.1:1/v1")
	conn := connect(t, s["DATABASE_URL"])
	has := func(table string) (found bool) {
		scan(t, conn, &found, "SELECT to_regclass($1) IS NOT NULL", table)
		return found
	}
	migrate := func(direction string) result {
		t.Helper()
		r := command(t, s, "migrate", direction)
		if r.status != 0 {
			t.Fatalf("migrate %s: status %d: %s", direction, r.status, r.stderr)
		}
		wantNone(t, "migrate "+direction, r.stdout+r.stderr, secretsOf(t, s))
		return r
	}

	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	status := migrate("status").stdout
	total := strings.Count(status, "pending")
	if total < 5 || strings.Contains(status, "applied") || has("profiles") {
		t.Fatalf("of an empty database, status says %q", status)
	}
	// Two deployments at once: one waits for the other, both succeed.
	both := make(chan result, 2)
	for range 2 {
		go func() {
			r, err := runCommand(path, s, "migrate", "up")
			if err != nil {
				t.Error(err)
			}
			both <- r
		}()
	}
	applied := 0
	for range 2 {
		r := <-both
		if r.status != 0 || !strings.Contains(r.stdout, "the schema is current") {
			t.Errorf("migrate up: status %d, %q, %s", r.status, r.stdout, r.stderr)
		}
		applied += strings.Count(r.stdout, "applied ")
	}
	if applied != total {
		t.Errorf("two at once applied %d migrations, want %d", applied, total)
	}
	for _, table := range []string{"profiles", "preferences", "audit_events"} {
		if !has(table) {
			t.Errorf("after migrate up there is no %s", table)
		}
	}
	if up := migrate("up").stdout; strings.Contains(up, "applied ") {
		t.Errorf("a second migrate up says %q", up)
	}
	if status = migrate("status").stdout; strings.Count(status, "applied 2") != total || strings.Contains(status, "pending") {
		t.Errorf("after migrate up, status says %q", status)
	}
	if down := migrate("down").stdout; strings.Count(down, "undid") != 1 {
		t.Errorf("migrate down says %q", down)
	}
	if status = migrate("status").stdout; strings.Count(status, "pending") != 1 {
		t.Errorf("after one step down, status says %q", status)
	}
	for range total - 1 {
		migrate("down")
	}
	if down := migrate("down").stdout; !strings.Contains(down, "nothing to undo") || has("profiles") {
		t.Errorf("at the bottom, migrate down says %q", down)
	}
}

func TestMigrateWithoutDatabaseFails(t *testing.T) {
	parallel(t)
	s := production("postgres://someone:hunter2hunter2@"+freeAddr(t)+"/x", "redis://127.0.0.1:1", "http://127.0.0.1:1/v1")
	for _, direction := range []string{"up", "down", "status"} {
		r := command(t, s, "migrate", direction)
		if r.status != 1 || r.stderr == "" {
			t.Errorf("migrate %s without a database: status %d, %q", direction, r.status, r.stderr)
		}
		wantNone(t, "migrate", r.stdout+r.stderr, secretsOf(t, s))
	}
}

func TestHealthcheckAsksTheLocalServer(t *testing.T) {
	parallel(t)
	s := production("postgres://u:p@"+freeAddr(t)+"/x", "redis://"+freeAddr(t), "http://"+freeAddr(t)+"/v1")
	p := start(t, s) // without any dependency: a live process must not be restarted for that
	if r := command(t, s.with("HTTP_ADDR", p.api), "healthcheck"); r.status != 0 {
		t.Errorf("against a live server: status %d, %s", r.status, r.stderr)
	}
	_, port, err := net.SplitHostPort(p.api)
	if err != nil {
		t.Fatal(err)
	}
	for _, unspecified := range []string{":" + port, "0.0.0.0:" + port} {
		if r := command(t, s.with("HTTP_ADDR", unspecified), "healthcheck"); r.status != 0 {
			t.Errorf("with HTTP_ADDR=%s: status %d, %s", unspecified, r.status, r.stderr)
		}
	}
	if r := command(t, s.with("HTTP_ADDR", freeAddr(t)), "healthcheck"); r.status != 1 || r.stderr == "" {
		t.Errorf("against nothing: status %d, %q", r.status, r.stderr)
	}
}
