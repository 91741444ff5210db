package usecase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/profile-api/profile-api/domain"
)

const (
	// defaultPause keeps to half of what Clerk allows a development instance (100 requests in 10 s; a
	// production instance gets ten times as much), and leaves the rest to the others who use the key.
	defaultPause = 200 * time.Millisecond
	// defaultPageSize is what a slice of the periodic job can deal with when all of them must be created;
	// a killed process asks for no more than that again.
	defaultPageSize = 100
	candidateBatch  = 100
	forgetBatch     = 5000 // notes that one statement removes at most

	outagePatience = 40 * time.Second // with a Clerk that does not answer
	limitPatience  = 30 * time.Minute // with one that says that we ask too much
)

// reconcileSession is one process's work on one run.
type reconcileSession struct {
	deps    ReconcileDeps
	effects reconcileEffects
	run     domain.Reconciliation // as stored
	force   bool
	patient bool                    // waits for Clerk itself, instead of giving up
	until   time.Time               // when to stop for now; zero: at the end
	moved   bool                    // something of its work is stored
	tell    func(ReconcileProgress) // may be nil
	asked   time.Time               // when Clerk was asked last
	first   string                  // whom the last page began with
}

// reconcileEffects is what a run reads and changes here. A dry run changes nothing.
type reconcileEffects interface {
	apply(ctx context.Context, u domain.ClerkUser, known *domain.MirroredProfile) (MirrorOutcome, error)
	// checkpoint stores how far the run has come, and that it has met those people.
	checkpoint(ctx context.Context, run domain.Reconciliation, met []string) error
	// remove is checkpoint for somebody who is gone at Clerk; both happen or neither.
	remove(ctx context.Context, run domain.Reconciliation, clerkUserID string) (domain.Reconciliation, error)
	countUnseen(ctx context.Context, run domain.Reconciliation) (unseen, all int, err error)
	unseen(ctx context.Context, run domain.Reconciliation, after string) ([]domain.MirroredProfile, error)
	// forget removes some notes of a finished run, and tells whether there may be more.
	forget(ctx context.Context, run domain.Reconciliation) (more bool)
}

func (s *reconcileSession) told(p ReconcileProgress) {
	if p.Run = s.run; s.tell != nil {
		s.tell(p)
	}
}

// over tells whether the session's time is. It has some until it has moved the
// run: else a run that takes long to be taken up would stand still for ever.
func (s *reconcileSession) over() bool { return s.moved && s.late(0) }

// late tells whether the session should have ended so long ago.
func (s *reconcileSession) late(ago time.Duration) bool {
	return !s.until.IsZero() && !s.deps.Clock.Now().Before(s.until.Add(ago))
}

// stored is the run's new state, after it was.
func (s *reconcileSession) stored(run domain.Reconciliation, told ReconcileStage) {
	s.run, s.moved = run, true
	s.told(ReconcileProgress{Stage: told})
}

// work goes on until the run is finished or the session's time is over.
func (s *reconcileSession) work(ctx context.Context) (finished bool, err error) {
	for s.run.Phase == domain.ReconcileWalking {
		if s.over() {
			return false, nil
		}
		if err := s.page(ctx); err != nil {
			return false, err
		}
	}
	return s.vanished(ctx)
}

// page deals with the next page. The walk is over at a page with nobody on it: a
// short one may be Clerk's whim.
func (s *reconcileSession) page(ctx context.Context) error {
	people, err := ask(ctx, s, func(ctx context.Context) ([]domain.ListedClerkUser, error) {
		return s.deps.Clerk.Users(ctx, s.run.NextOffset, s.deps.PageSize)
	})
	if err != nil {
		return err
	}
	overtime := s.overtime()
	next := s.run // stored and kept only as a whole
	next.Pages++
	if len(people) == 0 {
		return s.endWalk(ctx, next)
	}
	if people[0].ID != "" && people[0].ID == s.first { // something between us and Clerk drops the offset
		return errListStandsStill
	}
	s.first = people[0].ID
	known, err := s.known(ctx, people)
	if err != nil {
		return err
	}
	var met []string
	for i, person := range people {
		if i > 0 && s.late(overtime) && s.takesTime(person, known) { // the rest is asked for again
			break
		}
		if err := s.person(ctx, &next.Counts, person, known); err != nil {
			return err
		}
		next.NextOffset++
		if person.ID != "" {
			met = append(met, person.ID)
		}
	}
	if err := s.effects.checkpoint(ctx, next, met); err != nil {
		return err
	}
	s.stored(next, ReconcilePage)
	return nil
}

