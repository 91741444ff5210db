// Package bench compares what a request costs: bare Echo, Echo with token
// verification, and the whole chain, in one run.
package bench

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/delivery/rest"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/internal/teststores"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/disk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/repository/valkey"
	"github.com/profile-api/profile-api/usecase"
)

func TestMain(m *testing.M) { testservers.Main(m) }

type clock struct{}

func (clock) Now() time.Time { return time.Now() }

// onPath marks the context of a request, so that what it causes is counted, in
// the background too, and probes are not.
type onPath struct{}

// trips counts statements and Valkey round trips that requests cause.
type trips struct{ statements, roundTrips atomic.Int64 }

// TraceQueryStart sees each statement.
func (t *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if ctx.Value(onPath{}) != nil {
		t.statements.Add(1)
	}
	return ctx
}

// TraceQueryEnd completes the tracer.
func (*trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// DialHook completes the hook.
func (*trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook sees each command.
func (t *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if ctx.Value(onPath{}) != nil {
			t.roundTrips.Add(1)
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook sees each pipeline, which is one round trip.
func (t *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if ctx.Value(onPath{}) != nil {
			t.roundTrips.Add(1)
		}
		return next(ctx, cmds)
	}
}

// chain is the production chain on real servers, and a token for it.
type chain struct {
	handler http.Handler
	gate    *clerk.Gate
	clerk   *clerkstandin.Server
	token   string
	trips   *trips
}

func newChain(tb testing.TB) *chain {
	tb.Helper()
	c := &chain{trips: &trips{}}
	log := slog.New(slog.DiscardHandler)
	db := openMigrated(tb, c.trips, log)

	cache, err := valkey.NewClient(testservers.Valkey(tb), valkey.ClientOptions{})
	must(tb, err)
	tb.Cleanup(func() { must(tb, cache.Close()) })
	cache.AddHook(c.trips)
	generous := domain.Rate{Quota: 10_000_000, Period: time.Minute}
	limiter, err := valkey.NewLimiter(cache, valkey.LimiterOptions{User: generous, IP: generous, Global: generous, Clock: clock{}, Logger: log})
	must(tb, err)

	c.clerk, err = clerkstandin.New(clerkstandin.Options{})
	must(tb, err)
	c.token, err = c.clerk.Token("grace")
	must(tb, err)
	keys, err := clerk.NewKeySet(clerk.KeySetOptions{PEM: c.clerk.PublicKeyPEM(), Clock: clock{}, Logger: log})
	must(tb, err)
	c.gate, err = clerk.NewGate(keys, clerk.GateOptions{
		Issuer: c.clerk.Issuer(), AuthorizedParties: []string{c.clerk.AuthorizedParty()}, Clock: clock{},
	})
	must(tb, err)

	hashes := domain.NewPseudonymizer("the benchmark's own key, which guards nothing at all")
	migrator, err := db.Migrator()
	must(tb, err)
	tb.Cleanup(func() { must(tb, migrator.Close()) })
	c.handler = rest.New(rest.Deps{
		Profiles:    usecase.NewProfiles(teststores.Over(db, clock{}, hashes, domain.Cursors{})),
		Idempotency: usecase.NewIdempotency(usecase.IdempotencyDeps{Tx: db, Store: postgres.NewIdempotency(db), Clock: clock{}, Hashes: hashes}),
		Health: usecase.NewHealth(usecase.HealthDeps{
			Database: db, Cache: limiter, Migrations: migrator, Disk: disk.Meter{Path: "/"}, Clock: clock{}, Log: log,
		}),
		Verifier: c.gate, Limiter: limiter, Clock: clock{}, Hashes: hashes, Metrics: middleware.NewMetrics(prometheus.NewRegistry()), Log: log,
		RequireHTTPS: true, AllowedHosts: []string{"example.com"}, CORSAllowedOrigins: []string{"https://app.example.com"},
		MaxBodyBytes: 65536, RequestTimeout: 30 * time.Second, AdminRequestTimeout: 2 * time.Minute, RateLimitAdminBypass: true,
	})
	for range 5 { // create the profile, load the limiter's scripts, take the first lease
		if status := serve(c.handler, c.request()); status != http.StatusOK {
			tb.Fatalf("the first request is answered %d", status)
		}
	}
	return c
}

func openMigrated(tb testing.TB, tracer pgx.QueryTracer, log *slog.Logger) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), postgres.Options{URL: testschema.Database(tb), Logger: log, Tracer: tracer})
	must(tb, err)
	tb.Cleanup(func() { must(tb, db.Close()) })
	return db
}

func (c *chain) request() *http.Request {
	r := httptest.NewRequestWithContext(context.WithValue(context.Background(), onPath{}, true), http.MethodGet, "/v1/profiles/me", http.NoBody)
	r.Header.Set(echo.HeaderAuthorization, "Bearer "+c.token)
	return r
}

func serve(h http.Handler, r *http.Request) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
