package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/delivery/firewall"
)

// Outcomes of a request: a fixed set.
const (
	outcomePassed   = "passed"   // judged and handed on, whatever the API says
	outcomeDetected = "detected" // would be stopped, were it not for detection-only mode
	outcomeStopped  = "stopped"  // 403 by the rules
	outcomeTooLarge = "too_large"
	outcomeUnread   = "unread"  // the body never became whole
	outcomeHealth   = "health"  // a probe, which is not judged
	outcomeCrowded  = "crowded" // large, and no place came free to judge it: 503, or handed on in detection-only mode
	outcomeFailed   = "failed"  // could not be judged: the same
	outcomeGone     = "gone"    // the client left before its request was judged
)

// metrics have labels from fixed sets only, and begin at zero.
type metrics struct {
	requests         *prometheus.CounterVec // by outcome
	stopped          *prometheus.CounterVec // by group of rules; a request counts once for each of its groups
	seconds          prometheus.Histogram
	upstreamFailures prometheus.Counter
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waf_requests_total", Help: "Requests by outcome.",
		}, []string{"outcome"}),
		stopped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waf_stopped_total", Help: "Requests that were stopped, or would be, by group of rules.",
		}, []string{"group"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "waf_inspection_duration_seconds", Help: "Time to judge one request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
		}),
		upstreamFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waf_upstream_failures_total", Help: "Requests that the API did not answer, or not to the end.",
		}),
	}
	registry.MustRegister(m.requests, m.stopped, m.seconds, m.upstreamFailures)
	for _, o := range []string{
		outcomePassed, outcomeDetected, outcomeStopped, outcomeTooLarge, outcomeUnread, outcomeHealth, outcomeCrowded, outcomeFailed, outcomeGone,
	} {
		m.requests.WithLabelValues(o)
	}
	for _, g := range firewall.Groups {
		m.stopped.WithLabelValues(g)
	}
	return m
}

func (m *metrics) count(outcome string) { m.requests.WithLabelValues(outcome).Inc() }

func (m *metrics) took(d time.Duration) { m.seconds.Observe(d.Seconds()) }
