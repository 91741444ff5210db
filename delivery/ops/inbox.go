package ops

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/domain"
)

// Inbox counts and logs what becomes of Clerk's deliveries.
type Inbox struct {
	events *prometheus.CounterVec
	lag    prometheus.Histogram
	log    *slog.Logger
}

// NewInbox registers the metrics. Every series begins at zero.
func NewInbox(registry prometheus.Registerer, log *slog.Logger) *Inbox {
	i := &Inbox{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhook_events_total", Help: "Deliveries of Clerk's webhooks, by type and by what became of them.",
		}, []string{"type", "outcome"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "webhook_lag_seconds", Help: "Age of a state of Clerk's, by its updated_at, when it was applied.",
			Buckets: []float64{.25, .5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600},
		}),
		log: log,
	}
	registry.MustRegister(i.events, i.lag)
	for _, t := range domain.WebhookTypes() {
		for _, o := range domain.WebhookOutcomes() {
			i.events.WithLabelValues(string(t), string(o))
		}
	}
	return i
}

// Delivery counts one, and logs it when it has an id: a refused request has its
// line in the access log. What it says is never told.
func (i *Inbox) Delivery(ctx context.Context, id string, t domain.WebhookType, o domain.WebhookOutcome, reason string) {
	i.events.WithLabelValues(string(t), string(o)).Inc()
	if id == "" {
		return
	}
	level := slog.LevelInfo
	switch o {
	case domain.OutcomeFailed:
		level = slog.LevelWarn
	case domain.OutcomeDead:
		level = slog.LevelError
	default:
	}
	i.log.LogAttrs(ctx, level, "webhook", slog.String("delivery_id", id), slog.String("type", string(t)),
		slog.String("outcome", string(o)), slog.String("reason", reason))
}

// Lag measures how old a state was when it was applied.
func (i *Inbox) Lag(d time.Duration) { i.lag.Observe(d.Seconds()) }
