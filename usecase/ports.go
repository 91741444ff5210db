// Package usecase holds what the application does, one file per capability.
// Its ports are the interfaces that the outside world must satisfy; use cases
// are concrete structs that the delivery layer calls directly.
package usecase

import (
	"context"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Clock tells the time. Tests set it.
type Clock interface {
	Now() time.Time
}

// TokenVerifier turns a bearer token into the person it stands for.
//
// It returns an error of kind [domain.Unauthenticated] for every token that is
// not accepted (code token-expired when expiry is the only fault), and of kind
// [domain.Unavailable] when no key set is at hand to judge by.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (domain.Principal, error)
}

// Limiter counts a request under one caller's quota and, when that lets it
// through, under the global one. It never fails: while the shared counts are
// away it decides by itself.
type Limiter interface {
	Allow(ctx context.Context, policy domain.RatePolicy, key string) domain.RateDecision
}

// UnitOfWork runs fn in one transaction that travels in the context. Nested
// calls join; an error or a panic rolls back; the commit's error counts;
// serialization failures and deadlocks repeat fn as a whole, at most three times.
type UnitOfWork interface {
	WithinTx(ctx context.Context, fn func(ctx context.Context) error) error
}

// Probe asks one dependency whether it works, within the context's deadline.
type Probe interface {
	Check(ctx context.Context) error
}

// ProfileStore keeps profiles. Reads return an error of kind [domain.NotFound]
// when there is no such row.
type ProfileStore interface {
	ByClerkID(ctx context.Context, clerkUserID string) (*domain.Profile, error)
	// ByClerkIDForUpdate also locks the row until the transaction ends.
	ByClerkIDForUpdate(ctx context.Context, clerkUserID string) (*domain.Profile, error)
	// ByHandle compares whatever the case.
	ByHandle(ctx context.Context, handle string) (*domain.Profile, error)
	// Insert tells whether the row was written: false, and no error, when the
	// Clerk id, the handle or the id is there already. It waits for a
	// transaction that is about to decide that.
	Insert(ctx context.Context, p *domain.Profile) (bool, error)
	// Update writes the named fields, updated_at and version of a profile whose
	// stored version is p.Version-1, and reads the row back into p. Errors:
	// handle-taken; kind [domain.Conflict] when that version is gone.
	Update(ctx context.Context, p *domain.Profile, changed []string) error
}

// PreferencesStore keeps preferences.
type PreferencesStore interface {
	Insert(ctx context.Context, p *domain.Preferences) error
}

// AuditLog takes audit events, for ever.
type AuditLog interface {
	Append(ctx context.Context, e domain.AuditEvent) error
}

// HandleReservations keeps released handles from others for a while. They are
// known by keyed hashes, so that erasure need not make a handle free at once.
type HandleReservations interface {
	// Lock makes every other change of these handles (any case, any order)
	// wait until the transaction ends. Callers name the old and the new handle
	// in one call before they write, so that two who swap cannot deadlock.
	Lock(ctx context.Context, handles ...string) error
	// HeldFromOthers tells whether one of the hashes is reserved at that moment
	// for somebody else than the profile.
	HeldFromOthers(ctx context.Context, hashes []string, profileID string, at time.Time) (bool, error)
	// Reserve keeps the handle for the profile until then, and replaces an
	// earlier reservation of the same handle.
	Reserve(ctx context.Context, hash, profileID string, until time.Time) error
}

// IdentityRegister remembers, by keyed hash, who was erased, and orders
// first requests against erasures of the same person.
type IdentityRegister interface {
	// LockForCreation lasts until the transaction ends. Creations of one person
	// share it; an erasure excludes them.
	LockForCreation(ctx context.Context, clerkUserID string) error
	// Erased tells whether one of the hashes is marked as erased.
	Erased(ctx context.Context, hashes []string) (bool, error)
}

// ClerkDeletions keeps the people who must still be deleted at Clerk.
type ClerkDeletions interface {
	Insert(ctx context.Context, d domain.ClerkDeletion) error
	// Find returns an error of kind [domain.NotFound] when there is no such row.
	Find(ctx context.Context, id string) (domain.ClerkDeletion, error)
	// Delete removes the row; one that is gone already is no error.
	Delete(ctx context.Context, id string) error
}

// JobQueue takes work for later. It joins the transaction of ctx, so that the
// job exists exactly when what it is about does, and refuses to work without one.
type JobQueue interface {
	EnqueueClerkDeletion(ctx context.Context, id string) error
}

// ClerkUsers is what we ask of Clerk about its users.
type ClerkUsers interface {
	// DeleteUser returns nil when Clerk knows nobody of that id any more, and an
	// error of kind [domain.Unavailable], with the time to wait, when it should
	// be asked again later. No error's text holds the id.
	DeleteUser(ctx context.Context, clerkUserID string) error
}

// Purger removes at most limit rows whose time was over at that moment, and
// tells how many it removed.
type Purger interface {
	PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error)
}
