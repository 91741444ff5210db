package rest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/internal/teststores"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

func TestMain(m *testing.M) { testservers.Main(m, wholeDocumentSeen) }

// liveness is how long a test waits for what must happen; no statement about speed.
const liveness = time.Minute

// logBuffer holds JSON log lines of concurrent writers.
type logBuffer struct{ testlog.Buffer }

// lines gives the entries with the message.
func (l *logBuffer) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(l.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if entry["msg"] == msg {
			list = append(list, entry)
		}
	}
	return list
}

// countedCall is one question to the limiter.
type countedCall struct {
	policy domain.RatePolicy
	key    string
}

// scriptedLimiter lets everything through until it is told otherwise.
type scriptedLimiter struct {
	mu     sync.Mutex
	calls  []countedCall
	answer func(domain.RatePolicy) domain.RateDecision
}

func (l *scriptedLimiter) Allow(_ context.Context, policy domain.RatePolicy, key string) domain.RateDecision {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, countedCall{policy, key})
	if l.answer != nil {
		return l.answer(policy)
	}
	return domain.RateDecision{
		Allowed: true, Policy: policy, Rate: domain.Rate{Quota: 100, Period: time.Minute}, Remaining: 99, ResetAfter: 600 * time.Millisecond,
	}
}

func (l *scriptedLimiter) script(answer func(domain.RatePolicy) domain.RateDecision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// taken gives the calls since the last time it was asked.
func (l *scriptedLimiter) taken() []countedCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls
	l.calls = nil
	return calls
}

func refuse(policy domain.RatePolicy) domain.RateDecision {
	return domain.RateDecision{
		Policy: policy, Rate: domain.Rate{Quota: 100, Period: time.Minute}, ResetAfter: time.Minute, RetryAfter: 600 * time.Millisecond,
	}
}

type okProbe struct{}

func (okProbe) Check(context.Context) error { return nil }

type fullDisk struct{}

func (fullDisk) FreePercent() (float64, error) { return 50, nil }

type noMigrations struct{}

func (noMigrations) Pending(context.Context) (bool, error) { return false, nil }

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := clerkstandin.GenerateKey()
	if err != nil {
		panic(err)
	}
	return key
})

var (
	testHashes = domain.NewPseudonymizer("key-of-the-rest-tests")
	testSealer = domain.NewSealer("key-of-the-rest-tests")
)

// world is the whole chain over a real database and a real gate.
type world struct {
	deps     Deps
	api      *echo.Echo
	clock    *storetest.Clock
	log      *logBuffer
	limiter  *scriptedLimiter
	registry *prometheus.Registry
	clerk    *clerkstandin.Server
	db       *postgres.DB
	sqlSeen  *statementLog
	url      string
}

// statementLog notes every statement that the service sends.
type statementLog struct {
	mu   sync.Mutex
	list []string
}

func (l *statementLog) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !strings.HasPrefix(data.SQL, "-- ping") { // of a connection that was idle
		l.list = append(l.list, data.SQL)
	}
	return ctx
}

func (l *statementLog) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// taken gives the statements since the last time it was asked.
func (l *statementLog) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// newWorld builds it; change alters what the edge is given before it is built.
func newWorld(t *testing.T, change ...func(*Deps)) *world {
	t.Helper()
	w := &world{
		clock: storetest.NewClock(), log: &logBuffer{},
		limiter: &scriptedLimiter{}, registry: prometheus.NewRegistry(), sqlSeen: &statementLog{},
	}
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.url = testschema.Database(t)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: w.url, MaxOpen: 8, AcquireTimeout: liveness, Tracer: w.sqlSeen})
	must(t, err)
	w.db = db
	t.Cleanup(func() { must(t, db.Close()) })

	stores := storesOver(db, w.clock)
	w.deps = Deps{
		Profiles: usecase.NewProfiles(stores), Preferences: usecase.NewPreferences(stores), Activity: usecase.NewActivity(stores),
		Export: usecase.NewExport(stores, testSealer), Admin: usecase.NewAdmin(stores), Erasure: w.erasure(t, stores), Health: healthOver(db, w.clock, log),
		Idempotency: usecase.NewIdempotency(usecase.IdempotencyDeps{Tx: db, Store: postgres.NewIdempotency(db), Clock: w.clock, Hashes: testHashes}),
		Verifier:    w.gate(t, log), Limiter: w.limiter, Clock: w.clock, Hashes: testHashes,
		Metrics: middleware.NewMetrics(w.registry), Log: log,
		MaxBodyBytes: 65536, RequestTimeout: liveness, AdminRequestTimeout: 2 * liveness, RateLimitAdminBypass: true,
		DocsEnabled: true, SecurityContact: "mailto:security@example.com",
	}
	w.deps.Inbox, w.deps.WebhookSecrets = w.inbox(t, stores, log), webhookSecrets()
	for _, c := range change {
		c(&w.deps)
	}
	w.api = New(w.deps)
	return w
}

