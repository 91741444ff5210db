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
	// Update writes the named fields, updated_at, version, Mirror and
	// ClerkUpdatedAt of a profile whose stored version is p.Version-1, and reads the
	// row back into p. Errors: handle-taken; kind [domain.Conflict] when that version
	// is gone.
	Update(ctx context.Context, p *domain.Profile, changed []string) error
}

// ProfileMirror keeps how a profile follows Clerk where nothing else of it
// changes, which is no new version.
type ProfileMirror interface {
	// SaveMirror writes Mirror, ClerkUpdatedAt and the handle, which a new profile
	// gets when it is there, of a profile whose stored version is p.Version. Errors:
	// handle-taken; kind [domain.Conflict] when that version is gone.
	SaveMirror(ctx context.Context, p *domain.Profile) error
}

// ProfileEraser removes a profile with its preferences; none is no error.
type ProfileEraser interface {
	Delete(ctx context.Context, id string) error
}

// ProfileFinder finds profiles that are not the caller's own.
type ProfileFinder interface {
	// ByID and ByIDForUpdate, which also locks the row until the transaction
	// ends, return an error of kind [domain.NotFound] when there is no such row.
	// The id must have the form of one; see [domain.ValidID].
	ByID(ctx context.Context, id string) (*domain.Profile, error)
	ByIDForUpdate(ctx context.Context, id string) (*domain.Profile, error)
	// PublicByHandles and PublicByIDs find many in one statement, in no order,
	// and read no more than the public view and [domain.Profile.VisibleTo] need.
	PublicByHandles(ctx context.Context, keys []string) ([]domain.Profile, error)
	PublicByIDs(ctx context.Context, ids []string) ([]domain.Profile, error)
	// Search gives up to limit profiles of the filter behind the position (nil:
	// from the start), in the filter's order. Statuses are as of now.
	Search(ctx context.Context, f domain.ProfileFilter, after *domain.ProfilePosition, limit int, now time.Time) ([]domain.Profile, error)
}

// PreferencesStore keeps preferences. Errors as of [ProfileStore].
type PreferencesStore interface {
	Insert(ctx context.Context, p *domain.Preferences) error
	ByProfileID(ctx context.Context, profileID string) (*domain.Preferences, error)
	// Update writes every setting of preferences whose stored version is p.Version-1.
	Update(ctx context.Context, p *domain.Preferences) error
}

// AuditLog takes audit events, for ever, and lists them.
type AuditLog interface {
	Append(ctx context.Context, e domain.AuditEvent) error
	// List gives up to limit events of the filter behind the position (nil: from
	// the start), newest first.
	List(ctx context.Context, f domain.AuditFilter, after *domain.AuditPosition, limit int) ([]domain.AuditEvent, error)
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
	// OfProfile lists the profile's reservations that hold at that moment.
	OfProfile(ctx context.Context, profileID string, at time.Time) ([]domain.HandleReservation, error)
}

// IdentityRegister remembers, by keyed hash, who was erased, and orders
// first requests against erasures of the same person.
type IdentityRegister interface {
	// LockForCreation lasts until the transaction ends. Creations of one person
	// share it; an erasure excludes them.
	LockForCreation(ctx context.Context, clerkUserID string) error
	// LockForErasure lasts as long. An erasure takes it before any other lock.
	LockForErasure(ctx context.Context, clerkUserID string) error
	// Erased tells whether one of the hashes is marked as erased.
	Erased(ctx context.Context, hashes []string) (bool, error)
	// MarkErased remembers the hash for ever; twice is once.
	MarkErased(ctx context.Context, hash string, at time.Time) error
}

// IdempotencyStore keeps the responses to requests that carry an
// Idempotency-Key, by keyed hashes. Where several hashes are taken, they are
// those of one value under the current and older keys.
type IdempotencyStore interface {
	// TryLock keeps others from the same key until the transaction ends. It
	// waits for nobody: false, and no error, when one of the hashes is locked.
	TryLock(ctx context.Context, keyHashes []string) (bool, error)
	// Find gives the record that has not expired at that moment, or an error of
	// kind [domain.NotFound]. What the last holder of the lock stored is seen.
	Find(ctx context.Context, keyHashes []string, at time.Time) (*domain.IdempotencyRecord, error)
	// Put stores a record and replaces one that has expired when it was created.
	// Error: kind [domain.Conflict] when there is one that has not.
	Put(ctx context.Context, r domain.IdempotencyRecord) error
	Purger
}

// StoredResponses are the kept responses that tell of somebody.
type StoredResponses interface {
	// BySubject lists those that tell of the profile and have not expired at that
	// moment, oldest first.
	BySubject(ctx context.Context, profileID string, at time.Time) ([]domain.IdempotencyRecord, error)
	// DeleteBySubject deletes all that tell of the profile.
	DeleteBySubject(ctx context.Context, profileID string) error
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
	// EnqueueProfileRefresh has the job run at that moment or soon after.
	EnqueueProfileRefresh(ctx context.Context, job domain.ProfileRefreshJob, at time.Time) error
	EnqueueWebhookDelivery(ctx context.Context, id string) error
}

