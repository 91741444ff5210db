package rest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
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
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

func TestMain(m *testing.M) { testservers.Main(m, wholeDocumentSeen) }

// liveness is how long a test waits for what must happen; no statement about speed.
const liveness = time.Minute

// fakeClock stands still until it is told to move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logBuffer holds JSON log lines of concurrent writers.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

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
	clock    *fakeClock
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
		clock: &fakeClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, log: &logBuffer{},
		limiter: &scriptedLimiter{}, registry: prometheus.NewRegistry(), sqlSeen: &statementLog{},
	}
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.url = testservers.DatabaseFromTemplate(t, "rest", migrate)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: w.url, MaxOpen: 8, AcquireTimeout: liveness, Tracer: w.sqlSeen})
	must(t, err)
	w.db = db
	t.Cleanup(func() { must(t, db.Close()) })

	stores := storesOver(db, w.clock)
	w.deps = Deps{
		Profiles: usecase.NewProfiles(stores), Preferences: usecase.NewPreferences(stores), Activity: usecase.NewActivity(stores),
		Export: usecase.NewExport(stores), Admin: usecase.NewAdmin(stores), Erasure: w.erasure(t, stores), Health: healthOver(db, w.clock, log),
		Idempotency: usecase.NewIdempotency(usecase.IdempotencyDeps{Tx: db, Store: postgres.NewIdempotency(db), Clock: w.clock, Hashes: testHashes}),
		Verifier:    w.gate(t, log), Limiter: w.limiter, Clock: w.clock, Hashes: testHashes,
		Metrics: middleware.NewMetrics(w.registry), Log: log,
		MaxBodyBytes: 65536, RequestTimeout: liveness, AdminRequestTimeout: 2 * liveness, RateLimitAdminBypass: true,
		DocsEnabled: true, SecurityContact: "mailto:security@example.com",
	}
	for _, c := range change {
		c(&w.deps)
	}
	w.api = New(w.deps)
	return w
}

func storesOver(db *postgres.DB, clock usecase.Clock) usecase.ProfilesDeps {
	return usecase.ProfilesDeps{
		Tx: db, Profiles: postgres.NewProfiles(db), Finder: postgres.NewProfiles(db), Eraser: postgres.NewProfiles(db),
		Preferences: postgres.NewPreferences(db), Audit: postgres.NewAuditLog(db), Reservations: postgres.NewHandleReservations(db),
		Identities: postgres.NewIdentities(db), Responses: postgres.NewIdempotency(db), Clock: clock, Hashes: testHashes, Cursors: domain.NewCursors(testSealer),
	}
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

func migrate(ctx context.Context, url string) error {
	db, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	m, err := db.Migrator()
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	_, err = m.Up(ctx)
	return err
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

// with changes a request before it is sent.
type with func(*http.Request)

func header(name string, values ...string) with {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}
func bearer(token string) with    { return header("Authorization", "Bearer "+token) }
func (p person) is() with         { return bearer(p.token) }
func peerAddr(addr string) with   { return func(r *http.Request) { r.RemoteAddr = addr } }
func hostName(host string) with   { return func(r *http.Request) { r.Host = host } }
func mediaType(value string) with { return header("Content-Type", value) }

// reply is a recorded answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends one request through the whole chain. What holds for every answer is
// checked for every answer.
func (w *world) do(t *testing.T, method, path string, body any, changes ...with) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, reader(body))
	r.RemoteAddr = "192.0.2.1:1234"
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for _, c := range changes {
		c(r)
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	got := reply{rec.Code, rec.Result().Header, rec.Body.String()}
	got.checkAlways(t, method, r.URL.EscapedPath())
	theDocument().check(t, r, body, got)
	return got
}

func reader(body any) io.Reader {
	switch b := body.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(b)
	case io.Reader:
		return b
	}
	panic("a body is a string or a reader")
}

var alwaysThere = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
	"Cross-Origin-Resource-Policy": "cross-origin",
}

func (r reply) checkAlways(t *testing.T, method, path string) {
	t.Helper()
	for name, value := range alwaysThere {
		if path == "/docs" && r.status < 400 && name == "Content-Security-Policy" {
			continue // its own test has it
		}
		if got := r.header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s %s %d: %s is %q", method, path, r.status, name, got)
		}
	}
	if id := r.header.Values("X-Request-Id"); len(id) != 1 || id[0] == "" {
		t.Errorf("%s %s %d: X-Request-ID is %q", method, path, r.status, id)
	}
	if r.header.Get("Cache-Control") == "" {
		t.Errorf("%s %s %d: no Cache-Control", method, path, r.status)
	}
	if r.header.Get("Server") != "" || r.header.Get("X-Powered-By") != "" {
		t.Errorf("%s %s %d: tells what it runs on", method, path, r.status)
	}
	if r.status >= 400 && !strings.HasPrefix(path, "/health") && r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s %d: Content-Type is %q", method, path, r.status, r.header.Get("Content-Type"))
	}
}

// object decodes a JSON object.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%d with body %q: %v", r.status, r.body, err)
	}
	return m
}

// want fails unless the answer has the status.
func (r reply) want(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d; body %s", r.status, status, r.body)
	}
	return r
}

// problem fails unless the answer is this problem, whole and nothing else.
func (r reply) problem(t *testing.T, status int, code domain.Code) reply {
	t.Helper()
	m := r.want(t, status).object(t)
	wanted := map[string]any{
		"type": "/problems/" + string(code), "code": string(code), "status": float64(status),
		"request_id": r.header.Get("X-Request-Id"), "title": catalogue[code].Title,
	}
	for name, value := range wanted {
		if m[name] != value {
			t.Errorf("%s is %v, want %v", name, m[name], value)
		}
	}
	if detail, _ := m["detail"].(string); detail == "" {
		t.Error("no detail")
	}
	if path, _ := m["instance"].(string); !strings.HasPrefix(path, "/") {
		t.Errorf("instance is %v", m["instance"])
	}
	names := []string{"code", "detail", "instance", "request_id", "status", "title", "type"}
	if status == http.StatusUnprocessableEntity {
		names = append(names, "errors")
	}
	wantNames(t, m, names...)
	for _, name := range []string{"ETag", "Strict-Transport-Security"} {
		if name == "ETag" && r.header.Get(name) != "" {
			t.Errorf("a problem has %s", name)
		}
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a problem has Cache-Control %q", r.header.Get("Cache-Control"))
	}
	return r
}

// faults lists the errors of a 422 as "pointer code".
func (r reply) faults(t *testing.T) []string {
	t.Helper()
	r.problem(t, http.StatusUnprocessableEntity, domain.CodeValidationFailed)
	var p Problem
	must(t, json.Unmarshal([]byte(r.body), &p))
	var list []string
	for _, f := range p.Errors {
		if f.Detail == "" {
			t.Errorf("%s has no detail", f.Pointer)
		}
		list = append(list, f.Pointer+" "+f.Code)
	}
	return list
}

func wantNames(t *testing.T, m map[string]any, names ...string) {
	t.Helper()
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(m)); !slices.Equal(got, names) {
		t.Errorf("members %q, want %q", got, names)
	}
}

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
