package main_test

import (
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/deploy/database"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/internal/valkeylauncher"
)

// finding is one check as --json has it.
type finding struct{ Check, Status, Message, Remedy string }

// diagnosis is what the doctor said, and its exit status.
type diagnosis struct {
	result
	status string
	checks []finding
}

func diagnose(t *testing.T, env settings) diagnosis {
	t.Helper()
	d := diagnosis{result: command(t, env, "doctor", "--json")}
	var shown struct {
		Status string
		Checks []finding
	}
	if err := json.Unmarshal([]byte(d.stdout), &shown); err != nil {
		t.Fatalf("doctor: %v\n%s%s", err, d.stdout, d.stderr)
	}
	d.status, d.checks = shown.Status, shown.Checks
	wantNone(t, "doctor", d.stdout+d.stderr, append(secretsOf(t, env), "hunter"))
	for _, f := range d.checks {
		if (f.Status == "pass") != (f.Remedy == "") {
			t.Errorf("%s is %s with the remedy %q", f.Check, f.Status, f.Remedy)
		}
	}
	return d
}

// want holds the checks that are not to pass, each with its status and a part of
// its message and remedy; all others must pass, and the exit status must fit.
func (d diagnosis) want(t *testing.T, what string, others ...finding) {
	t.Helper()
	worst, exit := "pass", 0
	for _, w := range others {
		if w.Status == "fail" {
			worst, exit = "fail", 1
		} else if worst == "pass" {
			worst = "warn"
		}
		if !slices.ContainsFunc(d.checks, func(f finding) bool {
			return f.Check == w.Check && f.Status == w.Status && strings.Contains(f.Message, w.Message) && strings.Contains(f.Remedy, w.Remedy)
		}) {
			t.Errorf("%s: there is no %+v", what, w)
		}
	}
	for _, f := range d.checks {
		if f.Status != "pass" && !slices.ContainsFunc(others, func(w finding) bool { return w.Check == f.Check }) {
			t.Errorf("%s: %+v, want it to pass", what, f)
		}
	}
	if d.status != worst || d.result.status != exit {
		t.Errorf("%s: %s with status %d, want %s and %d", what, d.status, d.result.status, worst, exit)
	}
}

// shiftedClock is the stand-in's, and may be wrong.
type shiftedClock struct{ by atomic.Int64 }

func (c *shiftedClock) Now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

// ward is a sound deployment of one test's own: roles as deploy/database makes
// them, and everything set that the doctor warns about.
type ward struct {
	settings
	server string // the database as its superuser
	cache  *valkeylauncher.Server
	clerk  *clerkstandin.Server
	clock  shiftedClock
	conn   *pgx.Conn // of the superuser
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{server: testservers.OwnPostgres(t).URL("postgres"), cache: testservers.OwnValkey(t)}
	var err error
	w.clerk, err = clerkstandin.New(clerkstandin.Options{Host: clerkHost, SecretKey: clerkKey, AuthorizedParty: frontEnd, Clock: &w.clock})
	if err != nil {
		t.Fatal(err)
	}
	w.conn = connect(t, w.server)
	w.execute(t, database.Roles, "ALTER ROLE profile_api_a LOGIN PASSWORD 'hunter8'",
		"CREATE ROLE keeper LOGIN PASSWORD 'hunter9'", "GRANT profile_api_app TO keeper", "GRANT postgres TO keeper")
	w.settings = production(as(t, w.server, "profile_api_a", "hunter8"), w.cache.URL(), startClerk(t, w.clerk, "127.0.0.1:0").APIURL()).with(
		"CORS_ALLOWED_ORIGINS", frontEnd, "TRUSTED_PROXIES", "10.0.0.0/8", "SENTRY_DSN", "https://hunter1@sentry.blackbox.test/7",
		"EVENTS_WEBHOOK_URLS", "https://events.blackbox.test/hunter2", "EVENTS_WEBHOOK_SECRET", "whsec_aHVudGVyMTAtaHVudGVyMTAtaHVudGVyMTA=",
		"EVENTS_STREAM", "profile-events")
	if r := command(t, w.with("DATABASE_URL", w.server), "migrate", "up"); r.status != 0 {
		t.Fatalf("migrate up: %s", r.stderr)
	}
	return w
}

