package usecase_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

func limited(after time.Duration) error {
	return domain.NewError(domain.Unavailable, domain.CodeRateLimited, "Clerk answered with status 429.").WithRetryAfter(after)
}

// The command waits as long as Clerk says, tells so, and asks the same again.
func TestReconcileWaitsAsClerkSays(t *testing.T) {
	w := newWalked(5)
	refusals := 3
	w.clerk.before = func(question string) error {
		if question == "3" && refusals > 0 {
			refusals--
			return limited(time.Duration(refusals) * 7 * time.Second)
		}
		return nil
	}
	run := w.run(t)
	if run.Counts.Created != 5 || !slices.Equal(w.clerk.took(), []string{"0", "3", "3", "3", "3", "5"}) {
		t.Errorf("run %+v", run)
	}
	waits := slices.DeleteFunc(w.waits, func(d time.Duration) bool { return d < time.Millisecond }) // the pauses
	if want := []time.Duration{14 * time.Second, 7 * time.Second, time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
	if told := w.told(usecase.ReconcileWaiting); len(told) != 3 || told[0].Wait != 14*time.Second || told[0].Reason != "Clerk answered with status 429." {
		t.Errorf("told %+v", told)
	}
}

// With a Clerk that is away the command is patient for a while, with a limit for longer; a fault ends it at once.
func TestReconcilesPatienceEnds(t *testing.T) {
	broken := domain.NewError(domain.Internal, domain.CodeInternal, "Clerk answered with status 401.")
	for name, c := range map[string]struct {
		fault    error
		from, to time.Duration
	}{
		"away": {domain.UnavailableError(nil, 5*time.Second), 20 * time.Second, time.Minute}, "limit": {limited(time.Minute), 20 * time.Minute, time.Hour},
		"a limit of hours": {limited(3 * time.Hour), 0, time.Second}, "fault": {broken, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalked(5)
			w.clerk.before = func(question string) error {
				if question == "3" {
					return c.fault
				}
				return nil
			}
			run, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options())
			waited := w.clock.Now().Sub(storetest.Now)
			if !errors.Is(err, c.fault) || run.NextOffset != 3 || waited < c.from || waited > c.to || w.store.LeaseOwner() != "" {
				t.Errorf("run %+v, %v, after %s", run, err, waited)
			}
			w.clerk.before = nil
			if again := w.run(t); again.ID != run.ID || len(w.store.Profiles()) != 5 {
				t.Errorf("again %+v", again)
			}
		})
	}
}

func TestReconcileKeepsAModestPace(t *testing.T) {
	w := newWalked(9)
	w.deps.Pause = 0 // what the program has
	w.run(t)
	if waited := w.clock.Now().Sub(storetest.Now); waited < 3*200*time.Millisecond || len(w.waits) != 3 {
		t.Errorf("four requests took %s, in %d pauses", waited, len(w.waits))
	}
}

func TestReconcileIsInterrupted(t *testing.T) {
	w := newWalked(9)
	ctx, cancel := context.WithCancel(t.Context())
	w.clerk.before = func(question string) error {
		if question == "6" {
			cancel()
		}
		return nil
	}
	run, err := usecase.NewReconcile(w.deps).Run(ctx, w.options())
	if !errors.Is(err, context.Canceled) || run.NextOffset != 6 || w.store.LeaseOwner() != "" {
		t.Errorf("run %+v, %v; the lease is %q's", run, err, w.store.LeaseOwner())
	}
	w.clerk.took()
	w.clerk.before = nil
	if again := w.run(t); again.ID != run.ID || again.Counts.Created != 9 || offsets(w.clerk.took())[0] != "6" {
		t.Errorf("again %+v", again)
	}
}

