package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/sentrystandin"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/usecase"
)

// heard makes faults that are reported to the stand-in, with a log of their own.
func heard(t *testing.T, s *sentrystandin.Server) (*faults, *testlog.Buffer) {
	t.Helper()
	var out testlog.Buffer
	settings := &config.Settings{Environment: config.Staging, SentryDSN: config.NewSecret(s.DSN())}
	f, err := newFaults(t.Context(), settings, Build{"1.2.3", "abc"}, slog.New(slog.NewJSONHandler(&out, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Drain(context.Background()) })
	return f, &out
}

// flushed waits for what was reported.
func (f *faults) flushed(t *testing.T, s *sentrystandin.Server) []sentrystandin.Event {
	t.Helper()
	f.reporter.Flush(t.Context())
	return s.Events()
}

// A request that panics is one event with all that leads to it, and nothing of
// what the client sent.
func TestAPanicInARequestIsOneEvent(t *testing.T) {
	canaries := []string{"canary-token", "canary-body", "canary@example.test", "canary-query", "canary-handle", "user_2Canary"}
	s := sentrystandin.New(t)
	f, out := heard(t, s)
	e := echo.New()
	panics := func(c echo.Context) error {
		panic(strings.Join(canaries, " ") + c.QueryString()) // the worst of values
	}
	routes := []middleware.Route{{Method: http.MethodPost, Template: "/v1/profiles/:handle", Handler: panics}}
	hashes := domain.NewPseudonymizer("kV9#mQ2xT7!pL4wZ8@rN6yB3cF5hJ1dS")
	e.Use(middleware.Locate(middleware.NewRoutes(routes)), middleware.RequestID(), middleware.Trace(nil),
		middleware.Observe(f.log, middleware.NewMetrics(prometheus.NewRegistry()), hashes, systemClock{}), middleware.Recover(f.log))
	e.POST(routes[0].Template, panics)

	req := httptest.NewRequest(http.MethodPost, "/v1/profiles/canary-handle?q=canary-query", strings.NewReader(`{"bio":"canary-body"}`))
	req.Header.Set("Authorization", "Bearer canary-token")
	req.Header.Set("X-Email", "canary@example.test")
	req.Header.Set("X-Request-Id", "request-7")
	req.Header.Set("Traceparent", "00-"+strings.Repeat("a", 32)+"-"+strings.Repeat("b", 16)+"-01")
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, req)
	if rec.Code != http.StatusInternalServerError {
		t.Fatalf("status %d", rec.Code)
	}
	events := f.flushed(t, s)
	if len(events) != 1 {
		t.Fatalf("%d events: %s", len(events), out)
	}
	got := events[0]
	if got.Release != "profile-api@1.2.3+abc" || got.Environment != "staging" || got.Transaction != "POST /v1/profiles/{handle}" ||
		got.Tags["request_id"] != "request-7" || got.Tags["trace_id"] != strings.Repeat("a", 32) || got.Tags["route"] != "/v1/profiles/{handle}" ||
		got.Tags["method"] != "POST" || len(got.Contexts["trace"].SpanID) != 16 || got.Exception[0].Type != "panic" {
		t.Errorf("the event is %s", got.Raw)
	}
	if frames := got.Exception[0].Stacktrace.Frames; !strings.HasPrefix(frames[len(frames)-1].Function, "TestAPanicInARequestIsOneEvent") {
		t.Errorf("it was thrown in %+v", frames[len(frames)-1])
	}
	for _, canary := range canaries {
		if strings.Contains(s.Everything(), canary) || strings.Contains(out.String(), canary) {
			t.Errorf("%s is told", canary)
		}
	}
}

// What a logger was given beforehand counts too, and records without a fault are no news.
func TestOnlyFaultsAreReported(t *testing.T) {
	s := sentrystandin.New(t)
	f, out := heard(t, s)
	f.log.LogAttrs(t.Context(), slog.LevelError, "not a fault", slog.String("cause", "x"))
	f.log.With("route", "/a").WithGroup("g").LogAttrs(t.Context(), slog.LevelWarn, "fault", slog.String("method", "GET"), domain.FaultAttr(errors.New("x")))
	httpserver.NewLog(f.log).Print("http: panic serving 203.0.113.9:1234: secret")
	httpserver.NewLog(f.log).Print("http: Accept error: accept tcp 203.0.113.9:443: secret; retrying in 5ms")
	httpserver.NewLog(f.log).Print("http: TLS handshake error from 203.0.113.9:1234: secret")
	events := f.flushed(t, s)
	if len(events) != 3 || events[0].Transaction != "GET /a" || events[1].Transaction != "panic outside of the chain" ||
		events[2].Transaction != "connections cannot be accepted" {
		t.Errorf("the events are %+v", events)
	}
	if strings.Contains(s.Everything(), "203.0.113.9") || strings.Contains(s.Everything(), "secret") || strings.Count(out.String(), "\n") != 4 {
		t.Errorf("the log is %s", out)
	}
}

