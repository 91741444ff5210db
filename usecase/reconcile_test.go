package usecase_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

func TestReconcileRepairsEverybody(t *testing.T) {
	w := inStep(t, 11)
	later := w.clock.Now()
	other := "changed@example.org"
	w.clerk.change("user_002", func(u *domain.ClerkUser) { u.Email, u.UpdatedAt = &other, later })
	w.clerk.change("user_005", func(u *domain.ClerkUser) { u.Suspended, u.UpdatedAt = true, later })
	w.clerk.remove("user_007")
	fresh := "fresh@example.org"
	w.clerk.people = append(w.clerk.people, domain.ClerkUser{ID: "user_new", UpdatedAt: later, Email: &fresh})
	w.clerk.change("user_008", func(u *domain.ClerkUser) { u.UpdatedAt = u.UpdatedAt.Add(-time.Hour) }) // a late replica of Clerk's
	gone := w.profile("user_007").ID

	run := w.run(t)
	wantCounts(t, run.Counts, domain.ReconcileCounts{Seen: 11, Created: 1, Updated: 2, Unchanged: 7, Stale: 1, Candidates: 1, Erased: 1})
	if !run.EndedAs(domain.ReconcileCompleted) || run.Profiles != 11 || run.Pages != 5 || run.NextOffset != 11 {
		t.Errorf("the run is %+v", run)
	}
	w.wantMirror(t)
	asked := w.clerk.took()
	if got := ids(asked); !slices.Equal(got, []string{"user_007"}) {
		t.Errorf("asked about %v", got)
	}
	if got := offsets(asked); !slices.Equal(got, []string{"0", "3", "6", "9", "11"}) {
		t.Errorf("pages %v", got)
	}
	events := w.store.Events()
	if last := events[len(events)-1]; last.Action != domain.ActionProfileErased || last.ProfileID != gone || last.ActorKind != domain.ActorSystem {
		t.Errorf("the last event is %+v", last)
	}
	// A second run finds nothing to do, and does nothing.
	again := w.run(t)
	wantCounts(t, again.Counts, domain.ReconcileCounts{Seen: 11, Unchanged: 10, Stale: 1})
	if len(w.store.Events()) != len(events) {
		t.Error("the second run changed something")
	}
	if len(w.told(usecase.ReconcilePage)) != 4 || len(w.told(usecase.ReconcileChecking)) != 1 || w.events[0].Stage != usecase.ReconcileBegun {
		t.Errorf("told %+v", w.events)
	}
}

// Who was erased here is not created again, though Clerk has not deleted them yet.
func TestReconcileLeavesTheErasedAlone(t *testing.T) {
	w := newWalked(5)
	w.store.MarkErased(storetest.Hashes.Candidates(domain.PurposeErasedIdentity, "user_003")[1]) // under the older key
	for _, kind := range []func(*usecase.ReconcileOptions){dry, func(*usecase.ReconcileOptions) {}} {
		wantCounts(t, w.run(t, kind).Counts, domain.ReconcileCounts{Seen: 5, Created: 4, Skipped: 1})
	}
	if w.profile("user_003") != nil {
		t.Error("the erased person is back")
	}
}

func TestReconcileErasesNoMoreThanTheShare(t *testing.T) {
	for _, c := range []struct {
		people, vanished, percent int
		refused                   bool
	}{
		{10, 3, 20, false}, {10, 4, 20, true}, {40, 8, 20, false}, {40, 11, 20, true}, {10, 1, 0, true}, {10, 0, 0, false}, {10, 9, 100, false}, {10, 10, 100, true},
	} {
		t.Run(fmt.Sprintf("%d of %d at %d", c.vanished, c.people, c.percent), func(t *testing.T) {
			w := inStep(t, c.people)
			w.deps.MaxErasePercent = c.percent
			for i := range c.vanished {
				w.clerk.remove(fmt.Sprintf("user_%03d", i))
			}
			before := len(w.store.Events())
			for _, kind := range []func(*usecase.ReconcileOptions){dry, func(*usecase.ReconcileOptions) {}} {
				w.clerk.took()
				run := w.run(t, kind)
				if run.EndedAs(domain.ReconcileRefused) != c.refused || c.refused != (run.Counts.Refused == c.vanished && c.vanished > 0) {
					t.Errorf("the run is %+v", run)
				}
				if c.refused && (len(ids(w.clerk.took())) != 0 || len(w.store.Events()) != before || len(w.store.Profiles()) != c.people || run.Counts.Repaired()) {
					t.Errorf("although refused: asked, erased or passed for in step: %+v", run)
				}
			}
			run := w.run(t, forced)
			if !run.EndedAs(domain.ReconcileCompleted) || run.Counts.Refused != 0 || len(w.store.Profiles()) != c.people-c.vanished {
				t.Errorf("forced: %+v, %d profiles left", run, len(w.store.Profiles()))
			}
		})
	}
}