func (w *ward) execute(t *testing.T, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := w.conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func as(t *testing.T, server, user, password string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func (w *ward) valkey(t *testing.T, args ...any) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: w.cache.Addr()})
	defer func() { _ = client.Close() }()
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// Everything passes on a sound deployment; each fault of the database's is found, with its remedy.
func TestDoctorOnTheDatabase(t *testing.T) {
	parallel(t)
	w := newWard(t)
	sound := diagnose(t, w.settings)
	sound.want(t, "a sound deployment")
	if len(sound.checks) != 28 || sound.stderr != "" {
		t.Errorf("%d checks, %q", len(sound.checks), sound.stderr)
	}
	text := command(t, w.settings, "doctor")
	if lines := strings.Split(strings.TrimSpace(text.stdout), "\n"); text.status != 0 || len(lines) != 29 || lines[28] != "28 pass, 0 warn, 0 fail" {
		t.Errorf("as text: %d\n%s", text.status, text.stdout)
	}
	t.Log(text.stdout)

	for _, c := range []struct {
		what         string
		make, repair []string
		env          settings
		wants        []finding
	}{
		{"the audit trigger is off", []string{"ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only"},
			[]string{"ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only"}, nil,
			[]finding{{"audit_trail", "fail", "can be changed and deleted", "ENABLE ALWAYS TRIGGER"}}},
		{"the trigger alone keeps the trail", []string{"GRANT DELETE ON audit_events TO profile_api_app"}, []string{"REVOKE DELETE ON audit_events FROM profile_api_app"}, nil,
			[]finding{{"audit_trail", "warn", "only the trigger refuses", "REVOKE"}}},
		{"the role may become the owner", nil, nil, w.with("DATABASE_URL", as(t, w.server, "keeper", "hunter9")),
			[]finding{{"audit_trail", "warn", "may switch off what keeps the audit trail", "deploy/database/roles.sql"}}},
		{"the role is a superuser", nil, nil, w.with("DATABASE_URL", w.server),
			[]finding{{"database_role", "fail", "superuser", "deploy/database/roles.sql"}, {"audit_trail", "warn", "owns", "roles.sql"}}},
		{"the role may make roles", []string{"ALTER ROLE profile_api_a CREATEROLE"}, []string{"ALTER ROLE profile_api_a NOCREATEROLE"}, nil,
			[]finding{{"database_role", "warn", "may create roles", "NOCREATEROLE"}}},
		{"the role lacks a right", []string{"REVOKE INSERT ON profiles FROM profile_api_app"}, []string{"GRANT INSERT ON profiles TO profile_api_app"}, nil,
			[]finding{{"database_role", "fail", "profiles", "deploy/database/roles.sql"}}},
		{"no room for the pool", []string{"ALTER ROLE profile_api_a CONNECTION LIMIT 20"}, []string{"ALTER ROLE profile_api_a CONNECTION LIMIT -1"}, nil,
			[]finding{{"database_connections", "fail", "0 replicas", "DB_MAX_OPEN_CONNS"}}},
		{"room for one replica", []string{"ALTER ROLE profile_api_a CONNECTION LIMIT 30"}, []string{"ALTER ROLE profile_api_a CONNECTION LIMIT -1"}, nil,
			[]finding{{"database_connections", "warn", "1 replicas", "rollout"}}},
		{"read-only", []string{"ALTER ROLE profile_api_a SET default_transaction_read_only = on"}, []string{"ALTER ROLE profile_api_a RESET default_transaction_read_only"}, nil,
			[]finding{{"database_writable", "fail", "standby", "docs/runbooks/failover.md"}}},
		{"timeouts that PgBouncer keeps off", nil, nil, w.with("DATABASE_URL", w.settings["DATABASE_URL"]+"&default_query_exec_mode=cache_describe"),
			[]finding{{"database_timeouts", "fail", "statement_timeout, lock_timeout, idle_in_transaction_session_timeout", "ALTER ROLE … SET statement_timeout = '30000ms'"}}},
		{"a timeout of the role's that differs", []string{"ALTER ROLE profile_api_a SET statement_timeout = '31s'", "ALTER ROLE profile_api_a SET lock_timeout = '10s'",
			"ALTER ROLE profile_api_a SET idle_in_transaction_session_timeout = '60s'"}, []string{"ALTER ROLE profile_api_a RESET ALL"},
			w.with("DATABASE_URL", w.settings["DATABASE_URL"]+"&default_query_exec_mode=cache_describe"),
			[]finding{{"database_timeouts", "warn", "statement_timeout is 31s and DB_STATEMENT_TIMEOUT says 30s", "ALTER ROLE"}}},
		{"a dead delivery", []string{`INSERT INTO webhook_deliveries (id, type, state, received_at, updated_at) VALUES ('msg_1', 'user.updated', 'dead', now(), now())`},
			[]string{"DELETE FROM webhook_deliveries"}, nil, []finding{{"dead_deliveries", "warn", "1 of Clerk's webhooks", "profile-api webhooks replay --dead"}}},
		{"a discarded job", []string{`INSERT INTO river_job (kind, state, max_attempts, attempt, finalized_at, args) VALUES ('clerk_deletion', 'discarded', 1, 1, now(), '{}')`},
			[]string{"DELETE FROM river_job"}, nil, []finding{{"discarded_jobs", "warn", "1 clerk_deletion", "docs/runbooks/dead-jobs.md"}}},
		{"an old event", []string{`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
			VALUES (gen_random_uuid(), 'stream', gen_random_uuid(), 'profile.created', now() - interval '1 hour', '{}', now())`},
			[]string{"DELETE FROM event_outbox"}, nil, []finding{{"outbox", "warn", "stream has waited 1h0m", "docs/runbooks/outbox-age.md"}}},
		{"a young event", []string{`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
			VALUES (gen_random_uuid(), 'stream', gen_random_uuid(), 'profile.created', now() - interval '1 minute', '{}', now())`},
			[]string{"DELETE FROM event_outbox"}, nil, nil},
	} {
		w.execute(t, c.make...)
		env := c.env
		if env == nil {
			env = w.settings
		}
		diagnose(t, env).want(t, c.what, c.wants...)
		w.execute(t, c.repair...)
	}
	if r := command(t, w.with("DATABASE_URL", w.server), "migrate", "down"); r.status != 0 {
		t.Fatalf("migrate down: %s", r.stderr)
	}
	diagnose(t, w.settings).want(t, "a pending migration", finding{"migrations", "fail", "older than this program", "profile-api migrate up"})
}

