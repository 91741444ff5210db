package usecase_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// countingProbe fails with err and counts; wait, when set, is called first.
type countingProbe struct {
	asked atomic.Int64
	mu    sync.Mutex
	err   error
	wait  func(context.Context) error
}

func (p *countingProbe) Check(ctx context.Context) error {
	p.asked.Add(1)
	if p.wait != nil {
		return p.wait(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *countingProbe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

type fakeMigrations struct {
	pending bool
	err     error
}

func (m *fakeMigrations) Pending(context.Context) (bool, error) { return m.pending, m.err }

type fakeDisk struct {
	free float64
	err  error
}

func (d *fakeDisk) FreePercent() (float64, error) { return d.free, d.err }

type healthParts struct {
	health          *usecase.Health
	database, cache countingProbe
	migrations      fakeMigrations
	disk            fakeDisk
	clock           *storetest.Clock
	log             bytes.Buffer
}

func newHealth() *healthParts {
	h := &healthParts{disk: fakeDisk{free: 50}, clock: storetest.NewClock()}
	h.health = usecase.NewHealth(usecase.HealthDeps{
		Database: &h.database, Cache: &h.cache, Migrations: &h.migrations, Disk: &h.disk, DiskMinPercent: 10, Clock: h.clock,
		Log: slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	return h
}

var errDown = errors.New("down at db.internal:5432")

func TestHealthReport(t *testing.T) {
	const ok, meh, bad = usecase.Healthy, usecase.Degraded, usecase.Unhealthy
	cases := []struct {
		name                     string
		change                   func(*healthParts)
		all, database, cache, df usecase.HealthStatus
		ready                    usecase.Readiness
	}{
		{"all well", func(*healthParts) {}, ok, ok, ok, ok, usecase.Readiness{Status: ok}},
		{"database lost", func(h *healthParts) { h.database.fail(errDown) }, bad, bad, ok, ok, usecase.Readiness{Status: bad, Reason: "database"}},
		{"cache lost", func(h *healthParts) { h.cache.fail(errDown) }, bad, ok, bad, ok, usecase.Readiness{Status: meh, Reason: "cache"}},
		{"both lost", func(h *healthParts) { h.cache.fail(errDown); h.database.fail(errDown) }, bad, bad, bad, ok, usecase.Readiness{Status: bad, Reason: "database"}},
		{"migration pending", func(h *healthParts) { h.migrations.pending = true }, ok, ok, ok, ok, usecase.Readiness{Status: bad, Reason: "migrations"}},
		{"migrations unknown", func(h *healthParts) { h.migrations.err = errDown }, ok, ok, ok, ok, usecase.Readiness{Status: bad, Reason: "migrations"}},
		{"twice the minimum", func(h *healthParts) { h.disk.free = 20 }, ok, ok, ok, ok, usecase.Readiness{Status: ok}},
		{"below twice the minimum", func(h *healthParts) { h.disk.free = 19.99 }, meh, ok, ok, meh, usecase.Readiness{Status: ok}},
		{"the minimum", func(h *healthParts) { h.disk.free = 10 }, meh, ok, ok, meh, usecase.Readiness{Status: ok}},
		{"below the minimum", func(h *healthParts) { h.disk.free = 9.99 }, bad, ok, ok, bad, usecase.Readiness{Status: ok}},
		{"disk unreadable", func(h *healthParts) { h.disk.err = errDown }, bad, ok, ok, bad, usecase.Readiness{Status: ok}},
		{"disk low and cache lost", func(h *healthParts) { h.disk.free = 15; h.cache.fail(errDown) }, bad, ok, bad, meh, usecase.Readiness{Status: meh, Reason: "cache"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHealth()
			c.change(h)
			r := h.health.Report(t.Context())
			got := []usecase.HealthStatus{r.Status, r.Checks["database"].Status, r.Checks["cache"].Status, r.Checks["disk"].Status}
			for i, want := range []usecase.HealthStatus{c.all, c.database, c.cache, c.df} {
				if got[i] != want {
					t.Errorf("%v, want %v", got, []usecase.HealthStatus{c.all, c.database, c.cache, c.df})
					break
				}
			}
			if len(r.Checks) != 3 || !r.Timestamp.Equal(storetest.Now) || r.Timestamp.Location() != time.UTC {
				t.Errorf("%+v", r)
			}
			if r.Checks["database"].LatencyMS == nil || r.Checks["cache"].LatencyMS == nil || r.Checks["disk"].LatencyMS != nil {
				t.Errorf("latencies %+v", r.Checks)
			}
			if free := r.Checks["disk"].FreePercent; (free == nil) != (h.disk.err != nil) {
				t.Errorf("free_percent %v", free)
			}
			if ready := h.health.Ready(t.Context()); ready != c.ready {
				t.Errorf("ready %+v, want %+v", ready, c.ready)
			}
		})
	}
}

// What cannot be found out just now stays as it was last found.
func TestMigrationsAreRememberedWhileTheyCannotBeAsked(t *testing.T) {
	for _, pending := range []bool{false, true} {
		h := newHealth()
		h.migrations.pending = pending
		before := h.health.Ready(t.Context())
		h.migrations.err = errDown
		for range 2 {
			h.clock.Advance(time.Second)
			if r := h.health.Ready(t.Context()); r != before || (r.Reason == "migrations") != pending {
				t.Errorf("pending %v: %+v, before %+v", pending, r, before)
			}
		}
		h.migrations = fakeMigrations{}
		h.clock.Advance(time.Second)
		if r := h.health.Ready(t.Context()); r.Status != usecase.Healthy {
			t.Errorf("afterwards %+v", r)
		}
	}
}

func TestLatencyIsTheClocks(t *testing.T) {
	h := newHealth()
	h.database.wait = func(context.Context) error { h.clock.Advance(12345 * time.Microsecond); return nil }
	if ms := *h.health.Report(t.Context()).Checks["database"].LatencyMS; ms != 12.345 {
		t.Errorf("%v ms", ms)
	}
}

func TestAResultIsRememberedForASecond(t *testing.T) {
	h := newHealth()
	ask := func(want usecase.HealthStatus, asked int64) {
		t.Helper()
		if r := h.health.Report(t.Context()); r.Status != want || h.database.asked.Load() != asked || h.cache.asked.Load() != asked {
			t.Errorf("%s after %d and %d probes, want %s after %d", r.Status, h.database.asked.Load(), h.cache.asked.Load(), want, asked)
		}
	}
	ask(usecase.Healthy, 1)
	h.database.fail(errDown)
	h.health.Ready(t.Context()) // shares the memory
	h.clock.Advance(time.Second - 1)
	ask(usecase.Healthy, 1)
	h.clock.Advance(1)
	ask(usecase.Unhealthy, 2)
	h.database.fail(nil)
	h.clock.Advance(999 * time.Millisecond)
	ask(usecase.Unhealthy, 2)
	h.clock.Advance(time.Millisecond)
	ask(usecase.Healthy, 3)
	h.clock.Advance(-time.Hour) // a clock that was set back must not keep an answer for an hour
	ask(usecase.Healthy, 4)
}

func TestManyCallersCostOneProbe(t *testing.T) {
	h := newHealth()
	proceed := make(chan struct{})
	h.database.wait = func(context.Context) error { <-proceed; return errDown }
	var started, answered sync.WaitGroup
	for i := range 200 {
		started.Add(1)
		answered.Go(func() {
			started.Done()
			if i%2 == 0 {
				if r := h.health.Report(t.Context()); r.Status != usecase.Unhealthy {
					t.Errorf("report %s", r.Status)
				}
			} else if r := h.health.Ready(t.Context()); r.Reason != "database" {
				t.Errorf("ready %+v", r)
			}
		})
	}
	started.Wait() // not a synctest bubble: waiting for a mutex does not count as idle there
	close(proceed)
	answered.Wait()
	if n, m := h.database.asked.Load(), h.cache.asked.Load(); n != 1 || m != 1 {
		t.Errorf("%d and %d probes", n, m)
	}
}

// What the first caller began serves the others too, so it outlives that caller.
func TestACallerThatLeavesSpoilsNothing(t *testing.T) {
	h := newHealth()
	h.database.wait = func(ctx context.Context) error { return ctx.Err() }
	gone, leave := context.WithCancel(t.Context())
	leave()
	if r := h.health.Report(gone); r.Status != usecase.Healthy {
		t.Errorf("%+v", r)
	}
	if r := h.health.Ready(t.Context()); r.Status != usecase.Healthy {
		t.Errorf("%+v", r)
	}
}

func TestAProbeThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth()
		h.database.wait = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		start := time.Now()
		if r := h.health.Ready(t.Context()); r.Reason != "database" {
			t.Errorf("%+v", r)
		}
		if took := time.Since(start); took != 2*time.Second { // the bubble's time
			t.Errorf("given up after %s", took)
		}
	})
}

func TestDrainingIsForEverAndAsksNobody(t *testing.T) {
	h := newHealth()
	if h.health.Draining() {
		t.Error("draining from the start")
	}
	h.health.Drain()
	for range 2 {
		if r := h.health.Ready(t.Context()); r != (usecase.Readiness{Status: usecase.Unhealthy, Reason: "draining"}) || !h.health.Draining() {
			t.Errorf("%+v", r)
		}
		h.clock.Advance(time.Hour)
	}
	if n := h.database.asked.Load(); n != 0 {
		t.Errorf("%d probes", n)
	}
	if r := h.health.Report(t.Context()); r.Status != usecase.Healthy {
		t.Errorf("the report is about the parts: %+v", r)
	}
}

func TestTheLogIsToldOfChangesOnly(t *testing.T) {
	h := newHealth()
	steps := []struct {
		err  error
		want string
	}{
		{nil, ""}, {errDown, "level=WARN"}, {errDown, ""}, {errDown, ""}, {nil, "level=INFO"}, {nil, ""}, {errDown, "level=WARN"},
	}
	for i, s := range steps {
		h.database.fail(s.err)
		h.log.Reset()
		h.clock.Advance(time.Second)
		h.health.Report(t.Context())
		got := h.log.String()
		if s.want == "" && got != "" || s.want != "" && (strings.Count(got, "\n") != 1 || !strings.Contains(got, s.want) || !strings.Contains(got, "check=database")) {
			t.Errorf("step %d: %q", i, got)
		}
		if strings.Contains(got, "db.internal") {
			t.Errorf("step %d tells where: %q", i, got)
		}
	}
}

// hangingDisk is a file system whose server is gone, until it is released.
type hangingDisk struct {
	asked   atomic.Int32
	release chan struct{}
}

func (d *hangingDisk) FreePercent() (float64, error) {
	d.asked.Add(1)
	<-d.release
	return 50, nil
}

// A disk that hangs is one unhealthy check; it holds up no other, nor readiness.
func TestAHangingDiskHangsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, disk := newHealth(), &hangingDisk{release: make(chan struct{})}
		h.health.Disk = disk
		for range 3 {
			r := h.health.Report(t.Context())
			if r.Status != usecase.Unhealthy || r.Checks["disk"].Status != usecase.Unhealthy || r.Checks["database"].Status != usecase.Healthy {
				t.Fatalf("while it hangs: %+v", r)
			}
			if ready := h.health.Ready(t.Context()); ready.Status != usecase.Healthy {
				t.Errorf("ready: %+v", ready)
			}
			h.clock.Advance(2 * time.Second)
		}
		if n := disk.asked.Load(); n != 1 {
			t.Errorf("%d askers hang, want 1", n)
		}
		close(disk.release)
		synctest.Wait()
		if r := h.health.Report(t.Context()); r.Status != usecase.Healthy {
			t.Errorf("afterwards: %+v", r)
		}
	})
}
