package jobs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/profile-api/profile-api/domain"
)

// Which runs are told to whoever notes failures, and what a note that fails means.
func TestFailedRunsAreNoted(t *testing.T) {
	internal := domain.NewError(domain.Internal, domain.CodeInternal, "It is broken.")
	for name, c := range map[string]struct {
		err     error
		attempt int
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		note    error
		noted   outcome // empty: nobody was told
		ends    outcome
	}{
		"done":                               {ends: completed},
		"failed":                             {err: internal, noted: retried, ends: retried},
		"failed, and not noted":              {err: internal, note: errors.New("x"), noted: retried, ends: retried},
		"failed for the last time":           {err: internal, attempt: 5, noted: discarded, ends: discarded},
		"the last word could not be noted":   {err: internal, attempt: 5, note: errors.New("x"), noted: discarded, ends: snoozed},
		"too long, for the last time":        {err: context.DeadlineExceeded, attempt: 5, ctx: late, noted: discarded, ends: discarded},
		"away":                               {err: domain.UnavailableError(nil, 0), noted: snoozed, ends: snoozed},
		"interrupted by the process's end":   {err: context.Canceled, ctx: ended(errors.New("stop")), ends: snoozed},
		"cancelled by an operator":           {err: context.Canceled, ctx: ended(river.ErrJobCancelledRemotely), noted: cancelled, ends: cancelled},
		"cancelled, and that could be noted": {err: context.Canceled, ctx: ended(river.ErrJobCancelledRemotely), note: errors.New("x"), noted: cancelled, ends: cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			clock := fixedClock{time.Unix(1e9, 0)}
			var told outcome
			registry := prometheus.NewRegistry()
			w := &worker[domain.PurgeJob]{
				shared: &shared{
					clock: clock, log: slog.New(slog.DiscardHandler), metrics: newMetrics(registry, "purge"),
					policy: retryPolicy{Backoff{time.Minute, time.Minute}, clock},
				},
				run: func(context.Context, domain.PurgeJob) error { return c.err },
				failed: func(ctx context.Context, _ domain.PurgeJob, v verdict) error {
					told = v.outcome
					return errors.Join(ctx.Err(), c.note)
				},
			}
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if c.ctx != nil {
				ctx, cancel = c.ctx(ctx)
			}
			defer cancel()
			job := &river.Job[domain.PurgeJob]{JobRow: &rivertype.JobRow{Kind: "purge", Attempt: max(c.attempt, 1), MaxAttempts: 5}}
			err := w.Work(ctx, job)
			var snooze *rivertype.JobSnoozeError
			if isSnooze := errors.As(err, &snooze); told != c.noted || isSnooze != (c.ends == snoozed) || (err == nil) != (c.ends == completed) {
				t.Errorf("told of %q, River gets %v", told, err)
			}
			if got := countedAs(t, registry); got != c.ends {
				t.Errorf("counted as %s, want %s", got, c.ends)
			}
		})
	}
}

// late is the context of a run whose time is over; the note has a time of its own.
func late(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, time.Unix(0, 0))
}

// countedAs is the one outcome that was counted.
func countedAs(t *testing.T, registry *prometheus.Registry) (found outcome) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" && m.GetCounter().GetValue() == 1 {
					found = outcome(l.GetValue())
				}
			}
		}
	}
	return found
}
