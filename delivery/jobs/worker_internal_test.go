package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/domain"
)

type fixedClock struct{ now time.Time }

func (c fixedClock) Now() time.Time { return c.now }

// secret is what errors and panics hold here, and what must come out nowhere.
const secret = "user_2Secret"

type postgresError struct{}

func (postgresError) Error() string    { return "ERROR: " + secret + " (SQLSTATE 42501)" }
func (postgresError) SQLState() string { return "42501" }

func ended(cause error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(cause)
		return ctx, func() {}
	}
}

func TestWorkJudges(t *testing.T) {
	internal := domain.NewError(domain.Internal, domain.CodeInternal, "Clerk answered with status 401.").WithCause(errors.New(secret))
	away := domain.UnavailableError(errors.New(secret), 0)
	for _, c := range []struct {
		name    string
		err     error
		panics  bool
		before  string // what River keeps of an attempt before
		faults  int    // records that carry one
		attempt int
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		outcome outcome
		text    string // of what River gets
		snooze  time.Duration
	}{
		{name: "done", outcome: completed},
		{name: "done although the process ends", ctx: ended(errors.New("stop")), outcome: completed},
		{name: "refused", err: internal, outcome: retried, text: "internal: Clerk answered with status 401."},
		{name: "refused for the last time", err: internal, attempt: 5, outcome: discarded, faults: 1, text: "internal: Clerk answered with status 401."},
		{name: "wrapped", err: fmt.Errorf("purge %s: %w", secret, internal), outcome: retried, text: "internal: Clerk answered with status 401."},
		{name: "joined", err: errors.Join(errors.New(secret), internal), outcome: retried, text: "internal: Clerk answered with status 401."},
		{name: "unknown", err: errors.New(secret), outcome: retried, text: "an error of the type *errors.errorString"},
		{name: "the database", err: fmt.Errorf("x: %w", internal.WithCause(postgresError{})), outcome: retried, text: "the database answered with SQLSTATE 42501"},
		{name: "too long", err: fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), outcome: retried, text: "the job took too long"},
		{name: "panic", panics: true, outcome: retried, faults: 1, text: "internal: The job panicked; the stack is in the log."},
		{name: "panic at last", panics: true, attempt: 5, before: "the job took too long", outcome: discarded, faults: 1, text: "internal: The job panicked; the stack is in the log."},
		{name: "panic again", panics: true, attempt: 2, before: "internal: The job panicked; the stack is in the log.", outcome: retried, text: "internal: The job panicked; the stack is in the log."},
		{name: "panic again, and at last", panics: true, attempt: 5, before: "internal: The job panicked; the stack is in the log.", outcome: discarded, text: "internal: The job panicked; the stack is in the log."},
		{name: "something is missing from the schema", err: domain.UnavailableError(domain.Unexpected(postgresError{}), 0), outcome: snoozed, faults: 1, snooze: time.Minute},
		{name: "away", err: away, outcome: snoozed, snooze: time.Minute},
		{name: "away at last", err: away, attempt: 5, outcome: snoozed, snooze: time.Minute},
		{name: "away until", err: away.WithRetryAfter(time.Hour), outcome: snoozed, snooze: time.Hour},
		{name: "away for less than we wait", err: away.WithRetryAfter(time.Second), outcome: snoozed, snooze: time.Minute},
		{name: "more to do", err: &goOn{after: time.Second, reason: "x"}, attempt: 5, outcome: snoozed, snooze: time.Second},
		{name: "interrupted", err: context.Canceled, ctx: ended(errors.New("stop")), outcome: snoozed},
		{name: "interrupted at last", err: away, attempt: 5, ctx: ended(errors.New("stop")), outcome: snoozed},
		{name: "cancelled", err: context.Canceled, ctx: ended(river.ErrJobCancelledRemotely), outcome: cancelled, text: "an error of the type *errors.errorString"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			clock := fixedClock{time.Unix(1e9, 0)}
			w := &worker[domain.PurgeJob]{
				shared: &shared{
					clock: clock, log: slog.New(slog.NewTextHandler(&log, nil)), metrics: newMetrics(prometheus.NewRegistry(), "purge"),
					policy: retryPolicy{Backoff{time.Minute, time.Minute}, clock},
				},
				run: func(context.Context, domain.PurgeJob) error {
					if c.panics {
						panic(secret)
					}
					return c.err
				},
			}
			ctx := t.Context()
			if c.ctx != nil {
				var cancel context.CancelFunc
				ctx, cancel = c.ctx(ctx)
				defer cancel()
			}
			ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{7}, SpanID: trace.SpanID{7}}))
			job := &rivertype.JobRow{ID: 7, Kind: "purge", Attempt: max(1, c.attempt), MaxAttempts: 5}
			if c.before != "" {
				job.Errors = []rivertype.AttemptError{{Attempt: 1, Error: c.before}}
			}
			err := w.Work(ctx, &river.Job[domain.PurgeJob]{JobRow: job})
			wantAnswer(t, err, c.outcome, c.text, c.snooze)
			if !strings.Contains(log.String(), "outcome="+string(c.outcome)) || strings.Contains(log.String(), secret) {
				t.Errorf("the log says %s", log.String())
			}
			// What a job gives up on is told of, and that it panics, once.
			if n := strings.Count(log.String(), "fault="); n != c.faults {
				t.Errorf("%d records carry a fault, want %d: %s", n, c.faults, log.String())
			}
			which := fmt.Sprintf(" kind=purge job_id=7 attempt=%d trace_id=07000", job.Attempt)
			if records := strings.Count(log.String(), "\n"); strings.Count(log.String(), which) != records {
				t.Errorf("not each of %d records says %q: %s", records, which, log.String())
			}
			if !inSeconds.MatchString(log.String()) {
				t.Errorf("the log's times are no seconds: %s", log.String())
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("River gets %v", err)
			}
		})
	}
}

