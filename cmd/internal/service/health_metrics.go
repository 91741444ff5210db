package service

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	healthStatus = prometheus.NewDesc("health_status", "What /health says, overall and of each check: 2 healthy, 1 degraded, 0 unhealthy.", []string{"check"}, nil)
	diskFree     = prometheus.NewDesc("disk_free_percent", "Share of the disk of DISK_PATH that is free, 0 to 100.", nil, nil)
)

// healthLevels orders the states, so that a rule can ask for "worse than".
var healthLevels = map[usecase.HealthStatus]float64{usecase.Healthy: 2, usecase.Degraded: 1, usecase.Unhealthy: 0}

// healthCollector asks when it is scraped, through the health use case's memory:
// what Prometheus sees is what /health answers in that second.
type healthCollector struct{ health *usecase.Health }

// Describe lists the metrics.
func (c healthCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- healthStatus
	ch <- diskFree
}

// Collect reads the report. A disk that cannot be measured has no free share: its check tells.
func (c healthCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	report := c.health.Report(ctx)
	ch <- prometheus.MustNewConstMetric(healthStatus, prometheus.GaugeValue, healthLevels[report.Status], "overall")
	for name, check := range report.Checks {
		ch <- prometheus.MustNewConstMetric(healthStatus, prometheus.GaugeValue, healthLevels[check.Status], name)
	}
	if free := report.Checks["disk"].FreePercent; free != nil {
		ch <- prometheus.MustNewConstMetric(diskFree, prometheus.GaugeValue, *free)
	}
}

var oldestWaiting = prometheus.NewDesc("webhook_oldest_waiting_seconds",
	"Age of the oldest delivery of Clerk's that was taken and is not applied yet, 0 when there is none.", nil, nil)

// waitingCollector asks the database when it is scraped, as [jobsCollector] does.
// webhook_lag_seconds measures only what was applied in the end, and so says
// nothing while no job runs at all; this does.
type waitingCollector struct{ db *postgres.DB }

// Describe lists the metric.
func (c waitingCollector) Describe(ch chan<- *prometheus.Desc) { ch <- oldestWaiting }

// Collect measures the age.
func (c waitingCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	oldest, err := c.db.OldestWaitingDelivery(ctx)
	if err != nil {
		return
	}
	age := time.Duration(0)
	if oldest != nil {
		age = max(0, systemClock{}.Now().Sub(*oldest))
	}
	ch <- prometheus.MustNewConstMetric(oldestWaiting, prometheus.GaugeValue, age.Seconds())
}
