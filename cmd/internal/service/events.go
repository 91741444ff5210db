package service

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/events"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/eventsink"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/repository/valkey"
	"github.com/profile-api/profile-api/usecase"
)

// eventSink is one place that events are brought to, as the settings have it.
type eventSink struct {
	usecase.EventSink

	key   string // in the outbox
	label string // in metrics and logs
}

// eventSinks lists the sinks: the endpoints in their order, then the stream.
func eventSinks(s *config.Settings, cache *redis.Client) ([]eventSink, error) {
	var sinks []eventSink
	if len(s.EventsWebhookURLs) > 0 {
		secrets, err := domain.NewWebhookSecrets(reveal(s.EventsWebhookSecret))
		if err != nil {
			return nil, err
		}
		for i, endpoint := range reveal(s.EventsWebhookURLs) {
			sink, err := eventsink.NewHTTP(endpoint, secrets, systemClock{})
			if err != nil {
				return nil, err
			}
			sinks = append(sinks, eventSink{sink, eventsink.KeyOf(endpoint), fmt.Sprintf("http_%d", i+1)})
		}
	}
	if s.EventsStream != "" {
		sinks = append(sinks, eventSink{valkey.NewStream(cache, s.EventsStream, s.EventsStreamMaxLen), valkey.StreamKey, "stream"})
	}
	return sinks, nil
}

// newOutbox makes the outbox that changes write their events into, for the sinks
// of [eventSinks].
func newOutbox(s *config.Settings, db *postgres.DB) *postgres.EventOutbox {
	var keys []string
	for _, endpoint := range reveal(s.EventsWebhookURLs) {
		keys = append(keys, eventsink.KeyOf(endpoint))
	}
	if s.EventsStream != "" {
		keys = append(keys, valkey.StreamKey)
	}
	return postgres.NewEventOutbox(db, keys...)
}

// newEvents wires what brings the outbox's events to the sinks, and its metrics.
func newEvents(
	ctx context.Context, log *slog.Logger, outbox *postgres.EventOutbox, sinks []eventSink, migrator *postgres.Migrator, registry prometheus.Registerer,
) *events.Runner {
	clock := systemClock{}
	deps := events.Deps{Queue: outbox, Migrations: migrator, Clock: clock, Registry: registry, Log: log}
	labels := map[string]string{}
	for _, sink := range sinks {
		labels[sink.key] = sink.label
		deps.Sinks = append(deps.Sinks, events.Sink{Label: sink.label, Dispatch: usecase.NewEventDispatch(usecase.EventDispatchDeps{
			Queue: outbox, Sink: sink, Key: sink.key, Clock: clock,
		})})
	}
	registry.MustRegister(outboxCollector{outbox, labels})
	return events.New(ctx, deps)
}

var (
	outboxPending = prometheus.NewDesc("event_outbox_pending", "Events that a sink has not taken yet, counted up to 100000.", []string{"sink"}, nil)
	outboxOldest  = prometheus.NewDesc("event_outbox_oldest_seconds", "Age of the oldest event that a sink has not taken yet, 0 when there is none.",
		[]string{"sink"}, nil)
)

// outboxCollector asks the database when it is scraped. While that is away, or its
// schema is older, the metrics are absent: zero would be a lie.
type outboxCollector struct {
	outbox *postgres.EventOutbox
	labels map[string]string // by the sink's key
}

// Describe lists the metrics.
func (c outboxCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- outboxPending
	ch <- outboxOldest
}

// Collect asks what waits.
func (c outboxCollector) Collect(ch chan<- prometheus.Metric) {
	if len(c.labels) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	backlogs, err := c.outbox.Backlogs(ctx)
	if err != nil {
		return
	}
	now := systemClock{}.Now()
	for _, b := range backlogs {
		age := time.Duration(0)
		if b.Oldest != nil {
			age = max(0, now.Sub(*b.Oldest))
		}
		ch <- prometheus.MustNewConstMetric(outboxPending, prometheus.GaugeValue, float64(b.Pending), c.labels[b.Sink])
		ch <- prometheus.MustNewConstMetric(outboxOldest, prometheus.GaugeValue, age.Seconds(), c.labels[b.Sink])
	}
}

// drainers come to an end at the same time, so that all together take no longer than one.
type drainers []drainer

// Drain waits for all.
func (d drainers) Drain(ctx context.Context) {
	var all sync.WaitGroup
	for _, one := range d {
		all.Go(func() { one.Drain(ctx) })
	}
	all.Wait()
}
