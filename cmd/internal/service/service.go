// Package service is the composition root: the one place where the parts are
// wired together. The production program and the local stack both start it, so
// that what is tried at home is what runs.
package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/ops"
	"github.com/profile-api/profile-api/delivery/rest"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/disk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/repository/valkey"
	"github.com/profile-api/profile-api/usecase"
)

// systemClock is the only clock of the running program.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// Run serves until ctx ends, then drains and returns. It starts without a
// database, Valkey or Clerk and becomes ready when they come. The error is about
// settings or addresses that cannot be used, or a shutdown that took too long.
func Run(ctx context.Context, s *config.Settings, build Build, log *slog.Logger) error {
	registry := newRegistry()

	// Sentry: hears of faults from the log, so it comes before all that logs.
	faults, err := newFaults(ctx, s, build, log, registry)
	if err != nil {
		return err
	}
	defer faults.crashing(ctx)

	// Traces: one tracer for all that follows; nothing without an endpoint.
	traces, err := newTracing(ctx, s, build, faults.log, registry)
	if err != nil {
		return err
	}
	return run(ctx, s, faults, traces, registry)
}

// run wires everything else.
func run(ctx context.Context, s *config.Settings, faults *faults, traces tracing, registry *prometheus.Registry) error {
	clock, log, hashes := systemClock{}, faults.log, hashesOf(s)

	// PostgreSQL: profiles, preferences, audit.
	db, err := postgres.Open(ctx, tracedDatabase(s, log, traces.tracer))
	if err != nil {
		return err
	}
	defer closing(ctx, log, "database", db.Close)
	migrator, err := db.Migrator()
	if err != nil {
		return err
	}
	defer closing(ctx, log, "migrator", migrator.Close)

	// Valkey: the counts that replicas share.
	cache, limiter, err := openValkey(s, clock, log, traces.tracer)
	if err != nil {
		return err
	}
	defer closing(ctx, log, "valkey", cache.Close)

	// Clerk: who is who, and who signs its webhooks.
	secrets, err := domain.NewWebhookSecrets(reveal(s.ClerkWebhookSecret))
	if err != nil {
		return err
	}
	keys, gate, err := openClerk(s, clock, log, traces.tracer)
	if err != nil {
		return err
	}

	// Events for other services: where they go, and the outbox on their way.
	sinks, err := eventSinks(s, cache)
	if err != nil {
		return err
	}
	outbox := newOutbox(s, db)

	// Use cases.
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		return err
	}
	stores := newStores(s, db, queue)
	health := usecase.NewHealth(usecase.HealthDeps{
		Database: db, Cache: limiter, Migrations: migrator, Disk: disk.Meter{Path: s.DiskPath},
		DiskMinPercent: float64(s.DiskMinFreePercent), Clock: clock, Log: log,
	})

	// Background jobs.
	work, err := newJobs(ctx, s, log, db, queue, migrator, outbox, registry, stores, traces.tracer)
	if err != nil {
		return err
	}
	dispatch := newEvents(ctx, log, outbox, sinks, migrator, registry)

	// The edge.
	metrics := middleware.NewMetrics(registry, clerk.Outcomes()...)
	registry.MustRegister(poolCollector{db}, jobsCollector{db}, deliveriesCollector{db}, dependencyCollector{health, keys}, keyAge(keys),
		reconcileCollector{postgres.NewReconciliations(db)}, healthCollector{health}, waitingCollector{db})
	api := rest.New(rest.Deps{
		Profiles: usecase.NewProfiles(stores), Preferences: usecase.NewPreferences(stores), Activity: usecase.NewActivity(stores),
		Export: usecase.NewExport(stores, sealerOf(s)), Admin: usecase.NewAdmin(stores), Health: health,
		Erasure:     usecase.NewErasure(usecase.ErasureDeps{ProfilesDeps: stores, Clerk: work.clerkDeletion}),
		Idempotency: usecase.NewIdempotency(usecase.IdempotencyDeps{Tx: db, Store: postgres.NewIdempotency(db), Clock: clock, Hashes: hashes}),
		Inbox:       work.inbox, WebhookSecrets: secrets,
		Verifier: gate, Limiter: limiter, Clock: clock, Hashes: hashes, Metrics: metrics, Log: log, Tracer: traces.tracer,
		RequireHTTPS: s.Production(), AllowedHosts: s.AllowedHosts, CORSAllowedOrigins: s.CORSAllowedOrigins,
		TrustedProxies: s.TrustedProxies, MaxBodyBytes: s.MaxBodyBytes, RequestTimeout: s.RequestTimeout,
		AdminRequestTimeout: s.AdminRequestTimeout, RateLimitAdminBypass: s.RateLimitAdminBypass,
		DocsEnabled: s.DocsEnabled, SecurityContact: s.SecurityContact,
	})

	background := newGroup(ctx, faults)
	defer background.stop()
	background.start(keys.Run, limiter.Run, work.runner.Run, dispatch.Run)
	if s.MigrateOnStart {
		background.start(func(ctx context.Context) error { migrateWhenPossible(ctx, migrator, log); return nil })
	}
	return serve(ctx, s, log, health, drainers{work.runner, dispatch}, drainers{traces, faults}, api, ops.Handler(registry))
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func openValkey(s *config.Settings, clock usecase.Clock, log *slog.Logger, tracer trace.Tracer) (*redis.Client, *valkey.Limiter, error) {
	cache, err := valkey.NewClient(s.ValkeyURL.Reveal(), valkey.ClientOptions{Logger: log, Spans: tracer})
	if err != nil {
		return nil, nil, err
	}
	limiter, err := valkey.NewLimiter(cache, valkey.LimiterOptions{
		User: rate(s.RateLimitUser), IP: rate(s.RateLimitIP), Global: rate(s.RateLimitGlobal), Clock: clock, Logger: log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, cache.Close())
	}
	return cache, limiter, nil
}

