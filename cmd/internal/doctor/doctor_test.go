package doctor_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/doctor"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// Everything passes on a sound deployment; each fault of the database's is found, with its remedy.
func TestDoctorOnTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	healthy := diagnose(t, w.settings, &w.ours)
	healthy.want(t, "a sound deployment")
	for _, says := range []string{"SENTRY_DSN is set; no event was sent", "tracing is off"} { // what was not tried must not sound as if it was
		if !slices.ContainsFunc(healthy, func(f doctor.Finding) bool { return f.Message == says }) {
			t.Errorf("nothing says %q", says)
		}
	}
	if len(healthy) != 30 {
		t.Errorf("%d checks", len(healthy))
	}
	for _, c := range []struct {
		what         string
		make, repair []string
		env          settings
		wants        []doctor.Finding
	}{
		{"the audit trigger is off", []string{"ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only"},
			[]string{"ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only"}, nil,
			[]doctor.Finding{{"audit_trail", "fail", "can be changed and deleted", "ENABLE ALWAYS TRIGGER"}}},
		{"the trigger alone keeps the trail", []string{"GRANT DELETE ON audit_events TO profile_api_app"}, []string{"REVOKE DELETE ON audit_events FROM profile_api_app"}, nil,
			[]doctor.Finding{{"audit_trail", "warn", "only the trigger refuses", "REVOKE"}}},
		{"the role may become the owner", nil, nil, w.with("DATABASE_URL", as(t, w.server, "keeper", "hunter9")),
			[]doctor.Finding{{"audit_trail", "warn", "may switch off what keeps the audit trail", "deploy/database/roles.sql"}}},
		{"the role owns the trail", []string{"ALTER TABLE audit_events OWNER TO profile_api_a"}, []string{"ALTER TABLE audit_events OWNER TO postgres"}, nil,
			[]doctor.Finding{{"audit_trail", "warn", "it owns audit_events", "deploy/database/roles.sql"}}},
		{"the role owns the schema", []string{"ALTER SCHEMA public OWNER TO profile_api_a"}, []string{"ALTER SCHEMA public OWNER TO pg_database_owner"}, nil,
			[]doctor.Finding{{"audit_trail", "warn", "or its schema", "deploy/database/roles.sql"}}},
		{"the role is a superuser", nil, nil, w.with("DATABASE_URL", w.server),
			[]doctor.Finding{{"database_role", "fail", "superuser", "deploy/database/roles.sql"}, {"audit_trail", "warn", "owns", "roles.sql"}}},
		{"the role may make roles", []string{"ALTER ROLE profile_api_a CREATEROLE"}, []string{"ALTER ROLE profile_api_a NOCREATEROLE"}, nil,
			[]doctor.Finding{{"database_role", "warn", "may create roles", "NOCREATEROLE"}}},
		{"the role lacks a right", []string{"REVOKE INSERT ON profiles FROM profile_api_app"}, []string{"GRANT INSERT ON profiles TO profile_api_app"}, nil,
			[]doctor.Finding{{"database_role", "fail", "profiles", "deploy/database/roles.sql"}}},
		{"the role may read and insert alone", []string{"REVOKE UPDATE, DELETE ON profiles, preferences, river_job, webhook_deliveries, event_outbox FROM profile_api_app"},
			[]string{"GRANT UPDATE, DELETE ON profiles, preferences, river_job, webhook_deliveries, event_outbox TO profile_api_app"}, nil,
			[]doctor.Finding{{"database_role", "fail", ": event_outbox, preferences, profiles, river_job, webhook_deliveries", "deploy/database/roles.sql"}}},
		{"the role may not update", []string{"REVOKE UPDATE ON profiles FROM profile_api_app"}, []string{"GRANT UPDATE ON profiles TO profile_api_app"}, nil,
			[]doctor.Finding{{"database_role", "fail", ": profiles", "deploy/database/roles.sql"}}},
		{"the role may not delete", []string{"REVOKE DELETE ON profiles FROM profile_api_app"}, []string{"GRANT DELETE ON profiles TO profile_api_app"}, nil,
			[]doctor.Finding{{"database_role", "fail", ": profiles", "deploy/database/roles.sql"}}},
		{"the role may ask no sequence", []string{"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM profile_api_app"},
			[]string{"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO profile_api_app"}, nil,
			[]doctor.Finding{{"database_role", "fail", ": river_job_id_seq", "deploy/database/roles.sql"}}},
		{"no room for the pool", []string{"ALTER ROLE profile_api_a CONNECTION LIMIT 20"}, []string{"ALTER ROLE profile_api_a CONNECTION LIMIT -1"}, nil,
			[]doctor.Finding{{"database_connections", "fail", "0 replicas", "DB_MAX_OPEN_CONNS"}}},
		{"room for one replica", []string{"ALTER ROLE profile_api_a CONNECTION LIMIT 30"}, []string{"ALTER ROLE profile_api_a CONNECTION LIMIT -1"}, nil,
			[]doctor.Finding{{"database_connections", "warn", "1 replicas", "rollout"}}},
		{"read-only", []string{"ALTER ROLE profile_api_a SET default_transaction_read_only = on"}, []string{"ALTER ROLE profile_api_a RESET default_transaction_read_only"}, nil,
			[]doctor.Finding{{"database_writable", "fail", "standby", "docs/runbooks/failover.md"}}},
		{"timeouts that PgBouncer keeps off", nil, nil, w.with("DATABASE_URL", w.settings["DATABASE_URL"]+"&default_query_exec_mode=cache_describe"),
			[]doctor.Finding{{"database_timeouts", "fail", "statement_timeout, lock_timeout, idle_in_transaction_session_timeout", "ALTER ROLE … SET statement_timeout = '30000ms'"}}},
		{"a timeout of the role's that differs", []string{"ALTER ROLE profile_api_a SET statement_timeout = '31s'", "ALTER ROLE profile_api_a SET lock_timeout = '10s'",
			"ALTER ROLE profile_api_a SET idle_in_transaction_session_timeout = '60s'"}, []string{"ALTER ROLE profile_api_a RESET ALL"},
			w.with("DATABASE_URL", w.settings["DATABASE_URL"]+"&default_query_exec_mode=cache_describe"),
			[]doctor.Finding{{"database_timeouts", "warn", "statement_timeout is 31s and DB_STATEMENT_TIMEOUT says 30s", "ALTER ROLE"}}},
		{"a dead delivery", []string{`INSERT INTO webhook_deliveries (id, type, state, received_at, updated_at) VALUES ('msg_1', 'user.updated', 'dead', now(), now())`},
			[]string{"DELETE FROM webhook_deliveries"}, nil, []doctor.Finding{{"dead_deliveries", "warn", "1 of Clerk's webhooks", "profile-api webhooks replay --dead"}}},
		{"a discarded job", []string{`INSERT INTO river_job (kind, state, max_attempts, attempt, finalized_at, args) VALUES
			('clerk_deletion', 'discarded', 1, 1, now(), '{"id":"01980000-0000-7000-8000-000000000001"}'), ('webhook_delivery', 'discarded', 1, 1, now(), '{"id":"applied"}')`,
			"INSERT INTO clerk_deletions VALUES ('01980000-0000-7000-8000-000000000001', 'x', now())"},
			[]string{"DELETE FROM clerk_deletions"}, nil, []doctor.Finding{{"discarded_jobs", "warn", "1 clerk_deletion", "docs/runbooks/dead-jobs.md"}}},
		{"discarded jobs whose work is done", nil, []string{"DELETE FROM river_job"}, nil, nil},
		{"an old event", []string{`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
			VALUES (gen_random_uuid(), 'stream', gen_random_uuid(), 'profile.created', now() - interval '1 hour', '{}', now())`},
			[]string{"DELETE FROM event_outbox"}, nil, []doctor.Finding{{"outbox", "warn", "stream has waited 1h0m", "docs/runbooks/outbox-age.md"}}},
		{"a young event", []string{`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
			VALUES (gen_random_uuid(), 'stream', gen_random_uuid(), 'profile.created', now() - interval '1 minute', '{}', now())`},
			[]string{"DELETE FROM event_outbox"}, nil, nil},
	} {
		w.execute(t, c.make...)
		env := c.env
		if env == nil {
			env = w.settings
		}
		diagnose(t, env, &w.ours).want(t, c.what, c.wants...)
		w.execute(t, c.repair...)
	}
	w.execute(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	diagnose(t, w.settings, &w.ours).want(t, "a newer release's schema", doctor.Finding{"migrations", "pass", "newer than this program by 1 migrations, as after a rollback", ""})
	w.execute(t, "DELETE FROM goose_db_version WHERE version_id = 99999")
	w.migrateDown(t)
	diagnose(t, w.settings, &w.ours).want(t, "a pending migration", doctor.Finding{"migrations", "fail", "older than this program", "profile-api migrate up"})
}

