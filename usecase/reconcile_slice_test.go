package usecase_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

const interval = 6 * time.Hour

func (w *walked) slice(t *testing.T) usecase.ReconcileSlice {
	t.Helper()
	s, err := usecase.NewReconcile(w.deps).Slice(t.Context(), interval, nil)
	if err != nil || w.store.LeaseOwner() != "" {
		t.Fatalf("slice %+v, %v; the lease is %q's", s, err, w.store.LeaseOwner())
	}
	return s
}

func (w *walked) wantNothingDue(t *testing.T, when string) {
	t.Helper()
	if s := w.slice(t); s != (usecase.ReconcileSlice{}) {
		t.Errorf("%s: %+v", when, s)
	}
}

func TestSlicesBeginOneIntervalAfterTheFirstLook(t *testing.T) {
	w := newWalked(5)
	w.wantNothingDue(t, "at once")
	w.clock.Advance(interval - time.Second)
	w.wantNothingDue(t, "shortly before")
	w.clock.Advance(time.Second)
	s := w.slice(t)
	if !s.Finished || s.Again != 0 || s.Done.Created != 5 || !s.Run.Periodic {
		t.Errorf("%+v", s)
	}
	w.wantNothingDue(t, "just after")
	w.clock.Advance(interval - time.Minute)
	w.run(t) // the command's run counts too
	w.clock.Advance(2 * time.Minute)
	w.wantNothingDue(t, "after the command")
	w.clock.Advance(interval)
	if s := w.slice(t); !s.Finished || s.Done.Unchanged != 5 {
		t.Errorf("%+v", s)
	}
	if s, err := usecase.NewReconcile(w.deps).Slice(t.Context(), 0, nil); err != nil || s != (usecase.ReconcileSlice{}) {
		t.Errorf("switched off: %+v, %v", s, err)
	}
}

// due lets the interval go by.
func (w *walked) due(t *testing.T) {
	t.Helper()
	w.wantNothingDue(t, "at the first look")
	w.clock.Advance(interval)
}

// A slice ends in time, in the middle of a page if it must, and the next one, in
// another process, goes on there.
func TestSlicesAreShortAndGoOn(t *testing.T) {
	w := inStep(t, 20)
	w.clerk.remove("user_004")
	w.clerk.remove("user_011")
	email := "new@example.org"
	for _, id := range []string{"user_001", "user_002", "user_013"} {
		w.clerk.change(id, func(u *domain.ClerkUser) { u.Email, u.UpdatedAt = &email, w.clock.Now() })
	}
	w.due(t)
	slow := slowMirror{w.deps.Mirror, w}
	w.deps.Mirror = slow
	w.clerk.before = func(string) error { w.clock.Advance(3 * time.Second); return nil }
	var sum domain.ReconcileCounts
	slices, runs := 0, map[string]bool{}
	for {
		begun := w.clock.Now()
		s := w.slice(t)
		if took := w.clock.Now().Sub(begun); took > 5*time.Second+3*time.Second+3*time.Second+9*time.Second {
			t.Errorf("a slice took %s", took)
		}
		slices++
		runs[s.Run.ID] = true
		sum.Seen, sum.Updated, sum.Erased = sum.Seen+s.Done.Seen, sum.Updated+s.Done.Updated, sum.Erased+s.Done.Erased
		if s.Finished {
			break
		}
		if s.Again <= 0 || s.Again > time.Minute || slices > 50 {
			t.Fatalf("slice %d: %+v", slices, s)
		}
	}
	if slices < 4 || len(runs) != 1 || sum.Seen != 18 || sum.Updated != 3 || sum.Erased != 2 {
		t.Errorf("%d slices, runs %v, sum %+v", slices, runs, sum)
	}
	w.wantMirror(t)
}

// slowMirror takes nine seconds for each person.
type slowMirror struct {
	usecase.UserMirror
	w *walked
}

func (m slowMirror) Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (usecase.MirrorOutcome, error) {
	m.w.clock.Advance(9 * time.Second)
	return m.UserMirror.Apply(ctx, u, from)
}

// The job waits for nobody: it comes back.
func TestASliceDoesNotWait(t *testing.T) {
	w := newWalked(9)
	w.due(t)
	w.clerk.before = func(question string) error {
		if question == "6" {
			return limited(time.Minute)
		}
		return nil
	}
	s, err := usecase.NewReconcile(w.deps).Slice(t.Context(), interval, nil)
	var e *domain.Error
	if !errors.As(err, &e) || e.Kind() != domain.Unavailable || e.RetryAfter() != time.Minute || s.Done.Created != 6 || s.Run.NextOffset != 6 {
		t.Errorf("slice %+v, %v", s, err)
	}
	w.clerk.before = nil
	if taken, err := w.deps.Lease.Take(t.Context(), "a command", time.Hour); err != nil || !taken {
		t.Fatal(err)
	}
	if s, err := usecase.NewReconcile(w.deps).Slice(t.Context(), interval, nil); err != nil || s.Finished || s.Again == 0 || s.Run.ID != "" {
		t.Errorf("while somebody is at work: %+v, %v", s, err)
	}
	w.store.EndLease()
	if s := w.slice(t); !s.Finished || s.Done.Created != 3 || s.Run.Counts.Created != 9 {
		t.Errorf("afterwards: %+v", s)
	}
}

