package doctor_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/cmd/internal/doctor"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/deploy/database"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/internal/valkeylauncher"
	"github.com/profile-api/profile-api/repository/postgres"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const (
	clerkHost = "clerk.doctor.test"
	clerkKey  = "sk_live_c3RhbmQtaW4tZm9yLXRlc3RzLW9mLXRoZS1kb2N0b3I"
	frontEnd  = "https://app.doctor.test"
)

// settings are the whole environment.
type settings map[string]string

// with returns a copy with more variables; an empty value takes one away.
func (s settings) with(pairs ...string) settings {
	c := maps.Clone(s)
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
	}
	return c
}

// sound is set as an operator should; hunter, a digit and a dot mark what must never be shown.
func sound(database, valkey, clerkAPI string) settings {
	return settings{
		"ENVIRONMENT": "production", "SECRET_KEY": "hunter0.kV9#mQ2xT7!pL4wZ8@rN6yB3cF5hJ1dS0gA-uE+oI=vXq%tYzW&nM",
		"CLERK_SECRET_KEY": clerkKey, "CLERK_PUBLISHABLE_KEY": clerkstandin.LivePublishableKey(clerkHost),
		"CLERK_AUTHORIZED_PARTIES": frontEnd, "CLERK_API_URL": clerkAPI, "CLERK_WEBHOOK_SECRET": "whsec_aHVudGVyMTEtaHVudGVyMTEtaHVudGVyMTE=",
		"DATABASE_URL": database, "VALKEY_URL": valkey, "ALLOWED_HOSTS": "api.doctor.test", "DISK_MIN_FREE_PERCENT": "0",
		"CORS_ALLOWED_ORIGINS": frontEnd, "TRUSTED_PROXIES": "10.0.0.0/8", "SENTRY_DSN": "https://hunter1@sentry.doctor.test/7",
		"EVENTS_WEBHOOK_URLS": "https://events.doctor.test/hunter2", "EVENTS_WEBHOOK_SECRET": "whsec_aHVudGVyMTAtaHVudGVyMTAtaHVudGVyMTA=",
		"EVENTS_STREAM": "profile-events",
	}
}

// shiftedClock may be wrong.
type shiftedClock struct{ by atomic.Int64 }

func (c *shiftedClock) Now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

func (c *shiftedClock) set(by time.Duration) { c.by.Store(int64(by)) }

// diagnosis is what the doctor said.
type diagnosis []doctor.Finding

func diagnose(t *testing.T, env settings, clock doctor.Clock) diagnosis {
	t.Helper()
	var environ []string
	for name, value := range env {
		if value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	s, faults := config.Examine(config.Options{Environ: environ})
	found := doctor.Examine(t.Context(), s, faults, clock)
	var shown strings.Builder
	if err := errors.Join(doctor.WriteTable(&shown, found), doctor.WriteJSON(&shown, found)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter", clerkKey, "aHVudGVy", "profile_api_a@", ".doctor.test"} {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%s is shown:\n%s", secret, shown.String())
		}
	}
	for _, f := range found {
		if (f.Status == doctor.Pass) != (f.Remedy == "") {
			t.Errorf("%s is %s with the remedy %q", f.Check, f.Status, f.Remedy)
		}
	}
	return found
}

// want holds the checks that are not to pass, each with its status and a part of
// its message and remedy; all others must pass.
func (d diagnosis) want(t *testing.T, what string, others ...doctor.Finding) {
	t.Helper()
	for _, w := range others {
		if !slices.ContainsFunc(d, func(f doctor.Finding) bool {
			return f.Check == w.Check && f.Status == w.Status && strings.Contains(f.Message, w.Message) && strings.Contains(f.Remedy, w.Remedy)
		}) {
			t.Errorf("%s: there is no %+v", what, w)
		}
	}
	for _, f := range d {
		if f.Status != doctor.Pass && !slices.ContainsFunc(others, func(w doctor.Finding) bool { return w.Check == f.Check }) {
			t.Errorf("%s: %+v, want it to pass", what, f)
		}
	}
}

// ward is a sound deployment of one test's own, its roles as deploy/database makes them.
type ward struct {
	settings
	server           string // the database as its superuser
	cache            *valkeylauncher.Server
	clerk            *clerkstandin.Server
	ours, clerkClock shiftedClock
	conn             *pgx.Conn // of the superuser
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{server: testservers.OwnPostgres(t).URL("postgres"), cache: testservers.OwnValkey(t)}
	var err error
	w.clerk, err = clerkstandin.New(clerkstandin.Options{Host: clerkHost, SecretKey: clerkKey, AuthorizedParty: frontEnd, Clock: &w.clerkClock})
	if err != nil {
		t.Fatal(err)
	}
	running, err := w.clerk.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.Close(context.Background()) })
	if w.conn, err = pgx.Connect(t.Context(), w.server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.conn.Close(context.Background()) })
	w.execute(t, database.Roles, "ALTER ROLE profile_api_a LOGIN PASSWORD 'hunter8'",
		"CREATE ROLE keeper LOGIN PASSWORD 'hunter9'", "GRANT profile_api_app TO keeper", "GRANT postgres TO keeper")
	if err := testschema.Up(t.Context(), w.server); err != nil {
		t.Fatal(err)
	}
	w.settings = sound(as(t, w.server, "profile_api_a", "hunter8"), w.cache.URL(), running.APIURL())
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

// migrateDown goes back one step.
func (w *ward) migrateDown(t *testing.T) {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Options{URL: w.server})
	if err != nil {
		t.Fatal(err)
	}
	m, err := db.Migrator()
	if err != nil {
		t.Fatal(err)
	}
	_, ok, err := m.Down(t.Context())
	if err := errors.Join(err, m.Close(), db.Close()); err != nil || !ok {
		t.Fatalf("migrate down: %t, %v", ok, err)
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

func (w *ward) valkey(t *testing.T, password string, args ...any) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: w.cache.Addr(), Password: password})
	defer func() { _ = client.Close() }()
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
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