// databaseChecks are those that say nothing when the database cannot be asked, which is one failure.
func databaseChecks(why string) []doctor.Finding {
	list := []doctor.Finding{{"database", "fail", "the database cannot be asked: " + why, ""}}
	for _, check := range []string{"migrations", "discarded_jobs", "dead_deliveries", "outbox"} {
		list = append(list, doctor.Finding{check, "warn", "it could not be looked at: the database does not answer", "see the line database"})
	}
	for _, check := range []string{"version", "writable", "tls", "timeouts", "connections", "role"} {
		list = append(list, doctor.Finding{"database_" + check, "warn", "not looked at, because of database", ""})
	}
	return append(list, doctor.Finding{"audit_trail", "warn", "not looked at", ""}, doctor.Finding{"clock_database", "warn", "not looked at", ""})
}

// What is away, refuses or is wrong elsewhere.
func TestDoctorOnTheOthers(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	refused := databaseChecks("it answered with SQLSTATE 28P01")
	refused[0].Remedy = "docs/runbooks/rotate-database-credentials.md"
	away := databaseChecks("the connection was refused")
	gone := w.with("DATABASE_URL", "postgres://u:hunter3@"+freeAddr(t)+"/x?sslmode=disable")
	keysFail := func(message, remedy string) []doctor.Finding {
		return []doctor.Finding{{"clerk_key_set", "fail", message, remedy}, {"clerk_secret_key", "fail", "", remedy}, {"clerk_issuer", "warn", "not compared", "CLERK_ISSUER"}}
	}
	notCounted := func(why string) []doctor.Finding {
		return []doctor.Finding{
			{"valkey", "fail", "each replica counts alone: " + why, "docs/runbooks/valkey-loss.md"},
			{"valkey_version", "warn", "not looked at", ""}, {"valkey_eviction", "warn", "not looked at", ""},
		}
	}
	valkey := func(args ...any) func() { return func() { w.valkey(t, "", args...) } }
	for _, c := range []struct {
		what         string
		make, repair func()
		env          settings
		wants        []doctor.Finding
	}{
		{"a wrong password", nil, nil, w.with("DATABASE_URL", as(t, w.server, "profile_api_a", "hunter7")), refused},
		{"no database", nil, nil, gone, away},
		{"no Valkey", nil, nil, w.with("VALKEY_URL", "redis://:hunter4@"+freeAddr(t)), notCounted("the connection was refused")},
		{"Valkey wants a password", valkey("CONFIG", "SET", "requirepass", "hunter5"), nil, nil, notCounted("it answered with the error NOAUTH")},
		{"Valkey takes it", nil, func() { w.valkey(t, "hunter5", "CONFIG", "SET", "requirepass", "") },
			w.with("VALKEY_URL", strings.Replace(w.cache.URL(), "redis://", "valkey://:hunter5@", 1)), nil},
		{"a full Valkey drops the stream", func() {
			w.valkey(t, "", "CONFIG", "SET", "maxmemory", "100mb")
			w.valkey(t, "", "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		}, nil, nil, []doctor.Finding{{"valkey_eviction", "warn", "allkeys-lru: a full memory would drop the stream", "volatile-ttl"}}},
		{"a fit policy", valkey("CONFIG", "SET", "maxmemory-policy", "volatile-ttl"), nil, nil, nil},
		{"Valkey does not tell", valkey("ACL", "SETUSER", "default", "-info"), valkey("ACL", "SETUSER", "default", "+info"), nil,
			[]doctor.Finding{{"valkey_version", "warn", "does not tell", "+info"}, {"valkey_eviction", "warn", "does not tell", "+info"}}},
		{"Valkey takes no scripts", valkey("ACL", "SETUSER", "default", "-eval", "-evalsha"), valkey("ACL", "SETUSER", "default", "+eval", "+evalsha"), nil, notCounted("it answered with the error NOPERM")},

		{"a key that Clerk refuses", func() { w.clerk.SetSecretKeys("sk_live_another") }, func() { w.clerk.SetSecretKeys(clerkKey) }, nil,
			keysFail("Clerk refuses the key set", "docs/runbooks/rotate-clerk-keys.md")},
		{"Clerk fails", func() { w.clerk.Break(clerkstandin.Fault{Status: 500}) }, w.clerk.Heal, nil, keysFail("status 500", "docs/runbooks/clerk-outage.md")},
		{"an empty key set", func() { w.clerk.Break(clerkstandin.Fault{Body: []byte(`{"keys":[]}`)}) }, w.clerk.Heal, nil,
			[]doctor.Finding{{"clerk_key_set", "fail", "no RSA key for RS256", "CLERK_API_URL"}, {"clerk_issuer", "warn", "not compared", "dashboard"}}},
		{"another instance's publishable key", nil, nil, w.with("CLERK_PUBLISHABLE_KEY", clerkstandin.LivePublishableKey("clerk.elsewhere.test")),
			[]doctor.Finding{{"clerk_issuer", "fail", "every token would be refused", "CLERK_PUBLISHABLE_KEY"}}},
		{"Clerk's clock is fast", func() { w.clerkClock.set(10 * time.Second) }, nil, nil, []doctor.Finding{{"clock_clerk", "fail", "ahead of this machine's", "NTP"}}},
		{"Clerk's clock is slow", func() { w.clerkClock.set(-10 * time.Second) }, func() { w.clerkClock.set(0) }, nil,
			[]doctor.Finding{{"clock_clerk", "fail", "behind this machine's", "NTP"}}},

		{"our clock is fast", func() { w.ours.set(10 * time.Second) }, nil, nil,
			[]doctor.Finding{{"clock_clerk", "fail", "behind this machine's", "NTP"}, {"clock_database", "fail", "behind this machine's", "chronyc"}}},
		{"our clock is a little slow", func() { w.ours.set(-3500 * time.Millisecond) }, func() { w.ours.set(0) }, nil,
			[]doctor.Finding{{"clock_clerk", "warn", "ahead of this machine's", "NTP"}, {"clock_database", "warn", "ahead of this machine's", "chronyc"}}},

		{"a full disk", nil, nil, w.with("DISK_MIN_FREE_PERCENT", "100"), []doctor.Finding{{"disk", "fail", "unhealthy", "docs/runbooks/disk-space-low.md"}}},
		{"what is not set", nil, nil, w.with("SENTRY_DSN", "disabled", "CLERK_WEBHOOK_SECRET", "", "CORS_ALLOWED_ORIGINS", "", "TRUSTED_PROXIES", "", "ALLOWED_HOSTS", ".com"), []doctor.Finding{
			{"sentry", "warn", "off", "SENTRY_DSN"}, {"webhook_secret", "warn", "reconciliation alone", "CLERK_WEBHOOK_SECRET"}, {"cors_origins", "warn", "empty", ""},
			{"trusted_proxies", "warn", "empty", "load balancer"}, {"allowed_hosts", "warn", "almost any host", ""}}},
		{"wide lists outside of production", nil, nil, w.with("ENVIRONMENT", "staging", "CORS_ALLOWED_ORIGINS", "*", "ALLOWED_HOSTS", "*", "TRUSTED_PROXIES", "0.0.0.0/0",
			"EVENTS_WEBHOOK_URLS", "http://events.doctor.test/hunter2"), []doctor.Finding{
			{"cors_origins", "warn", "anybody's", ""}, {"allowed_hosts", "warn", "any host", ""}, {"trusted_proxies", "warn", "forge", ""}, {"events", "warn", "1 of 1", "certificate"}}},
		{"a collector of traces nearby", nil, nil, w.with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter12"), nil},
		{"a collector elsewhere, by https", nil, nil, w.with("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.doctor.test", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter12"), nil},
		{"a collector elsewhere that asks no key", nil, nil, w.with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel.doctor.test"), nil},
		{"credentials in the clear, but tracing is off", nil, nil, w.with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel.doctor.test", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter12",
			"OTEL_SDK_DISABLED", "true"), nil},
		{"a collector's credentials in the clear", nil, nil, w.with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel.doctor.test/v1/traces", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter12"),
			[]doctor.Finding{{"traces", "warn", "travel in the clear", "https"}}},
		{"a collector at fault", nil, nil, w.with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel.doctor.test?key=hunter13", "OTEL_RESOURCE_ATTRIBUTES", "apikey=hunter14,x"), []doctor.Finding{
			{"settings", "fail", "OTEL_EXPORTER_OTLP_ENDPOINT must", ""}, {"settings", "fail", "OTEL_RESOURCE_ATTRIBUTES must", ""},
			{"traces", "warn", "not looked at: OTEL_EXPORTER_OTLP_ENDPOINT is at fault", "repair"}}},
		{"faults in the settings", nil, nil, w.with("CLERK_API_URL", "http://elsewhere.test/v1", "DATABASE_URL", "hunter6", "REQUEST_TIMEOUT", "soon"), append([]doctor.Finding{
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
		diagnose(t, env, &w.ours).want(t, c.what, c.wants...)
		if c.repair != nil {
			c.repair()
		}
	}
	diagnose(t, w.settings, &w.ours).want(t, "all repaired")
}

// With everything hanging it still ends, names what hangs and says the rest.
func TestDoctorWhenEverythingHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nothing ever comes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	silent := l.Addr().String()
	var d diagnosis
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d = diagnose(t, sound("postgres://u:hunter1@"+silent+"/x", "redis://:hunter2@"+silent, "http://"+silent+"/v1"), &shiftedClock{})
	}()
	select {
	case <-ended:
	case <-time.After(3 * 8 * time.Second): // thrice what is promised, for a busy machine
		t.Fatal("it does not end in time")
	}
	wants := append(databaseChecks("there was no answer in time"),
		doctor.Finding{"valkey", "fail", "there was no answer in time", ""}, doctor.Finding{"valkey_version", "warn", "", ""}, doctor.Finding{"valkey_eviction", "warn", "", ""},
		doctor.Finding{"clerk_key_set", "fail", "there was no answer in time", ""}, doctor.Finding{"clerk_secret_key", "fail", "there was no answer in time", ""},
		doctor.Finding{"clock_clerk", "warn", "not looked at", ""}, doctor.Finding{"clerk_issuer", "warn", "there was no answer in time", ""})
	d.want(t, "everything hangs", wants...)
}
