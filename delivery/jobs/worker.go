package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// shared is what all workers have in common.
type shared struct {
	clock   usecase.Clock
	log     *slog.Logger
	metrics *metrics
	policy  retryPolicy
}

// worker runs the jobs of one kind.
type worker[A river.JobArgs] struct {
	river.WorkerDefaults[A]
	*shared

	run     func(ctx context.Context, args A) error
	failed  func(ctx context.Context, args A, v verdict) error // notes a run that failed; may be nil
	timeout time.Duration                                      // zero: the runner's
}

// noteTimeout bounds the noting of a run that failed.
const noteTimeout = 5 * time.Second

// Timeout bounds one run.
func (w *worker[A]) Timeout(*river.Job[A]) time.Duration { return w.timeout }

// Work runs the job and tells River what to do with it. River writes the text of
// an error into its table and its log, where it stays for weeks: it gets a text
// that was made to be read by anybody, and never a cause. Our log has seconds, as
// the access log has.
func (w *worker[A]) Work(ctx context.Context, job *river.Job[A]) error {
	begun := w.clock.Now()
	err := w.guarded(ctx, job)
	v := w.noted(ctx, job, w.judge(ctx, job.JobRow, err))
	took := w.clock.Now().Sub(begun)
	w.metrics.observe(job.Kind, v.outcome, took)
	attrs := append(whichRun(ctx, job.JobRow),
		slog.String("outcome", string(v.outcome)), slog.Float64("duration", took.Seconds()), slog.Float64("again_in", v.after.Seconds()),
		slog.String("reason", v.reason),
	)
	given := v.outcome == discarded && !errors.Is(err, errPanicked) // a panic has told already
	if given || v.outcome == snoozed && domain.IsUnexpected(err) {  // what is put off for ever must not be so in silence
		attrs = append(attrs, domain.FaultAttr(err))
	}
	w.log.LogAttrs(ctx, v.level, "job", attrs...)
	return v.answer
}

// whichRun says in the log which run of which job it was.
func whichRun(ctx context.Context, job *rivertype.JobRow) []slog.Attr {
	attrs := []slog.Attr{slog.String("kind", job.Kind), slog.Int64("job_id", job.ID), slog.Int("attempt", job.Attempt)}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() { // tracing is on
		attrs = append(attrs, slog.String("trace_id", span.TraceID().String()))
	}
	return attrs
}

// noted tells whoever wants to know that the run failed. That the process ends is
// no failure. A last word that could not be noted is not the last: the job is put
// off, and gives it again.
func (w *worker[A]) noted(ctx context.Context, job *river.Job[A], v verdict) verdict {
	if w.failed == nil || v.answer == nil || v.outcome == snoozed && v.after == 0 {
		return v
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout) // the run's own time may be over
	defer cancel()
	err := w.failed(ctx, job.Args, v)
	if err == nil || v.outcome != discarded {
		return v
	}
	after := w.policy.after(failures(job.JobRow))
	return verdict{river.JobSnooze(after), snoozed, slog.LevelWarn, after, v.reason + "; this could not be noted: " + describe(err)}
}

// guarded turns a panic into an error. Its value is not told: it may hold anything.
// Of a job that panics at each attempt, the first panic is the one to report.
func (w *worker[A]) guarded(ctx context.Context, job *river.Job[A]) (err error) {
	defer func() {
		if r := recover(); r != nil {
			attrs := append(whichRun(ctx, job.JobRow), slog.String("cause", fmt.Sprintf("%T", r)), slog.String("stack", string(debug.Stack())))
			if !panickedBefore(job.JobRow) {
				attrs = append(attrs, domain.FaultAttr(domain.NewPanic(r)))
			}
			w.log.LogAttrs(ctx, slog.LevelError, "panic", attrs...)
			err = errPanicked
		}
	}()
	return w.run(ctx, job.Args)
}

var errPanicked = domain.NewError(domain.Internal, domain.CodeInternal, "The job panicked; the stack is in the log.")

// panickedBefore goes by what River keeps of the attempts before, whichever replica made them.
func panickedBefore(job *rivertype.JobRow) bool {
	return slices.ContainsFunc(job.Errors, func(e rivertype.AttemptError) bool { return e.Error == describe(errPanicked) })
}

// verdict is what becomes of a job after a run.
type verdict struct {
	answer  error // for River; nil when the job is done
	outcome outcome
	level   slog.Level
	after   time.Duration // until it is run again; zero when River's retry policy decides
	reason  string
}

// judge decides. What is away comes back: such a job is put off, however often,
// and uses up no attempt. An attempt is for what waiting may never mend.
func (s *shared) judge(ctx context.Context, job *rivertype.JobRow, err error) verdict {
	reason := describe(err)
	var more *goOn
	switch {
	case err == nil:
		return verdict{outcome: completed, level: slog.LevelInfo}
	case errors.As(err, &more):
		return verdict{river.JobSnooze(more.after), snoozed, slog.LevelInfo, more.after, more.reason}
	case errors.Is(context.Cause(ctx), river.ErrJobCancelledRemotely):
		return verdict{river.JobCancel(errors.New(reason)), cancelled, slog.LevelWarn, 0, reason}
	case errors.Is(ctx.Err(), context.Canceled): // the process ends; another one goes on at once
		return verdict{river.JobSnooze(0), snoozed, slog.LevelInfo, 0, "interrupted by the end of the process"}
	case errors.Is(err, domain.Unavailable):
		after := max(retryAfter(err), s.policy.after(failures(job)))
		return verdict{river.JobSnooze(after), snoozed, slog.LevelWarn, after, reason}
	case job.Attempt >= job.MaxAttempts:
		return verdict{errors.New(reason), discarded, slog.LevelError, 0, reason}
	}
	return verdict{errors.New(reason), retried, slog.LevelWarn, 0, reason}
}

func retryAfter(err error) time.Duration {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.RetryAfter()
	}
	return 0
}

// describe says what is known of an error that anybody may read.
func describe(err error) string {
	var e *domain.Error
	var database interface{ SQLState() string } // an error of PostgreSQL's, whose text may hold values
	switch {
	case err == nil:
		return ""
	case errors.As(err, &database):
		return "the database answered with SQLSTATE " + database.SQLState()
	case errors.As(err, &e):
		return string(e.Code()) + ": " + e.Message()
	case errors.Is(err, context.DeadlineExceeded):
		return "the job took too long"
	}
	return fmt.Sprintf("an error of the type %T", err)
}
