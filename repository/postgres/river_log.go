package postgres

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// riverLog lets River speak into our log: its news are our details, its errors
// are warnings, because it tries again by itself, and of its attributes only
// those pass that can name nobody. What a job failed of is logged by the job's
// worker, which knows what may be said.
//
// While the database is away River complains every second: what was said within
// the last minute is a detail too.
type riverLog struct {
	next slog.Handler
	said *sync.Map // message → uptime at which it was last written as a warning; River's messages are constants
}

const riverRepeats = time.Minute

// newRiverLog takes nil for silence.
func newRiverLog(to *slog.Logger) *slog.Logger {
	return slog.New(riverLog{cmp.Or(to, slog.New(slog.DiscardHandler)).Handler(), &sync.Map{}})
}

var riverAttributes = []string{
	"attempt", "duration", "job_id", "job_kind", "kind", "num_completed_jobs", "num_jobs_deleted", "num_jobs_discarded", "num_jobs_retry_scheduled",
	"num_jobs_running", "num_jobs_stuck", "queue", "sleep_duration", "soft_stop_timeout", "timeout",
}

func riverLevel(level slog.Level) slog.Level {
	if level >= slog.LevelWarn {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func passesRiverLog(a slog.Attr) bool { return slices.Contains(riverAttributes, a.Key) }

// Enabled tells whether anything of the level is written.
func (h riverLog) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, riverLevel(level))
}

// Handle writes one record.
func (h riverLog) Handle(ctx context.Context, from slog.Record) error {
	level := riverLevel(from.Level)
	if level == slog.LevelWarn && h.saidLately(from.Message) {
		level = slog.LevelDebug
	}
	if !h.next.Enabled(ctx, level) {
		return nil
	}
	to := slog.NewRecord(from.Time, level, "job queue", from.PC)
	to.AddAttrs(slog.String("said", from.Message))
	from.Attrs(func(a slog.Attr) bool {
		if passesRiverLog(a) {
			to.AddAttrs(a)
		}
		return true
	})
	return h.next.Handle(ctx, to)
}

func (h riverLog) saidLately(message string) bool {
	now := uptime()
	last, ok := h.said.Load(message)
	if at, isTime := last.(time.Duration); ok && isTime && now-at < riverRepeats {
		return true
	}
	h.said.Store(message, now)
	return false
}

// WithAttrs keeps what may pass.
func (h riverLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	allowed := slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool { return !passesRiverLog(a) })
	return riverLog{h.next.WithAttrs(allowed), h.said}
}

// WithGroup makes no group: River has none.
func (h riverLog) WithGroup(string) slog.Handler { return h }
