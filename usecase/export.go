package usecase

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/profile-api/profile-api/domain"
)

// Export gives people everything that is stored about them.
type Export struct {
	deps   ProfilesDeps
	sealer domain.Sealer
}

// NewExport builds the use case. The sealer is that of [InboxDeps].
func NewExport(deps ProfilesDeps, sealer domain.Sealer) *Export { return &Export{deps, sealer} }

// Bundle is everything stored about one person. The audit trail is as long as
// the person's history, so it is read page by page while it is written out; no
// transaction and no connection waits for a slow reader.
type Bundle struct {
	Profile      *domain.Profile
	Preferences  *domain.Preferences
	Reservations []domain.HandleReservation // released handles kept for the person, by their hash
	Responses    []domain.IdempotencyRecord // answers to admins that tell of the person, kept for a day
	Deliveries   []ExportedDelivery         // what Clerk has told of the person and is not applied yet, or could not be; the newest [domain.MaxSubjectDeliveries]
	NewestEvent  string                     // id; with the rest it tells whether anything changed since an earlier export
	Events       iter.Seq2[domain.AuditEvent, error]
}

// ExportedDelivery is a delivery of Clerk's with what it says; nil when it was
// sealed under a key that is lost.
type ExportedDelivery struct {
	domain.WebhookDelivery

	Data json.RawMessage
}

// Own gathers the bundle of the caller, whose profile is at hand. A failure after
// it returned comes as the last element of Events. Error: account-erased (401).
func (s *Export) Own(ctx context.Context, p *domain.Profile) (*Bundle, error) {
	preferences, err := s.deps.Preferences.ByProfileID(ctx, p.ID)
	if errors.Is(err, domain.NotFound) { // erased since the caller was let in
		return nil, errAccountErased
	}
	if err != nil {
		return nil, err
	}
	now := s.deps.Clock.Now()
	reservations, err := s.deps.Reservations.OfProfile(ctx, p.ID, now)
	if err != nil {
		return nil, err
	}
	responses, err := s.deps.Responses.BySubject(ctx, p.ID, now)
	if err != nil {
		return nil, err
	}
	deliveries, err := s.deliveries(ctx, p.ClerkUserID)
	if err != nil {
		return nil, err
	}
	first, err := s.events(ctx, p.ID, nil)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Profile: p, Preferences: preferences, Reservations: reservations, Responses: responses, Deliveries: deliveries}
	if len(first) > 0 {
		b.NewestEvent = first[0].ID
	}
	b.Events = func(yield func(domain.AuditEvent, error) bool) {
		page := first
		for {
			for _, e := range page {
				if !yield(e.SeenByOwner(), nil) {
					return
				}
			}
			if len(page) < domain.MaxPageSize {
				return
			}
			after := auditPosition(&page[len(page)-1])
			var err error
			if page, err = s.events(ctx, p.ID, &after); err != nil {
				yield(domain.AuditEvent{}, err)
				return
			}
		}
	}
	return b, nil
}

func (s *Export) deliveries(ctx context.Context, clerkUserID string) ([]ExportedDelivery, error) {
	found, err := s.deps.Deliveries.OfSubject(ctx, domain.WebhookSubjectHashes(s.deps.Hashes, clerkUserID))
	if err != nil {
		return nil, err
	}
	list := make([]ExportedDelivery, len(found))
	for i, d := range found {
		list[i].WebhookDelivery = d
		if event, err := d.Event(s.sealer); err == nil {
			list[i].Data = event.Data
		}
	}
	return list, nil
}

func (s *Export) events(ctx context.Context, profileID string, after *domain.AuditPosition) ([]domain.AuditEvent, error) {
	return s.deps.Audit.List(ctx, domain.AuditFilter{ProfileID: profileID}, after, domain.MaxPageSize)
}