func storesOver(db *postgres.DB, clock usecase.Clock) usecase.ProfilesDeps {
	return teststores.Over(db, clock, testHashes, domain.NewCursors(testSealer))
}

// erasure asks the stand-in for Clerk only when a job is run; see erasure_test.go.
func (w *world) erasure(t *testing.T, stores usecase.ProfilesDeps) *usecase.Erasure {
	t.Helper()
	queue, err := postgres.NewJobQueue(w.db)
	must(t, err)
	return usecase.NewErasure(usecase.ErasureDeps{ProfilesDeps: stores, Clerk: usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: w.db, Deletions: postgres.NewClerkDeletions(w.db), Queue: queue, Users: noClerk{}, Sealer: testSealer, Clock: w.clock,
	})})
}

// noClerk answers nothing: in these tests no job is run.
type noClerk struct{}

func (noClerk) DeleteUser(context.Context, string) error { return domain.UnavailableError(nil, 0) }

func healthOver(db *postgres.DB, clock usecase.Clock, log *slog.Logger) *usecase.Health {
	return usecase.NewHealth(usecase.HealthDeps{
		Database: db, Cache: okProbe{}, Migrations: noMigrations{}, Disk: fullDisk{}, DiskMinPercent: 10, Clock: clock, Log: log,
	})
}

func (w *world) gate(t *testing.T, log *slog.Logger) *clerk.Gate {
	t.Helper()
	standin, err := clerkstandin.New(clerkstandin.Options{Key: signingKey(), Clock: w.clock})
	must(t, err)
	w.clerk = standin
	server := httptest.NewServer(standin)
	t.Cleanup(server.Close)
	keys, err := clerk.NewKeySet(clerk.KeySetOptions{APIURL: server.URL + "/v1", SecretKey: standin.SecretKey(), Clock: w.clock, Logger: log})
	must(t, err)
	gate, err := clerk.NewGate(keys, clerk.GateOptions{
		Issuer: standin.Issuer(), AuthorizedParties: []string{standin.AuthorizedParty()}, Clock: w.clock,
	})
	must(t, err)
	return gate
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sql runs one statement beside the service.
func (w *world) sql(t *testing.T, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), statement, args...)
	must(t, err)
}

// count asks for one number beside the service.
func (w *world) count(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	must(t, conn.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

// person is somebody with a token of their own.
type person struct{ id, token string }

func (w *world) person(opts ...clerkstandin.MintOption) person {
	id := "user_" + rand.Text()
	return person{id, w.clerk.Mint(append([]clerkstandin.MintOption{clerkstandin.WithUser(id)}, opts...)...)}
}

var adminRole = clerkstandin.WithRole(domain.RoleAdmin)

// withUser makes it a token of somebody who is there already.
func withUser(id string) clerkstandin.MintOption { return clerkstandin.WithUser(id) }

func lifetime(d time.Duration) clerkstandin.MintOption { return clerkstandin.WithLifetime(d) }

// me is the person's own profile, created if need be.
func (w *world) me(t *testing.T, p person) map[string]any {
	t.Helper()
	return w.do(t, "GET", "/v1/profiles/me", nil, p.is()).want(t, 200).object(t)
}

// patch sends a merge patch for the person.
func (w *world) patch(t *testing.T, p person, body any, changes ...with) reply {
	t.Helper()
	return w.do(t, "PATCH", "/v1/profiles/me", body, append([]with{p.is()}, changes...)...)
}

// newHandle makes a handle nobody else has.
func newHandle() string { return "h_" + strings.ToLower(rand.Text()[:16]) }

// metric sums the samples of a family whose labels include these.
func (w *world) metric(t *testing.T, name string, labels map[string]string) (sum float64) {
	t.Helper()
	families, err := w.registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			matches := true
			for k, v := range labels {
				matches = matches && has[k] == v
			}
			if matches {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