// A refusal keeps nobody from being repaired.
func TestReconcileRepairsTheOthersWhenItRefuses(t *testing.T) {
	w := inStep(t, 4)
	w.clerk.remove("user_000")
	w.clerk.remove("user_001")
	email := "x@example.org"
	w.clerk.people = append(w.clerk.people, domain.ClerkUser{ID: "user_new", UpdatedAt: w.clock.Now(), Email: &email})
	w.clerk.change("user_003", func(u *domain.ClerkUser) { u.Email, u.UpdatedAt = &email, w.clock.Now() })
	wantCounts(t, w.run(t).Counts, domain.ReconcileCounts{Seen: 3, Created: 1, Updated: 1, Unchanged: 1, Candidates: 2, Refused: 2})
	if w.profile("user_new") == nil || *w.profile("user_003").Email != email || len(w.store.Profiles()) != 5 {
		t.Error("the others are not in step")
	}
}

// An empty answer in the middle makes candidates of everybody behind it, and Clerk says of each that they are there.
func TestReconcileDoesNotBelieveAShortenedList(t *testing.T) {
	w := inStep(t, 10)
	w.deps.MaxErasePercent = 90
	whole := w.clerk.people
	w.clerk.before = func(question string) error {
		if question == "6" {
			w.clerk.mu.Lock()
			defer w.clerk.mu.Unlock()
			w.clerk.people = whole[:6]
		}
		if strings.HasPrefix(question, "user_") {
			w.clerk.mu.Lock()
			defer w.clerk.mu.Unlock()
			w.clerk.people = whole
		}
		return nil
	}
	run := w.run(t)
	wantCounts(t, run.Counts, domain.ReconcileCounts{Seen: 10, Unchanged: 10, Candidates: 4})
	w.wantMirror(t)
}

// Somebody is deleted during the walk, so that the next page skips a person.
func TestReconcileErasesNobodyWhomThePagesSkipped(t *testing.T) {
	w := inStep(t, 10)
	w.clerk.before = func(question string) error {
		if question == "3" {
			w.clerk.remove("user_000")
			w.clerk.remove("user_001")
		}
		return nil
	}
	run := w.run(t)
	// The two were met before they went: the next run, or their webhook, erases them.
	wantCounts(t, run.Counts, domain.ReconcileCounts{Seen: 10, Unchanged: 10, Candidates: 2})
	if asked := slices.Sorted(slices.Values(ids(w.clerk.took()))); len(w.store.Profiles()) != 10 || !slices.Equal(asked, []string{"user_003", "user_004"}) {
		t.Errorf("%d profiles, asked about %v", len(w.store.Profiles()), asked)
	}
	w.clerk.before = nil
	wantCounts(t, w.run(t).Counts, domain.ReconcileCounts{Seen: 8, Unchanged: 8, Candidates: 2, Erased: 2})
	w.wantMirror(t)
}

// Who comes by a first request while the walk is under way has not vanished.
func TestReconcileSparesWhoCameDuringTheWalk(t *testing.T) {
	for _, kind := range []func(*usecase.ReconcileOptions){dry, forced} {
		w := inStep(t, 7)
		w.clerk.before = func(question string) error {
			if question == "6" {
				w.clock.Advance(time.Second)
				w.store.PutProfile(*domain.NewProfile("user_came", "came", w.clock.Now()))
			}
			return nil
		}
		wantCounts(t, w.run(t, kind).Counts, domain.ReconcileCounts{Seen: 7, Unchanged: 7})
		if w.profile("user_came") == nil || len(ids(w.clerk.took())) != 0 {
			t.Error("who came is gone or was asked about")
		}
	}
}

var errUnreadable = domain.NewError(domain.Invalid, domain.CodeValidationFailed, "What Clerk says cannot be read.")

// Who cannot be read is left as they are, also when not even the id is known.
func TestReconcileLeavesTheUnreadableAlone(t *testing.T) {
	for _, kind := range []func(*usecase.ReconcileOptions){dry, forced} {
		w := inStep(t, 8)
		w.clerk.broken["user_002"], w.clerk.broken["user_004"] = errUnreadable, errUnreadable
		nameless := namelessAt{w.clerk, "user_004"}
		w.deps.Clerk = nameless
		run := w.run(t, kind)
		wantCounts(t, run.Counts, domain.ReconcileCounts{Seen: 9, Unchanged: 6, Unreadable: 3, Candidates: 1}) // the nameless one is seen again by id
		if len(w.store.Profiles()) != 8 || run.Counts.Repaired() || !slices.Equal(ids(w.clerk.took()), []string{"user_004"}) {
			t.Errorf("%+v", run)
		}
		if faults := w.told(usecase.ReconcileFault); len(faults) != 3 || faults[0].Reason != errUnreadable.Message() {
			t.Errorf("told %+v", faults)
		}
	}
}

