package usecase

import (
	"context"
	"errors"

	"github.com/profile-api/profile-api/domain"
)

// ClerkDeletionDeps is what [ClerkDeletion] needs. All fields are required.
type ClerkDeletionDeps struct {
	Tx        UnitOfWork
	Deletions ClerkDeletions
	Queue     JobQueue
	Users     ClerkUsers
	Sealer    domain.Sealer
	Clock     Clock
}

// ClerkDeletion has people who were erased here deleted at Clerk too, which may
// be away for days.
type ClerkDeletion struct{ deps ClerkDeletionDeps }

// NewClerkDeletion builds the use case.
func NewClerkDeletion(deps ClerkDeletionDeps) *ClerkDeletion { return &ClerkDeletion{deps} }

// Request notes that the person must be deleted at Clerk and has a job do it.
// The erasure calls it inside its transaction: both happen or neither.
func (s *ClerkDeletion) Request(ctx context.Context, clerkUserID string) error {
	d, err := domain.NewClerkDeletion(clerkUserID, s.deps.Sealer, s.deps.Clock.Now())
	if err != nil {
		return err
	}
	return s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		if err := s.deps.Deletions.Insert(ctx, d); err != nil {
			return err
		}
		return s.deps.Queue.EnqueueClerkDeletion(ctx, d.ID)
	})
}

// Run deletes the person at Clerk and then forgets the id. It may be run any
// number of times, also at once: who comes late finds nothing to do. Clerk is
// asked outside of any transaction, so that its slowness holds no connection.
// Errors: kind Unavailable when it should be run again later; any other kind
// when somebody has to look.
func (s *ClerkDeletion) Run(ctx context.Context, id string) error {
	d, err := s.deps.Deletions.Find(ctx, id)
	if errors.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	clerkUserID, err := d.ClerkUserID(s.deps.Sealer)
	if err != nil {
		return err
	}
	if err := s.deps.Users.DeleteUser(ctx, clerkUserID); err != nil {
		return err
	}
	return s.deps.Deletions.Delete(ctx, id)
}
