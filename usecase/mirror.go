package usecase

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/profile-api/profile-api/domain"
)

// MirrorOutcome is what came of a state of Clerk's.
type MirrorOutcome string

// The outcomes.
const (
	MirrorCreated   MirrorOutcome = "created"
	MirrorUpdated   MirrorOutcome = "updated"
	MirrorUnchanged MirrorOutcome = "unchanged"
	MirrorStale     MirrorOutcome = "stale"
	MirrorErased    MirrorOutcome = "erased"
)

// Mirror keeps profiles in step with Clerk.
type Mirror struct{ deps ProfilesDeps }

// NewMirror builds the use case.
func NewMirror(deps ProfilesDeps) *Mirror { return &Mirror{deps} }

// Apply creates the profile when it is missing.
func (s *Mirror) Apply(ctx context.Context, u domain.ClerkUser, _ domain.MirrorSource) (MirrorOutcome, error) {
	outcome := MirrorUnchanged
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		if err := s.deps.Identities.LockForCreation(ctx, u.ID); err != nil {
			return err
		}
		erased, err := s.deps.Identities.Erased(ctx, s.deps.Hashes.Candidates(domain.PurposeErasedIdentity, u.ID))
		if erased || err != nil {
			outcome = MirrorErased
			return err
		}
		p, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, u.ID)
		if err == nil && p.ClerkUpdatedAt != nil && p.ClerkUpdatedAt.After(u.UpdatedAt) {
			outcome = MirrorStale
		}
		if !errors.Is(err, domain.NotFound) {
			return err
		}
		handle, err := domain.NewHandle(rand.Reader)
		if err != nil {
			return err
		}
		outcome = MirrorCreated
		p = domain.NewProfile(u.ID, handle, s.deps.Clock.Now())
		p.ClerkUpdatedAt = &u.UpdatedAt
		if _, err = s.deps.Profiles.Insert(ctx, p); err != nil {
			return err
		}
		return s.deps.Preferences.Insert(ctx, domain.DefaultPreferences(p.ID, p.CreatedAt))
	})
	return outcome, err
}

// Remove erases the person and leaves the mark.
func (s *Mirror) Remove(ctx context.Context, clerkUserID string, _ domain.ActorKind) (removed bool, err error) {
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		removed = false
		if err := s.deps.Identities.LockForErasure(ctx, clerkUserID); err != nil {
			return err
		}
		mark := s.deps.Hashes.Hash(domain.PurposeErasedIdentity, clerkUserID)
		if err := s.deps.Identities.MarkErased(ctx, mark, s.deps.Clock.Now()); err != nil {
			return err
		}
		p, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, clerkUserID)
		if errors.Is(err, domain.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		removed = true
		return s.deps.Eraser.Delete(ctx, p.ID)
	})
	return removed, err
}
