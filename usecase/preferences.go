package usecase

import (
	"context"
	"errors"

	"github.com/profile-api/profile-api/domain"
)

// Preferences is what people do with their preferences.
type Preferences struct{ deps ProfilesDeps }

// NewPreferences builds the use case.
func NewPreferences(deps ProfilesDeps) *Preferences { return &Preferences{deps} }

// Own gives the preferences of the caller, whose profile exists.
func (s *Preferences) Own(ctx context.Context, caller domain.Caller) (*domain.Preferences, error) {
	p, err := s.deps.Preferences.ByProfileID(ctx, caller.ProfileID)
	if errors.Is(err, domain.NotFound) { // erased since the caller was let in
		return nil, errAccountErased
	}
	return p, err
}

// UpdateOwn applies a merge patch and returns the preferences as stored. A patch
// that changes nothing leaves version and audit trail alone. Errors:
// account-erased (401), account-suspended (403), precondition-failed (412),
// validation-failed (422).
func (s *Preferences) UpdateOwn(
	ctx context.Context, caller domain.Caller, patch domain.PreferencesPatch, ifMatch domain.IfMatch,
) (*domain.Preferences, error) {
	var p *domain.Preferences
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		// The profile's row is the lock, and tells whether the person may still write.
		profile, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, caller.UserID)
		if errors.Is(err, domain.NotFound) {
			return errAccountErased
		}
		if err != nil {
			return err
		}
		if err := s.deps.refuseSuspended(profile); err != nil {
			return err
		}
		if p, err = s.deps.Preferences.ByProfileID(ctx, profile.ID); err != nil {
			return err
		}
		if !ifMatch.Allows(p.Version) {
			return errStaleVersion
		}
		changed, err := p.Apply(patch, s.deps.Clock.Now()) // after the wait for the row
		if err != nil || len(changed) == 0 {
			return err
		}
		if err := s.deps.Preferences.Update(ctx, p); err != nil {
			return err
		}
		return s.deps.Audit.Append(ctx, domain.OwnAuditEvent(domain.ActionPreferencesUpdated, profile.ID, caller, s.deps.Hashes, changed, p.UpdatedAt))
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}
