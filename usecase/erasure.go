package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// ErasureDeps is what [Erasure] needs. All fields are required.
type ErasureDeps struct {
	ProfilesDeps
	Clerk *ClerkDeletion
}

// Erasure removes people.
type Erasure struct{ deps ErasureDeps }

// NewErasure builds the use case.
func NewErasure(deps ErasureDeps) *Erasure { return &Erasure{deps} }

// Erased is what may be said of an erased person: an id that stands for nobody
// any more, as the audit trail has it.
type Erased struct {
	ProfileID string
	At        time.Time
}

// EraseOwn erases the caller. Errors: account-erased (401),
// account-suspended and reauthentication-required (403), precondition-failed (412).
func (s *Erasure) EraseOwn(ctx context.Context, caller domain.Caller, ifMatch domain.IfMatch) (Erased, error) {
	if !caller.RecentlySignedIn(s.deps.Clock.Now()) {
		return Erased{}, errReauthenticate
	}
	return s.erase(ctx, caller.UserID, ifMatch, func(p *domain.Profile, now time.Time) (domain.AuditEvent, error) {
		return domain.OwnAuditEvent(domain.ActionProfileErased, p.ID, caller, s.deps.Hashes, nil, now), s.deps.refuseSuspended(p)
	}, errAccountErased)
}

// EraseByAdmin erases anybody. Errors: not-found (404), precondition-failed
// (412), and reauthentication-required (403) when it is the admin's own profile.
func (s *Erasure) EraseByAdmin(ctx context.Context, caller domain.Caller, id string, ifMatch domain.IfMatch) (Erased, error) {
	if !domain.ValidID(id) {
		return Erased{}, errNoProfile
	}
	p, err := s.deps.Finder.ByID(ctx, id)
	if errors.Is(err, domain.NotFound) {
		return Erased{}, errNoProfile
	}
	if err != nil {
		return Erased{}, err
	}
	if p.ClerkUserID == caller.UserID && !caller.RecentlySignedIn(s.deps.Clock.Now()) { // by whatever route: it is one's own
		return Erased{}, errReauthenticate
	}
	caller = caller.Unnamed(p.ClerkUserID)
	return s.erase(ctx, p.ClerkUserID, ifMatch, func(p *domain.Profile, now time.Time) (domain.AuditEvent, error) {
		return domain.AdminAuditEvent(domain.ActionProfileErased, p.ID, caller, s.deps.Hashes, nil, now), nil
	}, errNoProfile)
}

// erase removes, in one transaction, all that identifies the person. What stays
// are keyed hashes (of the Clerk id, so that neither a late webhook nor a token
// that lives on revives the person; of the handle while it is kept from others),
// the audit trail, which names nobody, and the sealed Clerk id until Clerk has
// deleted the person too.
//
// Locks are taken in everybody's order, see [Profiles.provision]: a first
// request of the same person waits, and then finds the mark.
func (s *Erasure) erase(
	ctx context.Context, clerkUserID string, ifMatch domain.IfMatch,
	event func(p *domain.Profile, now time.Time) (domain.AuditEvent, error), gone error,
) (Erased, error) {
	var done Erased
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		if err := s.deps.Identities.LockForErasure(ctx, clerkUserID); err != nil {
			return err
		}
		p, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, clerkUserID)
		if errors.Is(err, domain.NotFound) {
			return gone
		}
		if err != nil {
			return err
		}
		if !ifMatch.Allows(p.Version) {
			return errStaleVersion
		}
		now := p.NotBefore(s.deps.Clock.Now())
		e, err := event(p, now)
		if err != nil {
			return err
		}
		if err := s.deps.remove(ctx, p, now); err != nil {
			return err
		}
		if err := s.deps.Clerk.Request(ctx, p.ClerkUserID); err != nil {
			return err
		}
		done = Erased{ProfileID: p.ID, At: e.OccurredAt}
		return s.deps.record(ctx, e, p)
	})
	return done, err
}

// remove deletes a locked profile with all that hangs on it.
func (d ProfilesDeps) remove(ctx context.Context, p *domain.Profile, now time.Time) error {
	if err := d.Reservations.Lock(ctx, p.Handle); err != nil {
		return err
	}
	if err := d.Eraser.Delete(ctx, p.ID); err != nil {
		return err
	}
	if err := d.release(ctx, p.Handle, p.ID, now); err != nil {
		return err
	}
	if err := d.Responses.DeleteBySubject(ctx, p.ID); err != nil {
		return err
	}
	return d.forget(ctx, p.ClerkUserID, now)
}

// forget leaves the mark of an erasure, once, and clears what Clerk has told of
// the person and nobody has applied yet.
func (d ProfilesDeps) forget(ctx context.Context, clerkUserID string, now time.Time) error {
	if err := d.Deliveries.Forget(ctx, domain.WebhookSubjectHashes(d.Hashes, clerkUserID), now); err != nil {
		return err
	}
	erased, err := d.erased(ctx, clerkUserID)
	if err != nil || erased { // maybe under an older key
		return err
	}
	return d.Identities.MarkErased(ctx, d.Hashes.Hash(domain.PurposeErasedIdentity, clerkUserID), now)
}

var errReauthenticate = domain.NewError(domain.Forbidden, domain.CodeReauthentication,
	"This needs a recent sign-in: let the person prove who they are again, then repeat the request with a new token.")