// What an operator broke off is theirs to go on with, and what they forced does not stay forced.
func TestASliceLeavesACommandsRunAlone(t *testing.T) {
	w := inStep(t, 10)
	w.wantNothingDue(t, "at the first look")
	for _, id := range []string{"user_000", "user_001", "user_002", "user_003", "user_004"} {
		w.clerk.remove(id)
	}
	dead, asked := errors.New("dead"), 0
	w.clerk.before = func(question string) error {
		if strings.HasPrefix(question, "user_") {
			asked++
		}
		if asked == 3 {
			return dead
		}
		return nil
	}
	if _, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options(forced)); !errors.Is(err, dead) {
		t.Fatal(err)
	}
	left := len(w.store.Profiles())
	w.clerk.before = nil
	w.wantNothingDue(t, "soon after")
	w.clock.Advance(interval)
	s := w.slice(t)
	if !s.Finished || !s.Run.EndedAs(domain.ReconcileRefused) || s.Run.Counts.Refused != 3 || len(w.store.Profiles()) != left || left != 8 {
		t.Errorf("%+v, %d of %d profiles left", s, len(w.store.Profiles()), left)
	}
	w.wantNothingDue(t, "after a refusal")
}

// slowPeople takes longer than a slice to count and to list.
type slowPeople struct {
	usecase.ReconcilePeople
	w       *walked
	counted int
	behind  []string
}

func (s *slowPeople) CountUnseen(ctx context.Context, r domain.Reconciliation) (unseen, all int, err error) {
	s.w.clock.Advance(9 * time.Second)
	s.counted++
	return s.ReconcilePeople.CountUnseen(ctx, r)
}

func (s *slowPeople) Unseen(ctx context.Context, r domain.Reconciliation, after string, limit int) ([]domain.MirroredProfile, error) {
	s.w.clock.Advance(9 * time.Second)
	s.behind = append(s.behind, after)
	return s.ReconcilePeople.Unseen(ctx, r, after, limit)
}

// However long it takes to find the candidates, each slice asks about one at
// least, and none begins from the first again.
func TestSlicesComeToTheEndOfManyProfiles(t *testing.T) {
	w := inStep(t, 30)
	want := []string{domain.NobodysID}
	for _, id := range []string{"user_003", "user_011", "user_012", "user_029"} {
		want = append(want, w.profile(id).ID)
		w.clerk.remove(id)
	}
	slices.Sort(want)
	w.due(t)
	slow := &slowPeople{ReconcilePeople: w.deps.People, w: w}
	w.deps.People = slow
	for n := 1; ; n++ {
		s := w.slice(t)
		if s.Finished {
			break
		}
		if n > 10 {
			t.Fatalf("slice %d: %+v", n, s)
		}
	}
	if slow.counted != 1 || !slices.Equal(slow.behind, want) {
		t.Errorf("counted %d times; looked behind %v, want %v", slow.counted, slow.behind, want)
	}
	w.wantMirror(t)
}

// A Clerk that takes longer for a page than a slice has is asked for each page
// once: its people are dealt with as long as that takes little time.
func TestSlicesWithASlowClerk(t *testing.T) {
	w := newWalked(30)
	w.deps.PageSize = 10
	w.due(t)
	w.clerk.before = func(string) error { w.clock.Advance(9 * time.Second); return nil }
	asked := func() (pages []string) {
		for n := 1; !w.slice(t).Finished; n++ {
			if n > 10 {
				t.Fatal("it does not end")
			}
		}
		return offsets(w.clerk.took())
	}
	if pages := asked(); !slices.Equal(pages, []string{"0", "10", "20", "30"}) {
		t.Errorf("people to be created: asked for %v", pages)
	}
	w.wantMirror(t)
	// Who takes long ends a slice, but not before all who are in step.
	w.clock.Advance(interval)
	email := "new@example.org"
	for _, id := range []string{"user_000", "user_007"} {
		w.clerk.change(id, func(u *domain.ClerkUser) { u.Email, u.UpdatedAt = &email, w.clock.Now() })
	}
	w.clerk.broken["user_004"] = errUnreadable
	w.deps.Mirror = slowMirror{w.deps.Mirror, w}
	if pages := asked(); !slices.Equal(pages, []string{"0", "7", "17", "27", "30"}) {
		t.Errorf("two to be repaired: asked for %v", pages)
	}
}