// A panic in the background ends the program, and Sentry hears of it before.
func TestAPanicInTheBackgroundIsReportedAndEndsTheProgram(t *testing.T) {
	s := sentrystandin.New(t)
	f, out := heard(t, s)
	status := 0
	f.exit = func(with int) { status = with }
	group := newGroup(t.Context(), f)
	group.start(func(context.Context) error { panic("secret") })
	group.stop()
	events := s.Events()
	if len(events) != 1 || events[0].Transaction != "panic, the program ends" || strings.Contains(s.Everything(), "secret") {
		t.Errorf("the events are %+v", events)
	}
	if status != 2 || strings.Contains(out.String(), "secret") || !strings.Contains(out.String(), "TestAPanicInTheBackground") {
		t.Errorf("the status is %d, and the log %s", status, out)
	}
}

// crashes has this very program do what is below.
const crashes = "TEST_SERVICE_CRASHES"

// What the process itself writes when it ends so has no value in it either.
func TestACrashDoesNotWriteWhatWasThrown(t *testing.T) {
	if os.Getenv(crashes) != "" {
		f, err := newFaults(t.Context(), &config.Settings{}, Build{}, slog.New(slog.NewJSONHandler(os.Stdout, nil)), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		group := newGroup(t.Context(), f)
		group.start(func(context.Context) error { panic("canary-value") })
		group.stop()
		t.Fatal("it goes on")
	}
	program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestACrashDoesNotWriteWhatWasThrown$")
	program.Env = append(os.Environ(), crashes+"=yes")
	out, err := program.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 2 || !strings.Contains(string(out), "panic, the program ends") || strings.Contains(string(out), "canary-value") {
		t.Errorf("%v: %s", err, out)
	}
}

// The end waits for Sentry within what is left, and for its own bound at most.
func TestDrainGivesUpASentryThatHangs(t *testing.T) {
	for name, c := range map[string]struct{ left, longest time.Duration }{
		"nothing is left": {time.Millisecond, time.Hour},
		"much is left":    {time.Hour, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := sentrystandin.New(t)
			s.Answer(s.Hang)
			f, _ := heard(t, s)
			f.longest = c.longest
			for i := range 20 {
				f.log.LogAttrs(t.Context(), slog.LevelError, "fault", slog.Int("route", i), domain.FaultAttr(errors.New("x")))
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.left)
			defer cancel()
			f.Drain(ctx)
			if s.Asked() > 1 {
				t.Errorf("it asked %d times before it gave up", s.Asked())
			}
		})
	}
}

type drained func(context.Context)

func (d drained) Drain(ctx context.Context) { d(ctx) }

// Sentry is waited for when nothing else can fail any more, in the time that is left.
func TestServeDrainsSentryLast(t *testing.T) {
	var out testlog.Buffer
	var order []string
	settings := &config.Settings{HTTPAddr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", ShutdownTimeout: time.Minute}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	note := func(name string) drained {
		return func(ctx context.Context) {
			if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
				t.Errorf("%s has no time, or no end", name)
			}
			order = append(order, name)
		}
	}
	last := func(ctx context.Context) {
		if !strings.Contains(out.String(), `"msg":"stopped"`) {
			t.Error("the servers have not stopped")
		}
		note("last")(ctx)
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	health := usecase.NewHealth(usecase.HealthDeps{Clock: systemClock{}, Log: log})
	if err := serve(ctx, settings, log, health, note("jobs"), drained(last), http.NotFoundHandler(), http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	if strings.Join(order, " ") != "jobs last" {
		t.Errorf("the order is %q", order)
	}
}

// brokenListener accepts nothing.
type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errors.New("203.0.113.9 is broken") }

// A listener that fails ends the program, and Sentry hears why it ended.
func TestAListenerThatFailsIsReported(t *testing.T) {
	for name, broken := range map[string]int{"the API's": 0, "the operators'": 1} {
		t.Run(name, func(t *testing.T) {
			s := sentrystandin.New(t)
			f, out := heard(t, s)
			listeners, err := httpserver.Listen(t.Context(), "127.0.0.1:0", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			listeners[broken] = brokenListener{listeners[broken]}
			health := usecase.NewHealth(usecase.HealthDeps{Clock: systemClock{}, Log: f.log})
			err = serveOn(t.Context(), listeners, &config.Settings{ShutdownTimeout: time.Minute, ShutdownDrainDelay: time.Hour}, f.log, health,
				drained(func(context.Context) {}), f, http.NotFoundHandler(), http.NotFoundHandler())
			events := s.Events()
			if err == nil || len(events) != 1 || events[0].Transaction != "listener failed" || strings.Contains(s.Everything(), "203.0.113.9") {
				t.Errorf("%v; the events are %+v; the log: %s", err, events, out)
			}
		})
	}
}
