package usecase

import (
	"context"
	"errors"

	"github.com/profile-api/profile-api/domain"
)

// UserMirror is what states of people are applied to; see [Mirror].
type UserMirror interface {
	Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (MirrorOutcome, error)
	Remove(ctx context.Context, clerkUserID string, actor domain.ActorKind) (removed bool, err error)
}

// InboxDeps is what [Inbox] needs. All fields are required.
type InboxDeps struct {
	Tx         UnitOfWork
	Deliveries WebhookDeliveries
	Queue      JobQueue
	Identities IdentityRegister
	Mirror     UserMirror
	Sealer     domain.Sealer
	Hashes     domain.Pseudonymizer
	Clock      Clock
	Observer   InboxObserver
}

// Inbox takes Clerk's deliveries, each once by its id, and has them applied in
// the background: Clerk gets its answer at once and never waits for the work.
type Inbox struct{ deps InboxDeps }

// NewInbox builds the use case.
func NewInbox(deps InboxDeps) *Inbox { return &Inbox{deps} }

// Received is what Clerk is told of a delivery.
type Received string

// What may become of a delivery that is taken.
const (
	ReceivedQueued  Received = "queued"
	ReceivedKnown   Received = "known"   // it was here before
	ReceivedIgnored Received = "ignored" // nothing will come of it
)

// Receive stores a delivery whose signature was verified, with the job that will
// apply it, in one transaction. A repeat of one that has failed or is dead
// revives it with its fresh body. Of somebody who is erased nothing is stored but
// that the delivery came; one of which nothing can be kept is dead at once. Errors: malformed-request (400).
//
// The lock of the identity, which an erasure holds alone, makes sure of that: a
// delivery is either there for the erasure to clear, or finds the mark.
func (s *Inbox) Receive(ctx context.Context, id string, body []byte) (Received, error) {
	event, err := domain.ParseWebhookEvent(body)
	if err != nil {
		return "", err
	}
	if event.Type == domain.WebhookOther {
		s.deps.Observer.Delivery(ctx, id, event.Type, domain.OutcomeIgnored, "type")
		return ReceivedIgnored, nil
	}
	fresh, err := domain.NewWebhookDelivery(id, event, s.deps.Sealer, s.deps.Hashes, s.deps.Clock.Now())
	if err != nil {
		return "", err
	}
	var d domain.WebhookDelivery
	var stored bool
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		d = fresh
		erased, err := s.lookUp(ctx, event.Subject())
		if err != nil {
			return err
		}
		if erased {
			d = d.Settled(domain.WebhookIgnored, domain.WebhookReasonErased, d.ReceivedAt)
		}
		if stored, err = s.deps.Deliveries.Receive(ctx, d); err != nil || !stored || d.State != domain.WebhookReceived {
			return err
		}
		return s.deps.Queue.EnqueueWebhookDelivery(ctx, id)
	})
	if err != nil {
		return "", err
	}
	return s.received(ctx, d, stored), nil
}

// lookUp tells whether the person is erased, and keeps it so until the transaction ends.
func (s *Inbox) lookUp(ctx context.Context, subject string) (erased bool, err error) {
	if subject == "" {
		return false, nil
	}
	if err := s.deps.Identities.LockForCreation(ctx, subject); err != nil {
		return false, err
	}
	return s.deps.Identities.Erased(ctx, s.deps.Hashes.Candidates(domain.PurposeErasedIdentity, subject))
}

func (s *Inbox) received(ctx context.Context, d domain.WebhookDelivery, stored bool) Received {
	if !stored {
		s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeKnown, "")
		return ReceivedKnown
	}
	s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeReceived, "")
	switch d.State {
	case domain.WebhookIgnored:
		s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeIgnored, d.Reason)
		return ReceivedIgnored
	case domain.WebhookDead:
		s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeDead, d.Reason)
		return ReceivedIgnored
	default:
		return ReceivedQueued
	}
}

// Rejected counts a delivery that was refused before it came here.
func (s *Inbox) Rejected(ctx context.Context) {
	s.deps.Observer.Delivery(ctx, "", domain.WebhookOther, domain.OutcomeRejected, "")
}