// databaseChecks are those that say nothing when the database cannot be asked.
func databaseChecks(why string) []finding {
	list := []finding{}
	for _, check := range []string{"database", "migrations", "discarded_jobs", "dead_deliveries", "outbox"} {
		list = append(list, finding{check, "fail", "the database cannot be asked: " + why, ""})
	}
	for _, check := range []string{"version", "writable", "tls", "timeouts", "connections", "role"} {
		list = append(list, finding{"database_" + check, "warn", "not looked at, because of database", ""})
	}
	return append(list, finding{"audit_trail", "warn", "not looked at", ""}, finding{"clock_database", "warn", "not looked at", ""})
}

// What is away, refuses or is wrong elsewhere.
func TestDoctorOnTheOthers(t *testing.T) {
	parallel(t)
	w := newWard(t)
	refused := databaseChecks("it answered with SQLSTATE 28P01")
	refused[0].Remedy = "docs/runbooks/rotate-database-credentials.md"
	away := databaseChecks("the connection was refused")
	gone := w.with("DATABASE_URL", "postgres://u:hunter3@"+freeAddr(t)+"/x?sslmode=disable")
	keysFail := func(message, remedy string) []finding {
		return []finding{{"clerk_key_set", "fail", message, remedy}, {"clerk_secret_key", "fail", "", remedy}, {"clerk_issuer", "warn", "not compared", "CLERK_ISSUER"}}
	}
	notCounted := func(why string) []finding {
		return []finding{
			{"valkey", "fail", "each replica counts alone: " + why, "docs/runbooks/valkey-loss.md"},
			{"valkey_version", "warn", "not looked at", ""}, {"valkey_eviction", "warn", "not looked at", ""},
		}
	}
	valkey := func(args ...any) func() { return func() { w.valkey(t, args...) } }
	for _, c := range []struct {
		what         string
		make, repair func()
		env          settings
		wants        []finding
	}{
		{"a wrong password", nil, nil, w.with("DATABASE_URL", as(t, w.server, "profile_api_a", "hunter7")), refused},
		{"no database", nil, nil, gone, away},
		{"no Valkey", nil, nil, w.with("VALKEY_URL", "redis://:hunter4@"+freeAddr(t)), notCounted("the connection was refused")},
		{"Valkey wants a password", valkey("CONFIG", "SET", "requirepass", "hunter5"), nil, nil, notCounted("it answered with the error NOAUTH")},
		{"Valkey takes it", nil, func() {
			client := redis.NewClient(&redis.Options{Addr: w.cache.Addr(), Password: "hunter5"})
			defer func() { _ = client.Close() }()
			if err := client.ConfigSet(t.Context(), "requirepass", "").Err(); err != nil {
				t.Fatal(err)
			}
		}, w.with("VALKEY_URL", strings.Replace(w.cache.URL(), "redis://", "valkey://:hunter5@", 1)), nil},
		{"a full Valkey drops the stream", func() {
			w.valkey(t, "CONFIG", "SET", "maxmemory", "100mb")
			w.valkey(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		}, nil, nil, []finding{{"valkey_eviction", "warn", "allkeys-lru: a full memory would drop the stream", "volatile-ttl"}}},
		{"a fit policy", valkey("CONFIG", "SET", "maxmemory-policy", "volatile-ttl"), nil, nil, nil},
		{"Valkey does not tell", valkey("ACL", "SETUSER", "default", "-info"), valkey("ACL", "SETUSER", "default", "+info"), nil,
			[]finding{{"valkey_version", "warn", "does not tell", "+info"}, {"valkey_eviction", "warn", "does not tell", "+info"}}},
		{"Valkey takes no scripts", valkey("ACL", "SETUSER", "default", "-eval", "-evalsha"), valkey("ACL", "SETUSER", "default", "+eval", "+evalsha"), nil, notCounted("it answered with the error NOPERM")},

		{"a key that Clerk refuses", func() { w.clerk.SetSecretKeys("sk_live_another") }, func() { w.clerk.SetSecretKeys(clerkKey) }, nil,
			keysFail("Clerk refuses the key set", "docs/runbooks/rotate-clerk-keys.md")},
		{"Clerk fails", func() { w.clerk.Break(clerkstandin.Fault{Status: 500}) }, w.clerk.Heal, nil, keysFail("status 500", "docs/runbooks/clerk-outage.md")},
		{"an empty key set", func() { w.clerk.Break(clerkstandin.Fault{Body: []byte(`{"keys":[]}`)}) }, w.clerk.Heal, nil,
			[]finding{{"clerk_key_set", "fail", "no RSA key for RS256", "CLERK_API_URL"}, {"clerk_issuer", "warn", "not compared", "dashboard"}}},
		{"another instance's publishable key", nil, nil, w.with("CLERK_PUBLISHABLE_KEY", clerkstandin.LivePublishableKey("clerk.elsewhere.test")),
			[]finding{{"clerk_issuer", "fail", "every token would be refused", "CLERK_PUBLISHABLE_KEY"}}},
		{"Clerk's clock is fast", func() { w.clock.by.Store(int64(10 * time.Second)) }, nil, nil, []finding{{"clock_clerk", "fail", "ahead of this machine's", "NTP"}}},
		{"Clerk's clock is slow", func() { w.clock.by.Store(int64(-10 * time.Second)) }, func() { w.clock.by.Store(0) }, nil,
			[]finding{{"clock_clerk", "fail", "behind this machine's", "NTP"}}},

		{"a full disk", nil, nil, w.with("DISK_MIN_FREE_PERCENT", "100"), []finding{{"disk", "fail", "unhealthy", "docs/runbooks/disk-space-low.md"}}},
		{"what is not set", nil, nil, w.with("SENTRY_DSN", "disabled", "CLERK_WEBHOOK_SECRET", "", "CORS_ALLOWED_ORIGINS", "", "TRUSTED_PROXIES", "", "ALLOWED_HOSTS", ".com"), []finding{
			{"sentry", "warn", "off", "SENTRY_DSN"}, {"webhook_secret", "warn", "reconciliation alone", "CLERK_WEBHOOK_SECRET"}, {"cors_origins", "warn", "empty", ""},
			{"trusted_proxies", "warn", "empty", "load balancer"}, {"allowed_hosts", "warn", "almost any host", ""}}},
		{"wide lists outside of production", nil, nil, w.with("ENVIRONMENT", "staging", "CORS_ALLOWED_ORIGINS", "*", "ALLOWED_HOSTS", "*", "TRUSTED_PROXIES", "0.0.0.0/0",
			"EVENTS_WEBHOOK_URLS", "http://events.blackbox.test/hunter2"), []finding{
			{"cors_origins", "warn", "anybody's", ""}, {"allowed_hosts", "warn", "any host", ""}, {"trusted_proxies", "warn", "forge", ""}, {"events", "warn", "1 of 1", "certificate"}}},
		{"faults in the settings", nil, nil, w.with("CLERK_API_URL", "http://elsewhere.test/v1", "DATABASE_URL", "hunter6", "REQUEST_TIMEOUT", "soon"), append([]finding{
			{"settings", "fail", "CLERK_API_URL must", "CLERK_API_URL"}, {"settings", "fail", "DATABASE_URL must", "DATABASE_URL"}, {"settings", "fail", "REQUEST_TIMEOUT must", ""},
			{"clerk_key_set", "warn", "not looked at: CLERK_API_URL is at fault", ""}, {"clerk_secret_key", "warn", "", ""}, {"clock_clerk", "warn", "", ""}, {"clerk_issuer", "warn", "", ""},
			{"migrations", "warn", "", ""}, {"discarded_jobs", "warn", "", ""}, {"dead_deliveries", "warn", "", ""}, {"outbox", "warn", "", ""},
			{"database", "warn", "not looked at: DATABASE_URL is at fault", ""}}, databaseChecks("")[5:]...)},
	} {
		if c.make != nil {
			c.make()
		}
		env := c.env
		if env == nil {
			env = w.settings
		}
		diagnose(t, env).want(t, c.what, c.wants...)
		if c.repair != nil {
			c.repair()
		}
	}
	diagnose(t, w.settings).want(t, "all repaired")
}

// With everything hanging it still ends, names what hangs and says the rest.
func TestDoctorWhenEverythingHangs(t *testing.T) {
	parallel(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nothing ever comes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	silent := l.Addr().String()
	d := diagnose(t, production("postgres://u:hunter1@"+silent+"/x", "redis://:hunter2@"+silent, "http://"+silent+"/v1"))
	wants := append(databaseChecks("there was no answer in time"),
		finding{"valkey", "fail", "there was no answer in time", ""}, finding{"valkey_version", "warn", "", ""}, finding{"valkey_eviction", "warn", "", ""},
		finding{"clerk_key_set", "fail", "there was no answer in time", ""}, finding{"clerk_secret_key", "fail", "there was no answer in time", ""},
		finding{"clock_clerk", "warn", "not looked at", ""}, finding{"clerk_issuer", "warn", "there was no answer in time", ""},
		finding{"sentry", "warn", "", ""}, finding{"cors_origins", "warn", "", ""}, finding{"trusted_proxies", "warn", "", ""})
	d.want(t, "everything hangs", wants...)
	if !strings.Contains(d.stderr, "checks fail") {
		t.Errorf("on standard error: %q", d.stderr)
	}
}

func TestDoctorOnNothingAtAll(t *testing.T) {
	parallel(t)
	r := command(t, settings{}, "doctor")
	if r.status != 1 || !strings.Contains(r.stdout, "SECRET_KEY is required") || !strings.Contains(r.stdout, "DATABASE_URL is required") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if r := command(t, settings{}, "doctor", "--yaml"); r.status != 2 {
		t.Errorf("a wrong option: status %d", r.status)
	}
}