// WebhookDeliveries is the inbox of Clerk's webhooks.
type WebhookDeliveries interface {
	// Receive stores a delivery, or replaces one of the same id that has failed or
	// is dead. Of any other it changes nothing: false, and no error. It waits for a
	// transaction that is about to decide that.
	Receive(ctx context.Context, d domain.WebhookDelivery) (bool, error)
	// Find returns an error of kind [domain.NotFound] when there is no such row.
	Find(ctx context.Context, id string) (domain.WebhookDelivery, error)
	// Update writes how far the delivery has come, when the row is in one of the
	// states and was received when d was: false, and no error, when it is not. The
	// data is cleared when d is done with, and else left as it is.
	Update(ctx context.Context, d domain.WebhookDelivery, from ...domain.WebhookState) (bool, error)
	// List gives up to limit deliveries in the states, those received last first,
	// without their data.
	List(ctx context.Context, states []domain.WebhookState, limit int) ([]domain.WebhookDelivery, error)
	// Orphans gives up to limit deliveries that a job should apply, that nobody has
	// touched since then, and for which there is no unfinished job, those received
	// first first, without their data.
	Orphans(ctx context.Context, since time.Time, limit int) ([]domain.WebhookDelivery, error)
}

// SubjectDeliveries are the deliveries that tell of somebody.
type SubjectDeliveries interface {
	// OfSubject lists those that hold data and have one of the hashes, those
	// received last first, [domain.MaxSubjectDeliveries] at most.
	OfSubject(ctx context.Context, subjectHashes []string) ([]domain.WebhookDelivery, error)
	// Forget clears the data of all that have one of the hashes: nothing of them
	// will be applied any more.
	Forget(ctx context.Context, subjectHashes []string, at time.Time) error
}

// InboxObserver hears what becomes of deliveries, for metrics and logs. It is
// called after the commit.
type InboxObserver interface {
	// Delivery tells of one that is stored; id and reason are empty for one that is not.
	Delivery(ctx context.Context, id string, t domain.WebhookType, o domain.WebhookOutcome, reason string)
	// Lag is how old the state was that has just been applied.
	Lag(d time.Duration)
}

// EventOutbox takes events for other services. It joins the transaction of ctx, so
// that the event exists exactly when the change does, and refuses to work without one.
type EventOutbox interface {
	Append(ctx context.Context, e domain.Event) error
}

// EventQueue is the outbox as those see it who bring its events to the sinks.
type EventQueue interface {
	// Claim gives events that are due for a sink, of each profile the oldest alone,
	// in no order. Nobody else gets them until the claim ends.
	Claim(ctx context.Context, c domain.EventClaim) ([]domain.PendingEvent, error)
	// Delivered forgets an event, and Failed puts it off with the reason, which
	// anybody may read. Neither touches an event that was claimed anew meanwhile.
	Delivered(ctx context.Context, e domain.PendingEvent) error
	Failed(ctx context.Context, e domain.PendingEvent, reason string, again time.Time) error
	// Left counts, up to [domain.MaxCountedEvents], the events for sinks that are
	// configured no more.
	Left(ctx context.Context) (int64, error)
}

// EventSink is one place that events are brought to. Deliver returns nil when the
// event was taken, and ends with ctx. The message of its [domain.Error] says why
// not, without any address or answer; its time to wait, if there is one, is for how
// long the sink wants no event at all.
type EventSink interface {
	Deliver(ctx context.Context, e domain.PendingEvent) error
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

// ClerkDirectory is what we ask of Clerk about whom it knows. Errors of both:
// kind [domain.Unavailable], with the time to wait, when Clerk should be asked
// again later; kind [domain.Internal] for an answer that waiting does not mend.
// No error's text holds an id or a value.
type ClerkDirectory interface {
	// User gives a person as Clerk has it now. Errors: kind [domain.NotFound] only
	// when Clerk itself says that it knows nobody of that id; kind [domain.Invalid]
	// when what it says of the person cannot be read.
	User(ctx context.Context, clerkUserID string) (domain.ClerkUser, error)
	// Users gives up to limit (1 to 100) people behind the offset, the oldest
	// first; none when there are no more.
	Users(ctx context.Context, offset, limit int) ([]domain.ListedClerkUser, error)
}

// ReconcileRuns keeps the runs of the reconciliation.
type ReconcileRuns interface {
	// Unfinished and LastFinished return an error of kind [domain.NotFound] when
	// there is none. An abandoned run counts as neither.
	Unfinished(ctx context.Context) (domain.Reconciliation, error)
	LastFinished(ctx context.Context) (domain.Reconciliation, error)
	// Begin writes a new run and abandons an unfinished one.
	Begin(ctx context.Context, r domain.Reconciliation) error
	// Save writes how far an unfinished run has come, or its end. Error: kind
	// [domain.Conflict] when it has ended already.
	Save(ctx context.Context, r domain.Reconciliation) error
	// WatchedSince is the now of its first call ever.
	WatchedSince(ctx context.Context, now time.Time) (time.Time, error)
}

// ReconcileLease lets one process at a time work on a run.
type ReconcileLease interface {
	// Take makes the owner the only one at work for that long from now on, also
	// when it was already; false when somebody else is.
	Take(ctx context.Context, owner string, hold time.Duration) (bool, error)
	// Release ends it early. Of somebody else it ends nothing.
	Release(ctx context.Context, owner string) error
}

// ReconcilePeople is what a run asks about profiles.
type ReconcilePeople interface {
	// Mirrored gives those of the people who have a profile, in no order.
	Mirrored(ctx context.Context, clerkUserIDs []string) ([]domain.MirroredProfile, error)
	// MarkSeen notes for the run those of them who have one; twice is once. The
	// Purger removes the notes of runs that have ended.
	MarkSeen(ctx context.Context, runID string, clerkUserIDs []string) error
	// CountUnseen counts the profiles that are older than the run and not noted
	// for it, and all profiles from before the run's JudgedBefore: none that this
	// walk created may dilute the share of those who vanish.
	CountUnseen(ctx context.Context, r domain.Reconciliation) (unseen, all int, err error)
	// Unseen lists up to limit of those by id, behind that id.
	Unseen(ctx context.Context, r domain.Reconciliation, after string, limit int) ([]domain.MirroredProfile, error)
	Purger
}