// Run applies a delivery and notes it in the same transaction, so that a process
// that dies leaves both or neither. It may be run any number of times, also at
// once: the mirror goes by updated_at, and who comes late finds nothing to do.
// Data that no retry makes applicable is dead at once, and no error.
//
// The row is not locked while the mirror works: everybody takes the identity's
// lock first, and that of a delivery last.
func (s *Inbox) Run(ctx context.Context, id string) error {
	d, err := s.deps.Deliveries.Find(ctx, id)
	if errors.Is(err, domain.NotFound) || err == nil && d.SealedData == nil { // purged, done with, or the person is erased
		return nil
	}
	if err != nil {
		return err
	}
	event, err := d.Event(s.deps.Sealer)
	if err != nil {
		return err
	}
	change, err := changeOf(event)
	if err != nil {
		return s.bury(ctx, d, err)
	}
	var done domain.WebhookDelivery
	var noted bool
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		state, reason, err := s.apply(ctx, change)
		if err != nil {
			return err
		}
		done = d.Settled(state, reason, s.deps.Clock.Now())
		noted, err = s.deps.Deliveries.Update(ctx, done, domain.WebhookStates()...)
		return err
	})
	if err != nil || !noted { // not noted: a repeat came meanwhile, with a job of its own
		return err
	}
	s.settled(ctx, done, change)
	return nil
}

// change is what a delivery asks for: a person's state, or that they go.
type change struct {
	user    domain.ClerkUser
	deleted string // the Clerk id; empty for a state
}

// changeOf gives an error of kind Invalid for data that can never be applied.
func changeOf(e domain.WebhookEvent) (change, error) {
	if e.Type != domain.WebhookUserDeleted {
		u, err := domain.ParseClerkUser(e.Data)
		return change{user: u}, err
	}
	if id := e.Subject(); id != "" {
		return change{deleted: id}, nil
	}
	return change{}, errNoSubject
}

var errNoSubject = domain.NewError(domain.Invalid, domain.CodeValidationFailed, "The member id of the data is not the id of a user.")

func (s *Inbox) apply(ctx context.Context, c change) (domain.WebhookState, string, error) {
	if c.deleted != "" {
		return s.remove(ctx, c.deleted)
	}
	outcome, err := s.deps.Mirror.Apply(ctx, c.user, domain.FromWebhook)
	switch outcome {
	case MirrorStale, MirrorErased:
		return domain.WebhookIgnored, string(outcome), err
	default: // unchanged too: the mirror says what the delivery says
		return domain.WebhookApplied, string(outcome), err
	}
}

// remove takes the data of this and every other delivery about the person along.
func (s *Inbox) remove(ctx context.Context, clerkUserID string) (domain.WebhookState, string, error) {
	removed, err := s.deps.Mirror.Remove(ctx, clerkUserID, domain.ActorClerk)
	if removed {
		return domain.WebhookApplied, domain.WebhookReasonRemoved, err
	}
	return domain.WebhookApplied, domain.WebhookReasonAbsent, err
}

func (s *Inbox) settled(ctx context.Context, d domain.WebhookDelivery, c change) {
	if d.State == domain.WebhookIgnored {
		s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeIgnored, d.Reason)
		return
	}
	s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeApplied, d.Reason)
	if c.deleted == "" { // a deletion tells no time
		s.deps.Observer.Lag(max(d.UpdatedAt.Sub(c.user.UpdatedAt), 0))
	}
}

// bury notes that the delivery can never be applied.
func (s *Inbox) bury(ctx context.Context, d domain.WebhookDelivery, fault error) error {
	var e *domain.Error
	if !errors.As(fault, &e) || e.Kind() != domain.Invalid {
		return fault
	}
	dead := d.Dead(string(e.Code())+": "+e.Message(), true, s.deps.Clock.Now())
	noted, err := s.deps.Deliveries.Update(ctx, dead, domain.OpenWebhookStates()...)
	if err == nil && noted {
		s.deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeDead, dead.Reason)
	}
	return err
}

// FailedRun is what is known of a run of a delivery's job that failed.
type FailedRun struct {
	Reason  string // safe for anyone to read
	Counted bool   // it used up an attempt
	Final   bool   // none will follow
}

// Failed notes that a run failed. A delivery that was applied meanwhile stays so.
func (s *Inbox) Failed(ctx context.Context, id string, run FailedRun) error {
	d, err := s.deps.Deliveries.Find(ctx, id)
	if errors.Is(err, domain.NotFound) || err == nil && d.SealedData == nil {
		return nil
	}
	if err != nil {
		return err
	}
	outcome := domain.OutcomeFailed
	next := d.Failed(run.Reason, run.Counted, s.deps.Clock.Now())
	if run.Final {
		outcome, next = domain.OutcomeDead, d.Dead(run.Reason, run.Counted, s.deps.Clock.Now())
	}
	noted, err := s.deps.Deliveries.Update(ctx, next, domain.WebhookReceived, domain.WebhookFailed)
	if err == nil && noted {
		s.deps.Observer.Delivery(ctx, d.ID, d.Type, outcome, run.Reason)
	}
	return err
}