// A process that dies between any two steps: the next one goes on where it was,
// asks for no page that is done, and ends in the same state.
func TestReconcileOutlivesItsProcessAtAnyStep(t *testing.T) {
	dead := errors.New("dead")
	for step := int64(1); ; step++ {
		w := newWalked(20)
		w.deps.MaxErasePercent = 100 // the two who vanish are all that were here before
		w.clerk.people = slices.DeleteFunc(w.clerk.people, func(u domain.ClerkUser) bool { return u.ID == "user_015" || u.ID == "user_003" })
		for _, id := range []string{"user_003", "user_015"} {
			w.store.PutProfile(*domain.NewProfile(id, "h_"+id, storetest.Now.Add(-time.Minute)))
		}
		w.clock.Advance(time.Minute)
		var steps, alive atomic.Int64
		w.store.Fail = func(string) error {
			if steps.Add(1) >= step && alive.Load() == 0 {
				return dead
			}
			return nil
		}
		first, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options())
		if err == nil {
			if step < 100 {
				t.Errorf("a run has %d steps only", step)
			}
			break
		}
		if !errors.Is(err, dead) {
			t.Fatalf("step %d: %v", step, err)
		}
		alive.Store(1)
		w.store.EndLease()
		done := len(offsets(w.clerk.took()))
		stored, _ := w.deps.Runs.Unfinished(t.Context())
		last := w.run(t)
		w.wantMirror(t)
		if stored.ID != "" && (last.ID != stored.ID || len(w.told(usecase.ReconcileResumed)) != 1) {
			t.Errorf("step %d: run %s went on as %s", step, stored.ID, last.ID)
		}
		asked := offsets(w.clerk.took())
		if len(asked) > 0 && stored.ID != "" && asked[0] != fmt.Sprint(stored.NextOffset) || done+len(asked) > 7+2 {
			t.Errorf("step %d: %d pages, then %v; stored %d", step, done, asked, stored.NextOffset)
		}
		if last.Counts.Erased != 2 || last.Counts.Seen != 18 || !last.EndedAs(domain.ReconcileCompleted) {
			t.Errorf("step %d: %+v after %+v", step, last.Counts, first.Counts)
		}
	}
}

// What was met a day ago says little.
func TestReconcileBeginsAnewAfterADay(t *testing.T) {
	for age, same := range map[time.Duration]bool{24*time.Hour - time.Second: true, 24 * time.Hour: false} {
		w := newWalked(5)
		old := domain.NewReconciliation(false, storetest.Now)
		old.NextOffset = 3
		if err := errors.Join(w.deps.Runs.Begin(t.Context(), old), w.deps.Runs.Save(t.Context(), old)); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(age)
		run := w.run(t)
		if (run.ID == old.ID) != same || (w.clerk.took()[0] == "3") != same {
			t.Errorf("after %s: %+v", age, run)
		}
		if abandoned := w.store.Reconciliations().Runs()[0].EndedAs(domain.ReconcileAbandoned); abandoned == same {
			t.Errorf("after %s the old run is %+v", age, w.store.Reconciliations().Runs()[0])
		}
	}
}

// A second command waits for the first, says so once, and then makes its own run.
func TestReconcileWaitsForAnother(t *testing.T) {
	w := newWalked(5)
	taken, err := w.deps.Lease.Take(t.Context(), "the first", time.Hour)
	if err != nil || !taken {
		t.Fatal(err)
	}
	polls := 0
	wait := w.deps.Wait
	w.deps.Wait = func(ctx context.Context, d time.Duration) error {
		if polls++; polls == 3 {
			return errors.Join(wait(ctx, d), w.deps.Lease.Release(ctx, "the first"))
		}
		return wait(ctx, d)
	}
	w.run(t)
	if len(w.told(usecase.ReconcileQueued)) != 1 || polls < 3 {
		t.Errorf("told %+v, polls %d", w.events, polls)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if run, err := usecase.NewReconcile(w.deps).Run(ended, w.options()); !errors.Is(err, context.Canceled) || run.ID != "" {
		t.Errorf("after the end: %+v, %v", run, err)
	}
}

// Who has lost the lease writes nothing more over the work of who has it.
func TestReconcileStopsWhenItsLeaseIsLost(t *testing.T) {
	w := newWalked(9)
	w.clerk.before = func(question string) error {
		if question == "6" {
			w.store.EndLease()
			if taken, err := w.deps.Lease.Take(t.Context(), "another", time.Hour); err != nil || !taken {
				t.Errorf("taken %v, %v", taken, err)
			}
		}
		return nil
	}
	run, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options())
	if !errors.Is(err, domain.Conflict) || run.NextOffset != 6 || w.store.LeaseOwner() != "another" {
		t.Errorf("run %+v, %v; the lease is %q's", run, err, w.store.LeaseOwner())
	}
	if stored, err := w.deps.Runs.Unfinished(t.Context()); err != nil || stored.NextOffset != 6 {
		t.Errorf("stored %+v, %v", stored, err)
	}
}

// A list that never comes to its end does not keep the walk for ever, and erases nobody.
func TestReconcileAListThatStandsStill(t *testing.T) {
	w := inStep(t, 5)
	w.clerk.still = true
	run, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options(forced))
	if !errors.Is(err, domain.Internal) || run.Counts.Erased != 0 || len(w.store.Profiles()) != 5 || !slices.Equal(w.clerk.took(), []string{"0", "3"}) {
		t.Errorf("%+v, %v", run, err)
	}
}
