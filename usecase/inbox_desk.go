package usecase

import (
	"context"
	"errors"

	"github.com/profile-api/profile-api/domain"
)

// InboxDeskDeps is what [InboxDesk] needs. All fields are required.
type InboxDeskDeps struct {
	Tx         UnitOfWork
	Deliveries WebhookDeliveries
	Queue      JobQueue
	Clock      Clock
	Observer   InboxObserver
}

// InboxDesk is what operators do with deliveries.
type InboxDesk struct{ deps InboxDeskDeps }

// NewInboxDesk builds the use case.
func NewInboxDesk(deps InboxDeskDeps) *InboxDesk { return &InboxDesk{deps} }

// List gives up to limit deliveries in the states, without their data, those
// received last first.
func (s *InboxDesk) List(ctx context.Context, states []domain.WebhookState, limit int) ([]domain.WebhookDelivery, error) {
	return s.deps.Deliveries.List(ctx, states, limit)
}

// Replayed is what became of the wish to have a delivery applied again.
type Replayed string

// What may become of it.
const (
	ReplayedQueued  Replayed = "queued"
	ReplayedUnknown Replayed = "unknown" // never here, or forgotten after its retention
	ReplayedDone    Replayed = "done"    // applied or ignored: its data is gone
	ReplayedNoData  Replayed = "no data" // dead from the start: nothing of it could be kept
)

// Replay has a delivery applied anew, with all its attempts. One that still has
// a job may then have two, which is harmless. The second value is the state it was in.
func (s *InboxDesk) Replay(ctx context.Context, id string) (Replayed, domain.WebhookState, error) {
	var result Replayed
	var was domain.WebhookState
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		d, err := s.deps.Deliveries.Find(ctx, id)
		if errors.Is(err, domain.NotFound) {
			result = ReplayedUnknown
			return nil
		}
		if err != nil {
			return err
		}
		was = d.State
		if was == domain.WebhookDead && d.SealedData == nil {
			result = ReplayedNoData
			return nil
		}
		revived, err := s.deps.Deliveries.Update(ctx, d.Replayed(s.deps.Clock.Now()), domain.OpenWebhookStates()...)
		if err != nil {
			return err
		}
		if !revived {
			result = ReplayedDone
			return nil
		}
		result = ReplayedQueued
		return s.deps.Queue.EnqueueWebhookDelivery(ctx, id)
	})
	return result, was, err
}

// Dismissed is what became of the wish to give a dead delivery up.
type Dismissed string

// What may become of it.
const (
	DismissedDone    Dismissed = "done"
	DismissedUnknown Dismissed = "unknown" // never here, or forgotten after its retention
	DismissedNotDead Dismissed = "not dead"
	DismissedChanged Dismissed = "changed" // it came again or was replayed at this moment
)

// Dismiss ends a dead delivery that nothing will make applicable: its data goes,
// and a repeat of Clerk's changes nothing any more. The second value is the state
// it was in. Only what is dead as it was read is ended: whatever revives it at the
// same time wins.
func (s *InboxDesk) Dismiss(ctx context.Context, id string, why domain.Dismissal) (Dismissed, domain.WebhookState, error) {
	d, err := s.deps.Deliveries.Find(ctx, id)
	switch {
	case errors.Is(err, domain.NotFound):
		return DismissedUnknown, "", nil
	case err != nil:
		return "", "", err
	case d.State != domain.WebhookDead:
		return DismissedNotDead, d.State, nil
	}
	ended := d.Dismissed(why, s.deps.Clock.Now())
	done, err := s.deps.Deliveries.Update(ctx, ended, domain.WebhookDead)
	if err != nil {
		return "", "", err
	}
	if !done {
		return DismissedChanged, d.State, nil
	}
	s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeIgnored, ended.Reason)
	return DismissedDone, d.State, nil
}
