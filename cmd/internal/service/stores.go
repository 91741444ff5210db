package service

import (
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// newStores gives what the use cases over profiles need. The server and the
// commands change profiles through the same stores, so that also what a command
// does leaves its events.
func newStores(s *config.Settings, db *postgres.DB, queue *postgres.JobQueue) usecase.ProfilesDeps {
	profiles := postgres.NewProfiles(db)
	return usecase.ProfilesDeps{
		Tx: db, Profiles: profiles, Finder: profiles, Eraser: profiles, Mirror: profiles, Preferences: postgres.NewPreferences(db),
		Audit: postgres.NewAuditLog(db), Events: newOutbox(s, db), Reservations: postgres.NewHandleReservations(db),
		Identities: postgres.NewIdentities(db), Responses: postgres.NewIdempotency(db), Deliveries: postgres.NewWebhookDeliveries(db),
		Queue: queue, Clock: systemClock{}, Hashes: hashesOf(s), Cursors: domain.NewCursors(sealerOf(s)),
	}
}

func hashesOf(s *config.Settings) domain.Pseudonymizer {
	return domain.NewPseudonymizer(s.SecretKey.Reveal(), reveal(s.SecretKeyFallbacks)...)
}
