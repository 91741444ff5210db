package service

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// NewReconcile wires the walk through Clerk's users, for the server's job and for
// the command.
func NewReconcile(s *config.Settings, db *postgres.DB, users *clerk.Users) (*usecase.Reconcile, error) {
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		return nil, err
	}
	stores := newStores(s, db, queue)
	return newReconcile(s, db, stores, users, usecase.NewMirror(stores)), nil
}

func newReconcile(s *config.Settings, db *postgres.DB, stores usecase.ProfilesDeps, users *clerk.Users, mirror *usecase.Mirror) *usecase.Reconcile {
	runs := postgres.NewReconciliations(db)
	return usecase.NewReconcile(usecase.ReconcileDeps{
		Tx: db, Clerk: users, Runs: runs, Lease: runs, People: runs, Identities: stores.Identities, Hashes: stores.Hashes, Clock: stores.Clock,
		MaxErasePercent: s.ReconcileMaxErasePercent, Mirror: mirror,
	})
}

// NewClerkUsers makes what asks Clerk about users; tracer may be nil.
func NewClerkUsers(s *config.Settings, tracer trace.Tracer) (*clerk.Users, error) {
	return clerk.NewUsers(clerk.UsersOptions{APIURL: s.ClerkAPIURL, SecretKey: s.ClerkSecretKey.Reveal(), Clock: systemClock{}, Spans: tracer})
}

var reconcileFinished = prometheus.NewDesc("reconcile_last_finished_timestamp_seconds",
	"When the last reconciliation came to its end, the command's included; absent when none ever did.", nil, nil)

// reconcileCollector asks the database when it is scraped: a command that ran
// elsewhere counts too.
type reconcileCollector struct{ runs usecase.ReconcileRuns }

// Describe lists the metric.
func (c reconcileCollector) Describe(ch chan<- *prometheus.Desc) { ch <- reconcileFinished }

// Collect reads it. While the database is away it is absent: an old time would be a lie.
func (c reconcileCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	last, err := c.runs.LastFinished(ctx)
	if err != nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(reconcileFinished, prometheus.GaugeValue, float64(last.FinishedAt.UnixMilli())/1000)
}