// errListStandsStill ends a walk that would have no end.
var errListStandsStill = domain.NewError(domain.Internal, domain.CodeInternal, "Clerk's list of users gives the same page whatever the offset.")

// overtime is what the session may have beyond its end for the people whom Clerk
// has just listed.
func (s *reconcileSession) overtime() time.Duration {
	return max(0, s.deps.Clock.Now().Add(sliceRepairs).Sub(s.until))
}

// takesTime tells whether more has to be done about the person than to count them.
func (s *reconcileSession) takesTime(person domain.ListedClerkUser, known map[string]*domain.MirroredProfile) bool {
	return person.Err == nil && !s.inStep(person, known)
}

func (s *reconcileSession) inStep(person domain.ListedClerkUser, known map[string]*domain.MirroredProfile) bool {
	profile := known[person.User.ID]
	return profile != nil && profile.InStep(person.User, s.deps.Clock.Now())
}

// known finds the profiles of a page's people in one statement.
func (s *reconcileSession) known(ctx context.Context, people []domain.ListedClerkUser) (map[string]*domain.MirroredProfile, error) {
	ids := make([]string, 0, len(people))
	for _, p := range people {
		if p.ID != "" {
			ids = append(ids, p.ID)
		}
	}
	found, err := s.deps.People.Mirrored(ctx, ids)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*domain.MirroredProfile, len(found))
	for i := range found {
		known[found[i].ClerkUserID] = &found[i]
	}
	return known, nil
}

// person brings one person of a page in step. Who cannot be read or repaired is
// counted, and keeps nobody else from it. The error is about what concerns all.
func (s *reconcileSession) person(
	ctx context.Context, counts *domain.ReconcileCounts, person domain.ListedClerkUser, known map[string]*domain.MirroredProfile,
) error {
	counts.Seen++
	if person.Err != nil {
		counts.Unreadable++
		s.told(ReconcileProgress{Stage: ReconcileFault, Reason: safeReason(person.Err)})
		return nil //nolint:nilerr // it is this person's alone, and counted
	}
	if s.inStep(person, known) {
		counts.Unchanged++
		return nil
	}
	return s.apply(ctx, counts, person.User, known[person.User.ID])
}

func (s *reconcileSession) apply(
	ctx context.Context, counts *domain.ReconcileCounts, u domain.ClerkUser, profile *domain.MirroredProfile,
) error {
	outcome, err := s.effects.apply(ctx, u, profile)
	switch {
	case err != nil && concernsAll(ctx, err):
		return err
	case err != nil:
		counts.Failed++
		s.told(ReconcileProgress{Stage: ReconcileFault, Reason: safeReason(err)})
		return nil
	}
	switch outcome {
	case MirrorCreated:
		counts.Created++
	case MirrorUpdated:
		counts.Updated++
	case MirrorStale:
		counts.Stale++
	case MirrorErased:
		counts.Skipped++
	default:
		counts.Unchanged++
	}
	return nil
}

func (s *reconcileSession) endWalk(ctx context.Context, next domain.Reconciliation) error {
	unseen, all, err := s.effects.countUnseen(ctx, next)
	if err != nil {
		return err
	}
	next.Phase, next.Counts.Candidates, next.Profiles = domain.ReconcileVanished, unseen, all
	if err := s.effects.checkpoint(ctx, next, nil); err != nil {
		return err
	}
	s.stored(next, ReconcileChecking)
	return nil
}

