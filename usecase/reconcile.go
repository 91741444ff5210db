package usecase

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/profile-api/profile-api/domain"
)

const (
	leaseHold     = 15 * time.Second // a run whose process was killed can be gone on with after that long
	leaseRenewal  = 5 * time.Second
	leasePoll     = time.Second     // of who waits for it
	leaseFarewell = 3 * time.Second // to give it up, also when the process is told to end

	// sliceLength is how long Clerk is asked anew, and sliceRepairs how long at least people are
	// repaired after its answer, lest a slow Clerk gets one person done per request. With a last
	// request, which may take 10 s, both stay within the 20 s of a job.
	sliceLength  = 5 * time.Second
	sliceRepairs = 3 * time.Second
	// sliceBusy is the wait of the job while somebody else works on the run.
	sliceBusy = 30 * time.Second
	// sliceGap lets others have the lease, the workers and the pool between two slices.
	sliceGap = time.Second
)

// ReconcileDeps is what [Reconcile] needs. All fields are required but the last three.
type ReconcileDeps struct {
	Tx              UnitOfWork
	Clerk           ClerkDirectory
	Mirror          UserMirror
	Runs            ReconcileRuns
	Lease           ReconcileLease
	People          ReconcilePeople
	Identities      IdentityRegister
	Hashes          domain.Pseudonymizer
	Clock           Clock
	MaxErasePercent int // of the profiles from before the run that may vanish in one that is not forced; 0 to 100

	Pause    time.Duration                                    // between two requests to Clerk, at least; zero: 200 ms
	PageSize int                                              // people of a page, 1 to 100; zero: 100
	Wait     func(ctx context.Context, d time.Duration) error // nil: the system's timer; ends with ctx and its error
}

// Reconcile walks through all of Clerk's users and repairs whoever is missing,
// stale or gone. A run outlives its process: where it stands is stored with what
// it has done, page by page.
type Reconcile struct{ deps ReconcileDeps }

// NewReconcile builds the use case.
func NewReconcile(deps ReconcileDeps) *Reconcile {
	if deps.Pause == 0 {
		deps.Pause = defaultPause
	}
	if deps.PageSize == 0 {
		deps.PageSize = defaultPageSize
	}
	if deps.Wait == nil {
		deps.Wait = waitFor
	}
	return &Reconcile{deps}
}

// ReconcileStage is what a run tells of.
type ReconcileStage string

// The stages of [ReconcileProgress].
const (
	ReconcileQueued   ReconcileStage = "queued"   // somebody else is at work; told once
	ReconcileBegun    ReconcileStage = "begun"    //
	ReconcileResumed  ReconcileStage = "resumed"  // a run that broke off goes on
	ReconcilePage     ReconcileStage = "page"     // a page is done
	ReconcileWaiting  ReconcileStage = "waiting"  // Clerk is asked again after Wait, for the Reason
	ReconcileChecking ReconcileStage = "checking" // the walk is over; the candidates are about to be confirmed
	ReconcileChecked  ReconcileStage = "checked"  // one of them is done
	ReconcileFault    ReconcileStage = "fault"    // one person could not be dealt with, for the Reason
)

// ReconcileProgress is one thing that a run tells. It names nobody.
type ReconcileProgress struct {
	Stage  ReconcileStage
	Run    domain.Reconciliation
	Wait   time.Duration
	Reason string // safe to be read by anybody
}

// ReconcileOptions are the command's. Tell may be nil.
type ReconcileOptions struct {
	DryRun bool // changes nothing at all, and takes no lease
	Force  bool // erases however many have vanished
	Tell   func(ReconcileProgress)
}

// Run makes a whole run, or goes on with one that broke off, and waits where
// Clerk or another run asks it to. The run it returns tells how far it came, also
// beside an error; one that is finished as refused is no error. Errors: the
// context's when that has ended; kind Unavailable when Clerk or the database
// stayed away for too long; kind Conflict when another process took the run over.
// After any of them the run can be gone on with.
func (s *Reconcile) Run(ctx context.Context, o ReconcileOptions) (domain.Reconciliation, error) {
	session := &reconcileSession{deps: s.deps, force: o.Force, patient: true, tell: o.Tell}
	if o.DryRun {
		run, err := s.fresh(ctx, false)
		if err != nil {
			return domain.Reconciliation{}, err
		}
		session.run, session.effects = run, newRehearsal(s.deps)
		session.told(ReconcileProgress{Stage: ReconcileBegun})
		_, err = session.work(ctx)
		return session.run, err
	}
	owner := domain.NewID(s.deps.Clock.Now())
	if err := s.awaitLease(ctx, session, owner); err != nil {
		return domain.Reconciliation{}, err
	}
	err := s.holding(ctx, owner, func(ctx context.Context) error {
		if err := s.open(ctx, session, owner, false); err != nil {
			return err
		}
		_, err := session.work(ctx)
		return err
	})
	return session.run, err
}

// ReconcileSlice is what the periodic job did.
type ReconcileSlice struct {
	Run      domain.Reconciliation  // as it stands; empty when nothing was due
	Done     domain.ReconcileCounts // in this slice
	Finished bool                   // the run ended in this slice
	Again    time.Duration          // until there is more to do; zero: nothing is due
}