var inSeconds = regexp.MustCompile(` duration=[0-9.]+ again_in=[0-9.]+ `)

// wantAnswer checks what River will do.
func wantAnswer(t *testing.T, err error, want outcome, text string, snooze time.Duration) {
	t.Helper()
	var put *river.JobSnoozeError
	var cancel *river.JobCancelError
	switch want {
	case completed:
		if err != nil {
			t.Errorf("got %v", err)
		}
	case snoozed:
		// Up to a fifth is taken off what we wait of our own accord.
		if !errors.As(err, &put) || put.Duration > snooze || put.Duration < snooze*4/5 {
			t.Errorf("got %v, want to be put off for %s", err, snooze)
		}
	case cancelled:
		if !errors.As(err, &cancel) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v", err)
		}
	case retried, discarded:
		if err == nil || errors.As(err, &put) || errors.As(err, &cancel) || err.Error() != text || errors.Unwrap(err) != nil {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{}.withDefaults()
	for failures, want := range map[int]time.Duration{
		0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 3: 8 * time.Second, 11: 2048 * time.Second, 12: time.Hour, 13: time.Hour, 1 << 30: time.Hour,
	} {
		low, high := time.Duration(1<<62), time.Duration(0)
		for range 200 {
			got := b.after(failures)
			low, high = min(low, got), max(high, got)
		}
		if high > want || low < want*4/5 || low == high {
			t.Errorf("after %d failures %s to %s, want up to %s and four fifths of it at least", failures, low, high, want)
		}
	}
}

// Times of absence count for the wait, though not as attempts.
func TestRetryPolicy(t *testing.T) {
	clock := fixedClock{time.Unix(1e9, 0)}
	p := retryPolicy{Backoff{}.withDefaults(), clock}
	for _, c := range []struct {
		attempt  int
		metadata string
		want     time.Duration
	}{
		{1, `{}`, 2 * time.Second}, {1, ``, 2 * time.Second}, {1, `{"snoozes":2,"x":1}`, 8 * time.Second}, {3, `{"snoozes":1}`, 16 * time.Second},
		{1, `{"snoozes":"x"}`, 2 * time.Second}, {2000, `{}`, time.Hour},
	} {
		got := p.NextRetry(&rivertype.JobRow{Attempt: c.attempt, Metadata: []byte(c.metadata)}).Sub(clock.now)
		if got > c.want || got < c.want*4/5 {
			t.Errorf("attempt %d, %s: in %s, want %s", c.attempt, c.metadata, got, c.want)
		}
	}
}