func openClerk(s *config.Settings, clock usecase.Clock, log *slog.Logger, tracer trace.Tracer) (*clerk.KeySet, *clerk.Gate, error) {
	keys, err := clerk.NewKeySet(clerk.KeySetOptions{
		PEM: s.ClerkJWTKey, APIURL: s.ClerkAPIURL, SecretKey: s.ClerkSecretKey.Reveal(), Clock: clock, Logger: log, Spans: tracer,
	})
	if err != nil {
		return nil, nil, err
	}
	gate, err := clerk.NewGate(keys, clerk.GateOptions{
		Issuer: s.ClerkIssuer, AuthorizedParties: s.ClerkAuthorizedParties, AllowMissingAZP: s.ClerkAllowMissingAZP,
		Audience: s.ClerkAudience, RoleClaim: s.ClerkRoleClaim, Clock: clock,
	})
	return keys, gate, err
}

// DatabaseOptions are the pool's options as the settings say.
func DatabaseOptions(s *config.Settings, log *slog.Logger) postgres.Options {
	return postgres.Options{
		URL: s.DatabaseURL.Reveal(), MaxOpen: s.DBMaxOpenConns, MaxIdle: idleConnections(s.DBMaxIdleConns),
		ConnMaxLifetime: s.DBConnMaxLifetime, ConnMaxIdleTime: s.DBConnMaxIdleTime, ConnectTimeout: s.DBConnectTimeout,
		StatementTimeout: s.DBStatementTimeout, LockTimeout: s.DBLockTimeout, IdleInTransactionTimeout: s.DBIdleInTransactionTimeout,
		Logger: log,
	}
}

func tracedDatabase(s *config.Settings, log *slog.Logger, tracer trace.Tracer) postgres.Options {
	opts := DatabaseOptions(s, log)
	opts.Spans = tracer
	return opts
}

// idleConnections tells the pool apart what the settings say: 0 keeps none, while
// a zero option would take the pool's default.
func idleConnections(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func sealerOf(s *config.Settings) domain.Sealer {
	return domain.NewSealer(s.SecretKey.Reveal(), reveal(s.SecretKeyFallbacks)...)
}

func rate(r config.Rate) domain.Rate { return domain.Rate{Quota: r.Quota, Period: r.Period} }

func reveal(secrets []config.Secret) []string {
	out := make([]string, len(secrets))
	for i, s := range secrets {
		out[i] = s.Reveal()
	}
	return out
}

func closing(ctx context.Context, log *slog.Logger, what string, closeIt func() error) {
	if err := closeIt(); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "closing failed", slog.String("what", what), slog.String("cause", err.Error()))
	}
}

// group runs what works in the background until the service ends.
type group struct {
	ctx    context.Context //nolint:containedctx // the group's own life, not a request's
	cancel context.CancelFunc
	wg     sync.WaitGroup
	faults *faults
}

// newGroup outlives ctx: what is in flight during the drain still needs keys and limits.
func newGroup(ctx context.Context, f *faults) *group {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return &group{ctx: own, cancel: cancel, faults: f}
}

func (g *group) start(runs ...func(context.Context) error) {
	for _, run := range runs {
		g.wg.Go(func() {
			defer g.faults.crashing(g.ctx)
			_ = run(g.ctx) // they end with the context and have nothing to report
		})
	}
}

func (g *group) stop() {
	g.cancel()
	g.wg.Wait()
}

// migrateWhenPossible repeats until the schema is current: the database may come later.
func migrateWhenPossible(ctx context.Context, m *postgres.Migrator, log *slog.Logger) {
	for {
		applied, err := m.Up(ctx)
		if err == nil {
			log.LogAttrs(ctx, slog.LevelInfo, "schema is current", slog.Int("applied", len(applied)))
			return
		}
		log.LogAttrs(ctx, slog.LevelWarn, "migration failed, trying again", slog.String("cause", err.Error()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
	}
}
