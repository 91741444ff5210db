// Package teststores wires the real stores for tests, in one place, as the
// composition root does for the program.
package teststores

import (
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// Over gives every store over the database; sinks are the keys of the outbox's.
func Over(db *postgres.DB, clock usecase.Clock, hashes domain.Pseudonymizer, cursors domain.Cursors, sinks ...string) usecase.ProfilesDeps {
	profiles := postgres.NewProfiles(db)
	return usecase.ProfilesDeps{
		Tx: db, Profiles: profiles, Finder: profiles, Eraser: profiles, Mirror: profiles, Preferences: postgres.NewPreferences(db),
		Audit: postgres.NewAuditLog(db), Events: postgres.NewEventOutbox(db, sinks...), Reservations: postgres.NewHandleReservations(db),
		Identities: postgres.NewIdentities(db), Responses: postgres.NewIdempotency(db), Deliveries: postgres.NewWebhookDeliveries(db),
		Queue: Queue(db), Clock: clock, Hashes: hashes, Cursors: cursors,
	}
}

// Queue is the job queue. That it cannot be made is a fault of ours, whatever the database.
func Queue(db *postgres.DB) *postgres.JobQueue {
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		panic(err)
	}
	return queue
}
