package service

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	poolMax       = prometheus.NewDesc("db_pool_max_connections", "Connections that the pool may open.", nil, nil)
	poolOpen      = prometheus.NewDesc("db_pool_open_connections", "Connections by state.", []string{"state"}, nil)
	poolAcquires  = prometheus.NewDesc("db_pool_acquires_total", "Connections taken from the pool.", nil, nil)
	poolWaits     = prometheus.NewDesc("db_pool_waits_total", "Connections that had to be waited for.", nil, nil)
	poolWaited    = prometheus.NewDesc("db_pool_wait_seconds_total", "Time spent waiting for a connection.", nil, nil)
	poolAbandoned = prometheus.NewDesc("db_pool_abandoned_total", "Waits that were given up: the pool was exhausted or the client gone.", nil, nil)
	poolOpened    = prometheus.NewDesc("db_pool_connections_opened_total", "Connections made.", nil, nil)
)

// poolCollector reads the pool's own counters when asked.
type poolCollector struct{ db *postgres.DB }

// Describe lists the metrics.
func (c poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolMax, poolOpen, poolAcquires, poolWaits, poolWaited, poolAbandoned, poolOpened} {
		ch <- d
	}
}

// Collect reads them.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.db.Stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(poolMax, float64(s.MaxOpen))
	gauge(poolOpen, float64(s.InUse), "in_use")
	gauge(poolOpen, float64(s.Idle), "idle")
	gauge(poolOpen, float64(s.Connecting), "connecting")
	counter(poolAcquires, float64(s.Acquires))
	counter(poolWaits, float64(s.Waits))
	counter(poolWaited, s.WaitDuration.Seconds())
	counter(poolAbandoned, float64(s.Abandoned))
	counter(poolOpened, float64(s.Opened))
}

var (
	jobsUnfinished = prometheus.NewDesc("jobs_unfinished", "Background jobs that are still to be done, by state.", []string{"state"}, nil)
	jobsGivenUp    = prometheus.NewDesc("jobs_given_up", "Background jobs that were given up and whose work is still undone, by kind.", []string{"kind"}, nil)
)

// foreignKind stands for all kinds that this release does not know, as after a rollback.
const foreignKind = "other"

// jobsCollector asks the database when it is scraped. While that is away, or its
// schema is older, the metrics are absent: zero would be a lie. What was given up is
// read there too, and not only counted by the workers: River discards a job by
// itself when the process was killed in its last attempt, or when no worker takes it.
type jobsCollector struct{ db *postgres.DB }

// Describe lists the metrics.
func (c jobsCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- jobsUnfinished
	ch <- jobsGivenUp
}

// Collect counts the jobs.
func (c jobsCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	counts, err := c.db.UnfinishedJobs(ctx)
	if err != nil {
		return
	}
	for state, n := range counts {
		ch <- prometheus.MustNewConstMetric(jobsUnfinished, prometheus.GaugeValue, float64(n), state)
	}
	discarded, err := c.db.DiscardedJobs(ctx)
	if err != nil {
		return
	}
	kinds := map[string]int64{foreignKind: 0}
	for _, kind := range domain.JobKinds() { // an alert needs the zero
		kinds[kind] = 0
	}
	for kind, n := range discarded {
		if _, known := kinds[kind]; !known {
			kind = foreignKind
		}
		kinds[kind] += n
	}
	for kind, n := range kinds {
		ch <- prometheus.MustNewConstMetric(jobsGivenUp, prometheus.GaugeValue, float64(n), kind)
	}
}

var openDeliveries = prometheus.NewDesc("webhook_deliveries", "Deliveries of Clerk's that are not done with, by state.", []string{"state"}, nil)

// deliveriesCollector asks the database when it is scraped, as [jobsCollector] does.
type deliveriesCollector struct{ db *postgres.DB }

// Describe lists the metric.
func (c deliveriesCollector) Describe(ch chan<- *prometheus.Desc) { ch <- openDeliveries }

// Collect counts the deliveries.
func (c deliveriesCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	counts, err := c.db.OpenDeliveries(ctx)
	if err != nil {
		return
	}
	for state, n := range counts {
		ch <- prometheus.MustNewConstMetric(openDeliveries, prometheus.GaugeValue, float64(n), string(state))
	}
}

var dependencyUp = prometheus.NewDesc("dependency_up", "1 when the dependency answers, else 0.", []string{"dependency"}, nil)

// dependencyCollector asks when it is scraped, through the health use case's memory.
type dependencyCollector struct {
	health *usecase.Health
	keys   usecase.Probe
}

// Describe lists the metric.
func (c dependencyCollector) Describe(ch chan<- *prometheus.Desc) { ch <- dependencyUp }

// Collect asks each dependency.
func (c dependencyCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	up := func(name string, ok bool) {
		v := 0.0
		if ok {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(dependencyUp, prometheus.GaugeValue, v, name)
	}
	checks := c.health.Report(ctx).Checks
	up("database", checks["database"].Status == usecase.Healthy)
	up("cache", checks["cache"].Status == usecase.Healthy)
	up("clerk", c.keys.Check(ctx) == nil)
}

// keyAge is how old the key set is, infinite while there is none: an alert on
// its age then fires too.
func keyAge(keys interface{ Age() (time.Duration, bool) }) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "auth_key_age_seconds", Help: "Age of the key set that tokens are verified with; +Inf while there is none.",
	}, func() float64 {
		age, ok := keys.Age()
		if !ok {
			return math.Inf(1)
		}
		return age.Seconds()
	})
}
