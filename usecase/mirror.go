package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Mirror keeps profiles in step with their people at Clerk. Every way in (a
// webhook, the answer of Clerk's API) goes through it, in any order and any number
// of times, and the end is the same.
type Mirror struct{ deps ProfilesDeps }

// NewMirror builds the use case.
func NewMirror(deps ProfilesDeps) *Mirror { return &Mirror{deps.withDefaults()} }

// MirrorOutcome is what became of a person's state.
type MirrorOutcome string

// The outcomes.
const (
	MirrorCreated   MirrorOutcome = "created"   // there was no profile
	MirrorUpdated   MirrorOutcome = "updated"   // something that can be seen has changed
	MirrorUnchanged MirrorOutcome = "unchanged" // newer, or known already, with nothing new to see
	MirrorStale     MirrorOutcome = "stale"     // something newer came before
	MirrorErased    MirrorOutcome = "erased"    // the person was erased, and stays so
)

const (
	// lockoutGrace is how much later than the end of a lockout Clerk is asked whether it has ended.
	lockoutGrace = 5 * time.Second
	// lockoutPause is how long Clerk is not asked at most: the end may be brought forward.
	lockoutPause = time.Hour
)

// Apply takes over a state of a person at Clerk, and creates the profile when
// there is none. It joins the transaction of ctx. Locks are taken in the order of
// [Profiles.provision].
func (s *Mirror) Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (MirrorOutcome, error) {
	var outcome MirrorOutcome
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		if err := s.deps.Identities.LockForCreation(ctx, u.ID); err != nil {
			return err
		}
		var err error
		outcome, err = s.apply(ctx, u, from)
		return err
	})
	return outcome, err
}

// apply runs under the identity's lock. A first request on another connection may
// create the profile between a look and an insert; then the next look finds it.
func (s *Mirror) apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (MirrorOutcome, error) {
	for range handleAttempts {
		p, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, u.ID)
		if err == nil {
			return s.follow(ctx, p, u, from)
		}
		if !errors.Is(err, domain.NotFound) {
			return "", err
		}
		erased, err := s.deps.erased(ctx, u.ID)
		if err != nil || erased {
			return MirrorErased, err
		}
		created, err := s.create(ctx, u, from)
		if err != nil || created {
			return MirrorCreated, err
		}
	}
	return "", errNoFreeHandle
}

