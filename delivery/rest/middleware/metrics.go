package middleware

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the layers count. No label's value comes from a client.
type Metrics struct {
	duration      *prometheus.HistogramVec
	decisions     *prometheus.CounterVec
	verifications *prometheus.CounterVec
	timeouts      prometheus.Counter
}

// NewMetrics registers the metrics of the chain. The outcomes are those that
// verifications may have beside ok.
func NewMetrics(reg prometheus.Registerer, outcomes ...string) *Metrics {
	m := &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from the first layer to the answer, by method, route template and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rate_limit_decisions_total",
			Help: "Requests by the policy that decided and the outcome: allowed, refused or bypassed; _local when this replica decided alone.",
		}, []string{"policy", "outcome"}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_token_verifications_total", Help: "Presented tokens by outcome.",
		}, []string{"outcome"}),
		timeouts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "request_timeouts_total", Help: "Requests that were answered 504 because they took too long.",
		}),
	}
	reg.MustRegister(m.duration, m.decisions, m.verifications, m.timeouts)
	// A series that is not there cannot be alerted on: the usual ones begin at zero.
	for _, o := range append(outcomes, "ok") {
		m.verifications.WithLabelValues(o)
	}
	for _, policy := range []string{"user", "ip", "global"} {
		for _, o := range []string{"allowed", "refused", "allowed_local", "refused_local"} {
			m.decisions.WithLabelValues(policy, o)
		}
	}
	return m
}

func (m *Metrics) observe(method, route, status string, elapsed time.Duration) {
	m.duration.WithLabelValues(method, route, status).Observe(elapsed.Seconds())
}
