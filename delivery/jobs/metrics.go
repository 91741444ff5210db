package jobs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how one run of a job ended.
type outcome string

const (
	completed outcome = "completed"
	retried   outcome = "retried"   // failed, and will be run again
	snoozed   outcome = "snoozed"   // put off, because something is away or the process ends
	discarded outcome = "discarded" // failed for the last time: somebody has to look
	cancelled outcome = "cancelled" // by an operator
)

type metrics struct {
	finished *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer, kinds ...string) *metrics {
	m := &metrics{
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jobs_finished_total", Help: "Runs of background jobs, by how they ended.",
		}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "jobs_duration_seconds", Help: "Duration of one run of a background job.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 60},
		}, []string{"kind"}),
	}
	registry.MustRegister(m.finished, m.duration)
	for _, kind := range kinds { // an alert needs the zero
		m.duration.WithLabelValues(kind)
		for _, o := range []outcome{completed, retried, snoozed, discarded, cancelled} {
			m.finished.WithLabelValues(kind, string(o))
		}
	}
	return m
}

func (m *metrics) observe(kind string, o outcome, took time.Duration) {
	m.finished.WithLabelValues(kind, string(o)).Inc()
	m.duration.WithLabelValues(kind).Observe(took.Seconds())
}
