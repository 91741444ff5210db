package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// MirrorOutcome is what became of a state of somebody at Clerk.
type MirrorOutcome string

// The outcomes.
const (
	MirrorCreated   MirrorOutcome = "created"
	MirrorUpdated   MirrorOutcome = "updated"
	MirrorUnchanged MirrorOutcome = "unchanged"
	MirrorStale     MirrorOutcome = "stale"
	MirrorErased    MirrorOutcome = "erased" // bears the mark of an erasure; nothing was done
)

const clerkSuspension = "Banned or locked at Clerk."

// Mirror brings profiles in step with people at Clerk.
type Mirror struct{ deps ProfilesDeps }

// NewMirror builds the use case.
func NewMirror(deps ProfilesDeps) *Mirror { return &Mirror{deps} }

// Apply brings the person's profile to that state, and creates it when it is missing.
func (s *Mirror) Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (outcome MirrorOutcome, err error) {
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		outcome, err = s.apply(ctx, u)
		return err
	})
	return outcome, err
}

func (s *Mirror) apply(ctx context.Context, u domain.ClerkUser) (MirrorOutcome, error) {
	if err := s.deps.Identities.LockForCreation(ctx, u.ID); err != nil {
		return "", err
	}
	erased, err := s.deps.Identities.Erased(ctx, s.deps.Hashes.Candidates(domain.PurposeErasedIdentity, u.ID))
	if err != nil || erased {
		return MirrorErased, err
	}
	p, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, u.ID)
	created := errors.Is(err, domain.NotFound)
	if created {
		p, err = s.create(ctx, u.ID)
	}
	if err != nil {
		return "", err
	}
	if p.ClerkUpdatedAt != nil && p.ClerkUpdatedAt.After(u.UpdatedAt) {
		return MirrorStale, nil
	}
	changed := mirrored(p, u, s.deps.Clock.Now())
	if len(changed) == 0 {
		return MirrorUnchanged, nil
	}
	p.Version++
	if err := s.deps.Profiles.Update(ctx, p, changed); err != nil || created {
		return MirrorCreated, err
	}
	return MirrorUpdated, s.audit(ctx, domain.ActionProfileUpdated, p.ID, domain.ActorSystem)
}

func (s *Mirror) create(ctx context.Context, id string) (*domain.Profile, error) {
	handle, err := s.handle()
	if err != nil {
		return nil, err
	}
	p := domain.NewProfile(id, handle, s.deps.Clock.Now())
	if ok, err := s.deps.Profiles.Insert(ctx, p); err != nil || !ok {
		return nil, errors.Join(err, errNoFreeHandle)
	}
	if err := s.deps.Preferences.Insert(ctx, domain.DefaultPreferences(p.ID, p.CreatedAt)); err != nil {
		return nil, err
	}
	return p, s.audit(ctx, domain.ActionProfileCreated, p.ID, domain.ActorSystem)
}

func (s *Mirror) handle() (string, error) { return NewProfiles(s.deps).deps.NewHandle() }

func mirrored(p *domain.Profile, u domain.ClerkUser, now time.Time) (changed []string) {
	if p.ClerkUpdatedAt == nil || !p.ClerkUpdatedAt.Equal(u.UpdatedAt) {
		at := u.UpdatedAt
		p.ClerkUpdatedAt, changed = &at, append(changed, "clerk_updated_at")
	}
	set := func(name string, field **string, to *string) {
		if (*field == nil) != (to == nil) || to != nil && **field != *to {
			*field, changed = to, append(changed, name)
		}
	}
	set("email", &p.Email, u.Email)
	set("avatar_url", &p.AvatarURL, u.AvatarURL)
	if u.Suspended != (p.Status == domain.StatusSuspended) && (u.Suspended || p.SuspendedReason != nil && *p.SuspendedReason == clerkSuspension) {
		p.Status, p.SuspendedReason = domain.StatusActive, nil
		if reason := clerkSuspension; u.Suspended {
			p.Status, p.SuspendedReason = domain.StatusSuspended, &reason
		}
		changed = append(changed, "status", "suspended_reason")
	}
	if len(changed) > 0 {
		p.UpdatedAt = p.NotBefore(now)
	}
	return changed
}

// Remove erases somebody who is gone at Clerk and leaves the mark of it.
func (s *Mirror) Remove(ctx context.Context, clerkUserID string, actor domain.ActorKind) (removed bool, err error) {
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		removed = false
		if err := s.deps.Identities.LockForErasure(ctx, clerkUserID); err != nil {
			return err
		}
		now := s.deps.Clock.Now()
		if err := s.deps.Identities.MarkErased(ctx, s.deps.Hashes.Hash(domain.PurposeErasedIdentity, clerkUserID), now); err != nil {
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
		return errors.Join(s.deps.Eraser.Delete(ctx, p.ID), s.deps.Responses.DeleteBySubject(ctx, p.ID),
			s.audit(ctx, domain.ActionProfileErased, p.ID, actor))
	})
	return removed, err
}

func (s *Mirror) audit(ctx context.Context, action domain.AuditAction, profileID string, actor domain.ActorKind) error {
	now := s.deps.Clock.Now()
	return s.deps.Audit.Append(ctx, domain.AuditEvent{
		ID: domain.NewID(now), OccurredAt: now.UTC().Truncate(time.Microsecond), Action: action, ActorKind: actor, ProfileID: profileID, ChangedFields: []string{},
	})
}