// create makes a profile in the person's state; false when somebody else made
// one, or took the handle that was drawn. The handle that Clerk proposes comes
// after the insert: locks of handles are taken when the row is ours.
func (s *Mirror) create(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (bool, error) {
	drawn, err := s.deps.NewHandle()
	if err != nil {
		return false, err
	}
	p := domain.NewProfile(u.ID, drawn, s.deps.Clock.Now())
	p.BornFrom(u, from, "")
	created, err := s.deps.Profiles.Insert(ctx, p)
	if err != nil || !created {
		return false, err
	}
	handle, err := s.freeHandle(ctx, p, u, from)
	if err != nil {
		return false, err
	}
	if handle != "" {
		p.BornFrom(u, from, handle)
		if err := s.deps.Mirror.SaveMirror(ctx, p); err != nil {
			return false, err
		}
	}
	if err := s.lookAgain(ctx, p, u); err != nil {
		return false, err
	}
	return true, s.deps.welcome(ctx, p, domain.BackgroundAuditEvent(domain.ActionProfileCreated, actorOf(from), p.ID, nil, p.CreatedAt))
}

// follow brings a locked profile up to the person's state.
func (s *Mirror) follow(ctx context.Context, p *domain.Profile, u domain.ClerkUser, from domain.MirrorSource) (MirrorOutcome, error) {
	handle, err := s.freeHandle(ctx, p, u, from)
	if err != nil {
		return "", err
	}
	now, oldHandle := s.deps.Clock.Now(), p.Handle
	follows, known := p.Follows(u, from), p.Knows(u, from)
	changed, store := p.ApplyClerk(u, from, handle, now)
	if len(changed) > 0 {
		err = s.deps.write(ctx, p, changed, oldHandle, now)
	} else if store {
		err = s.deps.Mirror.SaveMirror(ctx, p)
	}
	if err != nil {
		return "", err
	}
	if len(changed) > 0 {
		e := domain.BackgroundAuditEvent(domain.ActionOfMirror(p, changed, now), actorOf(from), p.ID, changed, p.UpdatedAt)
		if err := s.deps.record(ctx, e, p); err != nil {
			return "", err
		}
	}
	if err := s.ask(ctx, p, u, follows); err != nil {
		return "", err
	}
	switch {
	case len(changed) > 0:
		return MirrorUpdated, nil
	case follows || known:
		return MirrorUnchanged, nil
	}
	return MirrorStale, nil
}

// ask has Clerk asked about what its states do not tell: when a lockout is over,
// and which came later where a webhook and the API differ about one moment.
func (s *Mirror) ask(ctx context.Context, p *domain.Profile, u domain.ClerkUser, follows bool) error {
	if follows {
		return s.lookAgain(ctx, p, u)
	}
	if !p.TiesWith(u) {
		return nil
	}
	return s.deps.Queue.EnqueueProfileRefresh(ctx, domain.ProfileRefreshJob{ID: p.ID, Reason: domain.RefreshTie}, s.deps.Clock.Now())
}

// lookAgain has Clerk asked when a lockout must be over: that Clerk tells nobody.
func (s *Mirror) lookAgain(ctx context.Context, p *domain.Profile, u domain.ClerkUser) error {
	wait := lockoutWait(u)
	if wait == 0 {
		return nil
	}
	return s.deps.Queue.EnqueueProfileRefresh(ctx, domain.ProfileRefreshJob{ID: p.ID, Reason: domain.RefreshLockout}, s.deps.Clock.Now().Add(wait))
}

// lockoutWait is how long to wait before Clerk is asked about a lockout; zero for none.
func lockoutWait(u domain.ClerkUser) time.Duration {
	if u.LockoutEndsIn == 0 {
		return 0
	}
	return min(u.LockoutEndsIn+lockoutGrace, lockoutPause)
}

// freeHandle is the handle that the state proposes and nobody else has, else
// empty. From the look to the end of the transaction nobody else can take it: all
// who take a handle that was not drawn at random lock it first.
func (s *Mirror) freeHandle(ctx context.Context, p *domain.Profile, u domain.ClerkUser, from domain.MirrorSource) (string, error) {
	handle := p.ProposedHandle(u, from)
	if handle == "" || domain.HandleKey(handle) == domain.HandleKey(p.Handle) {
		return handle, nil
	}
	if err := s.deps.Reservations.Lock(ctx, p.Handle, handle); err != nil {
		return "", err
	}
	if _, err := s.deps.Profiles.ByHandle(ctx, handle); !errors.Is(err, domain.NotFound) {
		return "", err
	}
	held, err := s.deps.Reservations.HeldFromOthers(ctx, s.deps.handleHashes(handle), p.ID, s.deps.Clock.Now())
	if err != nil || held {
		return "", err
	}
	return handle, nil
}

// Remove erases a person who is gone at Clerk, on whose word the actor says.
// Also of somebody who has no profile here the mark remains, so that nothing that
// comes later, neither a delivery nor a token that lives on, makes one. It tells
// whether there was a profile. It joins the transaction of ctx.
func (s *Mirror) Remove(ctx context.Context, clerkUserID string, actor domain.ActorKind) (removed bool, err error) {
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		removed = false
		if err := s.deps.Identities.LockForErasure(ctx, clerkUserID); err != nil {
			return err
		}
		p, err := s.deps.Profiles.ByClerkIDForUpdate(ctx, clerkUserID)
		if errors.Is(err, domain.NotFound) {
			return s.deps.forget(ctx, clerkUserID, s.deps.Clock.Now())
		}
		if err != nil {
			return err
		}
		now := p.NotBefore(s.deps.Clock.Now())
		if err := s.deps.remove(ctx, p, now); err != nil {
			return err
		}
		removed = true
		return s.deps.record(ctx, domain.BackgroundAuditEvent(domain.ActionProfileErased, actor, p.ID, nil, now), p)
	})
	return removed, err
}

func actorOf(from domain.MirrorSource) domain.ActorKind {
	if from == domain.FromWebhook {
		return domain.ActorClerk
	}
	return domain.ActorSystem
}
