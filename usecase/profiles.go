package usecase

import (
	"context"
	"crypto/rand"
	"errors"

	"golang.org/x/sync/singleflight"

	"github.com/profile-api/profile-api/domain"
)

// ProfilesDeps is what the use cases over profiles need. All fields but NewHandle are required.
type ProfilesDeps struct {
	Tx           UnitOfWork
	Profiles     ProfileStore
	Finder       ProfileFinder
	Eraser       ProfileEraser
	Mirror       ProfileMirror
	Preferences  PreferencesStore
	Audit        AuditLog
	Events       EventOutbox
	Reservations HandleReservations
	Identities   IdentityRegister
	Responses    StoredResponses
	Deliveries   SubjectDeliveries
	Queue        JobQueue
	Clock        Clock
	Hashes       domain.Pseudonymizer
	Cursors      domain.Cursors
	NewHandle    func() (string, error) // a random handle; nil: domain.NewHandle over crypto/rand
}

// Profiles is what people do with profiles.
type Profiles struct {
	deps  ProfilesDeps
	first singleflight.Group // first requests under way, by Clerk id
}

// NewProfiles builds the use case.
func NewProfiles(deps ProfilesDeps) *Profiles { return &Profiles{deps: deps.withDefaults()} }

func (d ProfilesDeps) withDefaults() ProfilesDeps {
	if d.NewHandle == nil {
		d.NewHandle = func() (string, error) { return domain.NewHandle(rand.Reader) }
	}
	return d
}

// Resolve gives the caller's own profile and creates it on their first request.
// It costs one statement when the profile exists. Errors: account-erased (401),
// account-suspended (403).
func (s *Profiles) Resolve(ctx context.Context, caller domain.Caller) (*domain.Profile, error) {
	p, err := s.deps.Profiles.ByClerkID(ctx, caller.UserID)
	if errors.Is(err, domain.NotFound) {
		p, err = s.provisionOnce(ctx, caller)
	}
	if err == nil {
		err = s.deps.refuseSuspended(p)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Standing refuses whom [Profiles.Resolve] would refuse, but creates nothing: for
// people who only look at what anyone may see. The profile is nil when the
// caller has none yet. It costs one statement when the profile exists.
func (s *Profiles) Standing(ctx context.Context, caller domain.Caller) (*domain.Profile, error) {
	p, err := s.deps.Profiles.ByClerkID(ctx, caller.UserID)
	if errors.Is(err, domain.NotFound) {
		return nil, s.deps.refuseErased(ctx, caller)
	}
	if err == nil {
		err = s.deps.refuseSuspended(p)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ByHandle gives the profile under a handle, whatever the case, at the cost of
// one statement. Error: not-found, alike for a handle that is ill-formed or
// unknown and for a profile that the viewer may not see.
func (s *Profiles) ByHandle(ctx context.Context, handle string, viewer domain.Principal) (*domain.Profile, error) {
	if !domain.ValidHandle(handle) {
		return nil, errNoProfile
	}
	p, err := s.deps.Profiles.ByHandle(ctx, handle)
	if errors.Is(err, domain.NotFound) || err == nil && !p.VisibleTo(viewer, s.deps.Clock.Now()) {
		return nil, errNoProfile
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// UpdateOwn applies a merge patch to the caller's own profile, which it creates
// first when need be, and returns the profile as stored. A patch that changes
// nothing leaves version and audit trail alone. Errors: account-erased (401),
// account-suspended (403), handle-taken (409), precondition-failed (412),
// validation-failed (422).
func (s *Profiles) UpdateOwn(ctx context.Context, caller domain.Caller, patch domain.ProfilePatch, ifMatch domain.IfMatch) (*domain.Profile, error) {
	p, err := s.updateExisting(ctx, caller, patch, ifMatch)
	if !errors.Is(err, domain.NotFound) {
		return p, err
	}
	if _, err := s.provisionOnce(ctx, caller); err != nil {
		return nil, err
	}
	if p, err = s.updateExisting(ctx, caller, patch, ifMatch); errors.Is(err, domain.NotFound) { // erased meanwhile
		return nil, errAccountErased
	}
	return p, err
}

// updateExisting returns an error of kind NotFound when there is no profile yet.
func (s *Profiles) updateExisting(ctx context.Context, caller domain.Caller, patch domain.ProfilePatch, ifMatch domain.IfMatch) (*domain.Profile, error) {
	var p *domain.Profile
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		var err error
		if p, err = s.deps.Profiles.ByClerkIDForUpdate(ctx, caller.UserID); err != nil {
			return err
		}
		if err := s.deps.refuseSuspended(p); err != nil {
			return err
		}
		if !ifMatch.Allows(p.Version) {
			return errStaleVersion
		}
		now := s.deps.Clock.Now() // after the wait for the row, so that times follow the order of changes
		oldHandle, mirror := p.Handle, p.Mirror
		changed, err := p.Apply(patch, now)
		if err != nil {
			return err
		}
		if len(changed) == 0 {
			return s.deps.writeUnseen(ctx, p, mirror)
		}
		if err := s.deps.write(ctx, p, changed, oldHandle, now); err != nil {
			return err
		}
		return s.deps.record(ctx, domain.OwnAuditEvent(domain.ActionProfileUpdated, p.ID, caller, s.deps.Hashes, changed, p.UpdatedAt), p)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (d ProfilesDeps) refuseSuspended(p *domain.Profile) error {
	if p.SuspendedAt(d.Clock.Now()) {
		return errAccountSuspended
	}
	return nil
}

// erased tells of an erasure by its mark.
func (d ProfilesDeps) erased(ctx context.Context, clerkUserID string) (bool, error) {
	return d.Identities.Erased(ctx, d.Hashes.Candidates(domain.PurposeErasedIdentity, clerkUserID))
}

func (d ProfilesDeps) refuseErased(ctx context.Context, caller domain.Caller) error {
	erased, err := d.erased(ctx, caller.UserID)
	if err == nil && erased {
		err = errAccountErased
	}
	return err
}

var (
	errNoProfile    = domain.NewError(domain.NotFound, domain.CodeNotFound, "There is no such profile.")
	errStaleVersion = domain.NewError(domain.PreconditionFailed, domain.CodePreconditionFailed,
		"This has changed since the version named in If-Match; nothing was changed.")
	errAccountSuspended = domain.NewError(domain.Forbidden, domain.CodeAccountSuspended, "This account is suspended.")
	errAccountErased    = domain.NewError(domain.Unauthenticated, domain.CodeAccountErased, "This account was erased.")
)