// vanished asks Clerk about each profile that the walk has not met, unless they
// are too many: with a wrong key Clerk would say of each that it knows nobody.
// A run that goes on is judged by the count of its walk's end, and begins behind
// the last one who was asked about: to count and to search anew takes its time.
func (s *reconcileSession) vanished(ctx context.Context) (finished bool, err error) {
	if s.over() {
		return false, nil
	}
	if !s.force && !s.run.MayErase(s.deps.MaxErasePercent) {
		return s.refuse(ctx)
	}
	for {
		batch, err := s.effects.unseen(ctx, s.run, s.run.CheckedThrough)
		if err != nil {
			return false, err
		}
		if len(batch) == 0 {
			return s.finish(ctx, domain.ReconcileCompleted, 0)
		}
		for i := range batch {
			if s.over() {
				return false, nil
			}
			if err := s.confirm(ctx, &batch[i]); err != nil {
				return false, err
			}
		}
	}
}

func (s *reconcileSession) refuse(ctx context.Context) (finished bool, err error) {
	left := s.run.Counts.Candidates
	if s.run.CheckedThrough != domain.NobodysID { // it was forced at first, and broke off
		if left, _, err = s.effects.countUnseen(ctx, s.run); err != nil {
			return false, err
		}
	}
	return s.finish(ctx, domain.ReconcileRefused, left)
}

// confirm erases the candidate only when Clerk says that it knows nobody of that id.
func (s *reconcileSession) confirm(ctx context.Context, candidate *domain.MirroredProfile) error {
	u, err := ask(ctx, s, func(ctx context.Context) (domain.ClerkUser, error) {
		return s.deps.Clerk.User(ctx, candidate.ClerkUserID)
	})
	next := s.run
	next.CheckedThrough = candidate.ID
	if errors.Is(err, domain.NotFound) {
		next, err = s.effects.remove(ctx, next, candidate.ClerkUserID)
	} else {
		listed := domain.ListedClerkUser{ID: candidate.ClerkUserID, User: u}
		switch {
		case errors.Is(err, domain.Invalid):
			listed.Err = err
		case err != nil:
			return err
		}
		err = s.person(ctx, &next.Counts, listed, map[string]*domain.MirroredProfile{candidate.ClerkUserID: candidate})
		if err == nil {
			err = s.effects.checkpoint(ctx, next, []string{candidate.ClerkUserID})
		}
	}
	if err != nil {
		return err
	}
	s.stored(next, ReconcileChecked)
	return nil
}

func (s *reconcileSession) finish(ctx context.Context, o domain.ReconcileOutcome, refused int) (bool, error) {
	next := s.run
	next.Counts.Refused = refused
	next.Finish(o, s.deps.Clock.Now())
	if err := s.effects.checkpoint(ctx, next, nil); err != nil {
		return false, err
	}
	s.run = next
	for more := true; more && !s.late(0); { // what stays is the purge's
		more = s.effects.forget(ctx, s.run)
	}
	return true, nil
}

// ask puts a question to Clerk, at a modest pace. A patient session asks again
// when Clerk says it may, and says that it waits.
func ask[T any](ctx context.Context, s *reconcileSession, question func(ctx context.Context) (T, error)) (T, error) {
	for begun := s.deps.Clock.Now(); ; {
		if pause := s.deps.Pause - s.deps.Clock.Now().Sub(s.asked); !s.asked.IsZero() && pause > 0 {
			if err := s.deps.Wait(ctx, pause); err != nil {
				var none T
				return none, err
			}
		}
		s.asked = s.deps.Clock.Now()
		answer, err := question(ctx)
		if err == nil || !s.patient || !errors.Is(err, domain.Unavailable) || ctx.Err() != nil {
			return answer, err
		}
		patience := outagePatience
		if domain.HasCode(err, domain.CodeRateLimited) {
			patience = limitPatience
		}
		wait := max(retryAfterOf(err), time.Second)
		if s.deps.Clock.Now().Sub(begun)+wait > patience {
			return answer, err
		}
		s.told(ReconcileProgress{Stage: ReconcileWaiting, Wait: wait, Reason: safeReason(err)})
		if err := s.deps.Wait(ctx, wait); err != nil {
			return answer, err
		}
	}
}

// concernsAll tells apart what would befall the next person too.
func concernsAll(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, domain.Unavailable) || errors.Is(err, domain.Timeout) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func retryAfterOf(err error) time.Duration {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.RetryAfter()
	}
	return 0
}

// safeReason is what of an error anybody may read: never a cause, which may hold values.
func safeReason(err error) string {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.Message()
	}
	return fmt.Sprintf("An error of the type %T.", err)
}