// Slice works on a run for some seconds, when one is due: the job of the last
// slice is not done, or the last finished run is older than the interval. Before
// the first run ever a whole interval goes by. It never forces and never waits
// for Clerk: an error of kind Unavailable says when to come back. Interval zero
// does nothing; tell may be nil.
func (s *Reconcile) Slice(ctx context.Context, interval time.Duration, tell func(ReconcileProgress)) (ReconcileSlice, error) {
	due, err := s.due(ctx, interval)
	if err != nil || !due {
		return ReconcileSlice{}, err
	}
	now := s.deps.Clock.Now()
	owner := domain.NewID(now)
	taken, err := s.deps.Lease.Take(ctx, owner, leaseHold)
	if err != nil {
		return ReconcileSlice{}, err
	}
	if !taken {
		return ReconcileSlice{Again: sliceBusy}, nil
	}
	session := &reconcileSession{deps: s.deps, until: now.Add(sliceLength), tell: tell}
	var slice ReconcileSlice
	err = s.holding(ctx, owner, func(ctx context.Context) error {
		if err := s.open(ctx, session, owner, true); err != nil {
			return err
		}
		before := session.run.Counts
		var err error
		slice.Finished, err = session.work(ctx)
		slice.Run, slice.Done = session.run, session.run.Counts.Since(before)
		return err
	})
	if err == nil && !slice.Finished {
		slice.Again = sliceGap
	}
	return slice, err
}

func (s *Reconcile) due(ctx context.Context, interval time.Duration) (bool, error) {
	if interval <= 0 {
		return false, nil
	}
	now := s.deps.Clock.Now()
	since, err := s.deps.Runs.WatchedSince(ctx, now)
	if err != nil {
		return false, err
	}
	// A command that was broken off is its operator's to go on with.
	unfinished, err := s.deps.Runs.Unfinished(ctx)
	if err == nil && unfinished.Periodic && unfinished.ResumableAt(now) {
		return true, nil
	}
	if err != nil && !errors.Is(err, domain.NotFound) {
		return false, err
	}
	last, err := s.deps.Runs.LastFinished(ctx)
	if err == nil {
		since = *last.FinishedAt
	} else if !errors.Is(err, domain.NotFound) {
		return false, err
	}
	return now.Sub(since) >= interval, nil
}

// open gives the session its run: the unfinished one, or a new one.
func (s *Reconcile) open(ctx context.Context, session *reconcileSession, owner string, periodic bool) error {
	session.effects = &recording{deps: s.deps, owner: owner}
	now := s.deps.Clock.Now()
	run, err := s.deps.Runs.Unfinished(ctx)
	if err == nil && run.ResumableAt(now) {
		session.run = run
		session.told(ReconcileProgress{Stage: ReconcileResumed})
		return nil
	}
	if err != nil && !errors.Is(err, domain.NotFound) {
		return err
	}
	if run, err = s.fresh(ctx, periodic); err != nil {
		return err
	}
	if err := s.deps.Runs.Begin(ctx, run); err != nil {
		return err
	}
	session.run = run
	session.told(ReconcileProgress{Stage: ReconcileBegun})
	return nil
}

// fresh makes a new run, judged as the one before it when that was not completed.
func (s *Reconcile) fresh(ctx context.Context, periodic bool) (domain.Reconciliation, error) {
	run := domain.NewReconciliation(periodic, s.deps.Clock.Now())
	before, err := s.deps.Runs.Unfinished(ctx)
	if errors.Is(err, domain.NotFound) {
		before, err = s.deps.Runs.LastFinished(ctx)
	}
	switch {
	case err == nil:
		run.Follow(before)
	case !errors.Is(err, domain.NotFound):
		return domain.Reconciliation{}, err
	}
	return run, nil
}

// awaitLease waits until nobody else is at work. A process that was killed is at
// work until its lease ends.
func (s *Reconcile) awaitLease(ctx context.Context, session *reconcileSession, owner string) error {
	for waited := false; ; waited = true {
		taken, err := s.deps.Lease.Take(ctx, owner, leaseHold)
		if err != nil || taken {
			return err
		}
		if !waited {
			session.told(ReconcileProgress{Stage: ReconcileQueued, Wait: leaseHold})
		}
		if err := s.deps.Wait(ctx, leasePoll); err != nil {
			return err
		}
	}
}

// holding runs fn while the lease is renewed, and gives the lease up afterwards.
// When somebody else has it, fn's context ends: what fn stores is refused anyway.
func (s *Reconcile) holding(ctx context.Context, owner string, fn func(ctx context.Context) error) error {
	held, lose := context.WithCancelCause(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() {
		tick := time.NewTicker(leaseRenewal)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			// An outage is no loss: the lease may be had again after it, or is missed at the next checkpoint.
			if taken, err := s.deps.Lease.Take(held, owner, leaseHold); err == nil && !taken {
				lose(errLeaseLost)
			}
		}
	})
	err := fn(held)
	if errors.Is(context.Cause(held), errLeaseLost) {
		err = errLeaseLost
	}
	lose(nil)
	renewal.Wait()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseFarewell)
	defer cancel()
	_ = s.deps.Lease.Release(bounded, owner) // else it ends by itself
	return err
}

var errLeaseLost = domain.NewError(domain.Conflict, domain.CodeConflict, "Another process has taken this reconciliation over.")

// waitFor sleeps, but no longer than ctx lasts.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
