package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// handleAttempts bounds how often a taken random handle is drawn anew. With 80
// random bits the second draw is never needed; more misses are a broken generator.
const handleAttempts = 8

// webhookPatience is how long a profile made by a first request waits for Clerk's
// webhook to fill it, before a job asks Clerk.
const webhookPatience = 2 * time.Second

// provisionOnce lets the first requests of one person that come at once to this
// replica share one transaction: a front end opens with a burst of them, and each on
// a connection of its own would exhaust the pool. Other replicas are the
// database's business. Who waits gets a copy of their own; when the one who works
// goes away, the next one takes over.
func (s *Profiles) provisionOnce(ctx context.Context, caller domain.Caller) (*domain.Profile, error) {
	for {
		v, err, shared := s.first.Do(caller.UserID, func() (any, error) { return s.provision(ctx, caller) })
		if shared && errors.Is(err, context.Canceled) && ctx.Err() == nil {
			continue
		}
		p, ok := v.(*domain.Profile)
		if err != nil || !ok || p == nil {
			return nil, err
		}
		own := *p
		return &own, nil
	}
}

// provision creates the caller's profile with preferences and audit event, or
// gives the one that somebody else created meanwhile.
//
// Locks are taken in one order by everybody, so that none can wait in a circle:
// the identity (shared by creations, exclusive for an erasure), then the row of a
// profile that exists, then handles, then the unique keys of profiles, then rows
// that hang on the new profile alone. A creation has no need of some. Because the
// mark of an erasure is looked up under the identity's lock, a creation either
// sees it or is itself over, and can be erased, before the erasure begins.
func (s *Profiles) provision(ctx context.Context, caller domain.Caller) (*domain.Profile, error) {
	var p *domain.Profile
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		if err := s.deps.Identities.LockForCreation(ctx, caller.UserID); err != nil {
			return err
		}
		if err := s.deps.refuseErased(ctx, caller); err != nil {
			return err
		}
		var created bool
		var err error
		if p, created, err = s.insertProfile(ctx, caller.UserID); err != nil || !created {
			return err
		}
		err = s.deps.welcome(ctx, p, domain.OwnAuditEvent(domain.ActionProfileCreated, p.ID, caller, s.deps.Hashes, nil, p.CreatedAt))
		if err != nil {
			return err
		}
		return s.deps.Queue.EnqueueProfileRefresh(ctx, domain.ProfileRefreshJob{ID: p.ID}, p.CreatedAt.Add(webhookPatience))
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// welcome writes what a new profile has from the beginning.
func (d ProfilesDeps) welcome(ctx context.Context, p *domain.Profile, created domain.AuditEvent) error {
	if err := d.Preferences.Insert(ctx, domain.DefaultPreferences(p.ID, p.CreatedAt)); err != nil {
		return err
	}
	return d.record(ctx, created, p)
}

// insertProfile tells whether it created the profile that it returns.
func (s *Profiles) insertProfile(ctx context.Context, clerkUserID string) (*domain.Profile, bool, error) {
	for range handleAttempts {
		handle, err := s.deps.NewHandle()
		if err != nil {
			return nil, false, err
		}
		p := domain.NewProfile(clerkUserID, handle, s.deps.Clock.Now())
		created, err := s.deps.Profiles.Insert(ctx, p)
		if err != nil || created {
			return p, created, err
		}
		// Either the person's profile is there now, or the handle was taken.
		p, err = s.deps.Profiles.ByClerkID(ctx, clerkUserID)
		if !errors.Is(err, domain.NotFound) {
			return p, false, err
		}
	}
	return nil, false, errNoFreeHandle
}

var errNoFreeHandle = domain.NewError(domain.Internal, domain.CodeInternal, "No handle could be found for a new profile.")
