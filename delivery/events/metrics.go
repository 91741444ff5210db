package events

import "github.com/prometheus/client_golang/prometheus"

// How a try ended.
const (
	delivered = "delivered"
	failed    = "failed" // and will be tried again
)

func newMetrics(registry prometheus.Registerer, sinks []Sink) *prometheus.CounterVec {
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "event_deliveries_total", Help: "Tries to bring an event to a sink, by how they ended.",
	}, []string{"sink", "outcome"})
	registry.MustRegister(deliveries)
	for _, sink := range sinks { // an alert needs the zero
		deliveries.WithLabelValues(sink.Label, delivered)
		deliveries.WithLabelValues(sink.Label, failed)
	}
	return deliveries
}
