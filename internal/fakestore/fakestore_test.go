package fakestore_test

import (
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

func open(*testing.T) storetest.Stores {
	s := fakestore.New()
	return storetest.Stores{
		Deps:       s.Deps(nil, domain.Pseudonymizer{}),
		Put:        func(_ *testing.T, p domain.Profile) { s.PutProfile(p) },
		MarkErased: func(_ *testing.T, hash string) { s.MarkErased(hash) },
		Events:     func(*testing.T) []domain.AuditEvent { return s.Events() },
		Counts:     func(*testing.T) (int, int, int) { return s.Counts() },
		Refreshes: func(*testing.T) (list []storetest.Refresh) {
			for _, r := range s.QueuedRefreshes() {
				list = append(list, storetest.Refresh(r))
			}
			return list
		},
	}
}

func TestPorts(t *testing.T) { storetest.Ports(t, open) }

func TestProfiles(t *testing.T) { storetest.Profiles(t, open) }

func TestMirror(t *testing.T) { storetest.Mirror(t, open) }

func TestIdempotency(t *testing.T) {
	storetest.Idempotency(t, func(*testing.T) (usecase.IdempotencyDeps, usecase.AuditLog, func(*testing.T) []domain.AuditEvent) {
		s := fakestore.New()
		return s.IdempotencyDeps(nil, domain.Pseudonymizer{}), s.Deps(nil, domain.Pseudonymizer{}).Audit,
			func(*testing.T) []domain.AuditEvent { return s.Events() }
	})
}

func TestJobs(t *testing.T) {
	storetest.Jobs(t, func(*testing.T) storetest.JobStores {
		s := fakestore.New()
		return storetest.JobStores{
			Tx: s, Deletions: s.ClerkDeletions(), Queue: s.JobQueue(), Reservations: s.Reservations(),
			Queued: func(*testing.T) []string { return s.QueuedDeletions() },
		}
	})
}

func TestEvents(t *testing.T) {
	storetest.Events(t, func(*testing.T) storetest.OutboxStores {
		s := fakestore.New()
		return storetest.OutboxStores{Tx: s, Open: func(sinks ...string) storetest.Outbox { return s.Outbox(sinks...) }}
	})
}

func TestInbox(t *testing.T) {
	storetest.Inbox(t, func(*testing.T) storetest.InboxStore {
		s := fakestore.New()
		return storetest.InboxStore{
			Tx: s, Deliveries: s.WebhookDeliveries(), Queue: s.JobQueue(),
			Queued: func(*testing.T) []string { return s.QueuedDeliveries() },
		}
	})
}