// namelessAt lists somebody without their id.
type namelessAt struct {
	*clerkDirectory
	id string
}

func (n namelessAt) Users(ctx context.Context, offset, limit int) ([]domain.ListedClerkUser, error) {
	page, err := n.clerkDirectory.Users(ctx, offset, limit)
	for i := range page {
		if page[i].ID == n.id {
			page[i] = domain.ListedClerkUser{Err: errUnreadable}
		}
	}
	return page, err
}

// failingMirror fails for one person.
type failingMirror struct {
	usecase.UserMirror
	id  string
	err error
}

func (m failingMirror) Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (usecase.MirrorOutcome, error) {
	if from != domain.FromAPI {
		return "", errors.New("this is no webhook")
	}
	if u.ID == m.id {
		return "", m.err
	}
	return m.UserMirror.Apply(ctx, u, from)
}

func TestReconcileGoesOnPastOnePersonsFault(t *testing.T) {
	w := newWalked(7)
	w.deps.Mirror = failingMirror{w.deps.Mirror, "user_001", domain.NewError(domain.Conflict, domain.CodeConflict, "It cannot be.")}
	run := w.run(t)
	wantCounts(t, run.Counts, domain.ReconcileCounts{Seen: 7, Created: 6, Failed: 1})
	if faults := w.told(usecase.ReconcileFault); len(faults) != 1 || faults[0].Reason != "It cannot be." || run.Counts.Repaired() {
		t.Errorf("told %+v", faults)
	}
}

// What would befall everybody ends the run, which can be gone on with.
func TestReconcileStopsAtWhatConcernsAll(t *testing.T) {
	for _, fault := range []error{domain.UnavailableError(nil, time.Second), domain.TimeoutError(nil)} {
		w := newWalked(7)
		w.deps.Mirror = failingMirror{w.deps.Mirror, "user_004", fault}
		run, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options())
		if !errors.Is(err, fault) || run.FinishedAt != nil || run.NextOffset != 3 || run.Counts.Created != 3 {
			t.Errorf("run %+v, %v", run, err)
		}
		w.deps.Mirror = usecase.NewMirror(w.stored())
		w.clerk.took()
		again := w.run(t)
		if again.ID != run.ID || again.Counts.Seen != 7 || offsets(w.clerk.took())[0] != "3" || len(w.told(usecase.ReconcileResumed)) != 1 {
			t.Errorf("again %+v", again)
		}
		w.wantMirror(t)
	}
}

// A dry run changes nothing, takes no lease, and says what the run then does.
func TestReconcileDryRun(t *testing.T) {
	w := inStep(t, 12)
	later, other := w.clock.Now(), "changed@example.org"
	w.clerk.change("user_002", func(u *domain.ClerkUser) { u.Email, u.UpdatedAt = &other, later })
	w.clerk.change("user_003", func(u *domain.ClerkUser) { u.Suspended, u.UpdatedAt = true, later })
	w.clerk.remove("user_004")
	w.clerk.change("user_005", func(u *domain.ClerkUser) { u.UpdatedAt = u.UpdatedAt.Add(-time.Minute) })
	w.clerk.people = append(w.clerk.people, domain.ClerkUser{ID: "user_new", UpdatedAt: later, Email: &other})
	w.store.PutProfile(*domain.NewProfile("user_gone", "gone", later.Add(-time.Minute)))

	profiles, events, runs := w.store.Profiles(), w.store.Events(), w.store.Reconciliations().Runs()
	taken, err := w.deps.Lease.Take(t.Context(), "somebody at work", time.Hour)
	if err != nil || !taken {
		t.Fatal(err)
	}
	rehearsed, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options(dry))
	if err != nil {
		t.Fatal(err)
	}
	if w.store.LeaseOwner() != "somebody at work" || !reflect.DeepEqual(w.store.Profiles(), profiles) ||
		!reflect.DeepEqual(w.store.Events(), events) || !reflect.DeepEqual(w.store.Reconciliations().Runs(), runs) {
		t.Error("the dry run changed something")
	}
	if err := w.deps.Lease.Release(t.Context(), "somebody at work"); err != nil {
		t.Fatal(err)
	}
	run := w.run(t)
	wantCounts(t, rehearsed.Counts, run.Counts)
	wantCounts(t, run.Counts, domain.ReconcileCounts{Seen: 12, Created: 1, Updated: 2, Unchanged: 8, Stale: 1, Candidates: 2, Erased: 2})
	if !rehearsed.EndedAs(domain.ReconcileCompleted) || rehearsed.Profiles != 13 {
		t.Errorf("rehearsed %+v", rehearsed)
	}
	w.wantMirror(t)
}
