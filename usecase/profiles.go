package usecase

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// ProfilesDeps is what [Profiles] needs. All fields but NewHandle are required.
type ProfilesDeps struct {
	Tx           UnitOfWork
	Profiles     ProfileStore
	Preferences  PreferencesStore
	Audit        AuditLog
	Reservations HandleReservations
	Identities   IdentityRegister
	Clock        Clock
	Hashes       domain.Pseudonymizer
	NewHandle    func() (string, error) // a random handle; nil: domain.NewHandle over crypto/rand
}

// Profiles is what people do with profiles.
type Profiles struct{ ProfilesDeps }

// NewProfiles builds the use case.
func NewProfiles(deps ProfilesDeps) *Profiles { return &Profiles{deps} }

// Resolve gives the caller's own profile and creates it on their first request.
// It costs one statement when the profile exists. Errors: account-erased (401),
// account-suspended (403).
func (s *Profiles) Resolve(ctx context.Context, caller domain.Caller) (*domain.Profile, error) {
	return nil, domain.UnavailableError(nil, 0)
}

// UpdateOwn applies a merge patch to the caller's own profile, which it creates
// first when need be, and returns the profile as stored. A patch that changes
// nothing leaves version and audit trail alone. Errors: account-erased (401),
// account-suspended (403), handle-taken (409), precondition-failed (412),
// validation-failed (422).
func (s *Profiles) UpdateOwn(ctx context.Context, caller domain.Caller, patch domain.ProfilePatch, ifMatch domain.IfMatch) (*domain.Profile, error) {
	return nil, domain.UnavailableError(nil, 0)
}

// ByHandle gives the profile under a handle, whatever the case, at the cost of
// one statement. Error: not-found, alike for a handle that is ill-formed or
// unknown and for a profile that the viewer may not see.
func (s *Profiles) ByHandle(ctx context.Context, handle string, viewer domain.Principal) (*domain.Profile, error) {
	return nil, domain.UnavailableError(nil, 0)
}
