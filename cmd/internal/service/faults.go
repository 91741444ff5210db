package service

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/sentry"
)

const (
	flushTimeout = 5 * time.Second // the longest that the end of the program waits for Sentry, and for the collector of traces
	lastWords    = 2 * time.Second // the same, when a panic ends the program
)

// Build names the program that runs.
type Build struct{ Version, Commit string }

// release is what Sentry tells releases apart by: package@version+build.
func (b Build) release() string { return "profile-api@" + b.Version + "+" + b.Commit }

// faults reports the faults of the log to Sentry, when the settings have one.
type faults struct {
	reporter *sentry.Reporter // nil: nobody is told
	log      *slog.Logger
	longest  time.Duration // that Drain waits
	exit     func(status int)
}

// newFaults makes the reporter and its metric, and the logger that it hears: what
// is wired with another one goes unreported.
func newFaults(ctx context.Context, s *config.Settings, build Build, log *slog.Logger, registry prometheus.Registerer) (*faults, error) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sentry_events_total", Help: "Unexpected errors, by what became of the report to Sentry.",
	}, []string{"outcome"})
	registry.MustRegister(events)
	for _, o := range sentry.Outcomes() { // an alert needs the zero
		events.WithLabelValues(string(o))
	}
	if !s.SentryEnabled() {
		return &faults{log: log, exit: os.Exit}, nil // nothing to wait for
	}
	reporter, err := sentry.New(ctx, sentry.Options{
		DSN: s.SentryDSN.Reveal(), Release: build.release(), Environment: string(s.Environment), Clock: systemClock{}, Log: log,
		Count: func(o sentry.Outcome) { events.WithLabelValues(string(o)).Inc() },
	})
	if err != nil {
		return nil, err
	}
	return &faults{reporter, slog.New(faultHandler{Handler: log.Handler(), reporter: reporter}), flushTimeout, os.Exit}, nil
}

// Drain sends what is queued: when nothing else can fail any more, in what is left
// of ctx, and never for longer than [flushTimeout].
func (f *faults) Drain(ctx context.Context) { f.flush(ctx, f.longest) }

func (f *faults) flush(ctx context.Context, longest time.Duration) {
	if f.reporter == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	f.reporter.Flush(ctx)
}

// crashStatus is what Go's own crash exits with.
const crashStatus = 2

// crashing is deferred where a panic would end the program: it reports the panic,
// and ends the program. Left to itself, or thrown again, Go would write the value to
// standard error, which may hold anything.
func (f *faults) crashing(ctx context.Context) {
	if r := recover(); r != nil { //nolint:revive // it is what callers defer
		fault := domain.NewPanic(r)
		f.log.LogAttrs(ctx, slog.LevelError, "panic, the program ends", slog.String("cause", fault.Value()), slog.String("stack", string(debug.Stack())),
			domain.FaultAttr(fault))
		f.flush(context.WithoutCancel(ctx), lastWords)
		f.exit(crashStatus)
	}
}

// faultHandler is the log's handler, with an ear for faults.
type faultHandler struct {
	slog.Handler

	reporter *sentry.Reporter
	attrs    []slog.Attr // of the logger, beside the record's own
}

// Handle logs the record first: it must be there when somebody follows the report.
func (h faultHandler) Handle(ctx context.Context, record slog.Record) error {
	err := h.Handler.Handle(ctx, record)
	fault, ok := faultIn(record)
	if !ok {
		return err
	}
	fields := map[string]string{"message": record.Message}
	collect := func(a slog.Attr) bool {
		fields[a.Key] = a.Value.String()
		return true
	}
	for _, a := range h.attrs {
		collect(a)
	}
	record.Attrs(collect)
	if t, ok := middleware.TraceFrom(ctx); ok {
		fields["trace_id"], fields["span_id"] = t.TraceID, t.SpanID
	}
	h.reporter.Report(fault, fields)
	return err
}

// faultIn finds the fault of a record; most have none.
func faultIn(record slog.Record) (fault domain.Fault, ok bool) {
	record.Attrs(func(a slog.Attr) bool {
		fault, ok = a.Value.Any().(domain.Fault)
		return !ok
	})
	return fault, ok
}

// WithAttrs keeps the ear.
func (h faultHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return faultHandler{h.Handler.WithAttrs(attrs), h.reporter, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup keeps it too; what is in groups is looked at as if it were in none.
func (h faultHandler) WithGroup(name string) slog.Handler {
	return faultHandler{h.Handler.WithGroup(name), h.reporter, h.attrs}
}
