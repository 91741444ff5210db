package usecase

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// HealthStatus is the state of a check or of the whole.
type HealthStatus string

// The states of the contract.
const (
	Healthy   HealthStatus = "healthy"
	Degraded  HealthStatus = "degraded"  // works, but somebody should look
	Unhealthy HealthStatus = "unhealthy" // does not work
)

// HealthCheck is the outcome of one check. It holds no host, version or error text.
type HealthCheck struct {
	Status      HealthStatus `json:"status"`
	LatencyMS   *float64     `json:"latency_ms,omitempty"`   // milliseconds; of checks that ask another program
	FreePercent *float64     `json:"free_percent,omitempty"` // 0–100; of the disk
}

// HealthReport is every check and what follows from them.
type HealthReport struct {
	Status    HealthStatus           `json:"status"`
	Checks    map[string]HealthCheck `json:"checks"` // database, cache, disk
	Timestamp time.Time              `json:"timestamp"`
}

// Readiness says whether traffic may be routed here.
type Readiness struct {
	Status HealthStatus `json:"status"`
	Reason string       `json:"reason,omitempty"` // draining, database, migrations or cache
}

// MigrationGate tells whether the database still waits for a migration.
type MigrationGate interface {
	Pending(ctx context.Context) (bool, error)
}

// DiskMeter measures the share of the disk that is free, 0–100.
type DiskMeter interface {
	FreePercent() (float64, error)
}

// HealthDeps is what [Health] asks.
type HealthDeps struct {
	Database       Probe
	Cache          Probe
	Migrations     MigrationGate
	Disk           DiskMeter
	DiskMinPercent float64 // unhealthy below; degraded below twice it
	Clock          Clock
	Log            *slog.Logger
}

const (
	healthMemory  = time.Second     // how long a result is given out again
	healthTimeout = 2 * time.Second // what one round of checks may take
)

// Health checks what the service depends on. A result is remembered for a
// second and computed by one caller at a time, so that probes cannot hurt,
// however many come.
type Health struct {
	HealthDeps
	draining atomic.Bool

	mu      sync.Mutex
	last    HealthReport
	pending bool // a migration was pending when that could last be found out; true before
	taken   time.Time
	known   map[string]HealthStatus // what the log was last told
	asking  <-chan diskAnswer       // the disk's answer that is still out; nil without one
}

// NewHealth builds the use case.
func NewHealth(deps HealthDeps) *Health {
	return &Health{HealthDeps: deps, pending: true, known: map[string]HealthStatus{}}
}

// Drain makes the service not ready for the rest of its life.
func (h *Health) Drain() { h.draining.Store(true) }

// Draining tells whether the service is on its way out.
func (h *Health) Draining() bool { return h.draining.Load() }

// Report gives every check, at most a second old.
func (h *Health) Report(ctx context.Context) HealthReport {
	report, _ := h.current(ctx)
	return report
}

// Ready says whether traffic may come: not while draining, without the
// database, or before a pending migration. A lost cache alone only degrades.
func (h *Health) Ready(ctx context.Context) Readiness {
	if h.Draining() {
		return Readiness{Unhealthy, "draining"}
	}
	report, pending := h.current(ctx)
	switch {
	case report.Checks["database"].Status != Healthy:
		return Readiness{Unhealthy, "database"}
	case pending:
		return Readiness{Unhealthy, "migrations"}
	case report.Checks["cache"].Status != Healthy:
		return Readiness{Degraded, "cache"}
	}
	return Readiness{Status: Healthy}
}

func (h *Health) current(ctx context.Context) (HealthReport, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.Clock.Now()
	if age := now.Sub(h.taken); !h.taken.IsZero() && age >= 0 && age < healthMemory {
		return h.last, h.pending
	}
	// The result serves others too, so it must not end with this caller's request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	h.last, h.pending = h.measure(ctx)
	h.taken = h.Clock.Now()
	return h.last, h.pending
}

func (h *Health) measure(ctx context.Context) (HealthReport, bool) {
	var (
		wg                    sync.WaitGroup
		database, cache, disk HealthCheck
		pending               bool
	)
	wg.Go(func() { database = h.probe(ctx, "database", h.Database) })
	wg.Go(func() { cache = h.probe(ctx, "cache", h.Cache) })
	wg.Go(func() {
		var err error
		if pending, err = h.Migrations.Pending(ctx); err != nil {
			// A pool that is exhausted must not take the replica away: that the
			// database itself is lost, its own check says.
			pending = h.pending
		}
	})
	wg.Go(func() { disk = h.disk(ctx) })
	wg.Wait()

	status := Healthy
	switch {
	case database.Status == Unhealthy, cache.Status == Unhealthy, disk.Status == Unhealthy:
		status = Unhealthy
	case disk.Status == Degraded:
		status = Degraded
	}
	h.tell(ctx, "database", database.Status)
	h.tell(ctx, "cache", cache.Status)
	h.tell(ctx, "disk", disk.Status)
	return HealthReport{
		Status: status, Timestamp: h.Clock.Now().UTC(),
		Checks: map[string]HealthCheck{"database": database, "cache": cache, "disk": disk},
	}, pending
}

func (h *Health) probe(ctx context.Context, name string, p Probe) HealthCheck {
	start := h.Clock.Now()
	err := p.Check(ctx)
	ms := math.Round(float64(h.Clock.Now().Sub(start).Microseconds())) / 1000
	check := HealthCheck{Status: Healthy, LatencyMS: &ms}
	if err != nil {
		check.Status = Unhealthy
		h.Log.LogAttrs(ctx, slog.LevelDebug, "health check failed", slog.String("check", name), slog.String("cause", err.Error()))
	}
	return check
}

func (h *Health) disk(ctx context.Context) HealthCheck {
	free, err := h.freePercent(ctx)
	if err != nil {
		h.Log.LogAttrs(ctx, slog.LevelDebug, "health check failed", slog.String("check", "disk"), slog.String("cause", err.Error()))
		return HealthCheck{Status: Unhealthy}
	}
	rounded := math.Round(free*10) / 10
	check := HealthCheck{Status: Healthy, FreePercent: &rounded}
	switch {
	case free < h.DiskMinPercent:
		check.Status = Unhealthy
	case free < 2*h.DiskMinPercent:
		check.Status = Degraded
	}
	return check
}

type diskAnswer struct {
	free float64
	err  error
}

// freePercent asks the disk, but waits no longer than ctx: a file system whose
// server is gone blocks whoever asks. At most one asker hangs, and what it learns
// at last counts for the next check.
func (h *Health) freePercent(ctx context.Context) (float64, error) {
	if h.asking == nil {
		answer := make(chan diskAnswer, 1)
		go func() {
			free, err := h.Disk.FreePercent()
			answer <- diskAnswer{free, err}
		}()
		h.asking = answer
	}
	select {
	case a := <-h.asking:
		h.asking = nil
		return a.free, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// tell logs a change once, not each probe.
func (h *Health) tell(ctx context.Context, check string, status HealthStatus) {
	if before, ok := h.known[check]; before == status || (!ok && status == Healthy) {
		h.known[check] = status
		return
	}
	h.known[check] = status
	level := slog.LevelWarn
	if status == Healthy {
		level = slog.LevelInfo
	}
	h.Log.LogAttrs(ctx, level, "health changed", slog.String("check", check), slog.String("status", string(status)))
}
