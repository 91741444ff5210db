package usecase_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// foreign is the Clerk of another key: so many strangers, and nobody of ours.
func foreign(people int) *clerkDirectory {
	c := &clerkDirectory{broken: map[string]error{}}
	for i := range people {
		email := fmt.Sprintf("stranger%03d@example.org", i)
		c.people = append(c.people, domain.ClerkUser{ID: fmt.Sprintf("user_stranger_%03d", i), UpdatedAt: storetest.Now, Email: &email})
	}
	return c
}

// ours counts the profiles that are not a stranger's.
func (w *walked) ours() (n int) {
	for _, p := range w.store.Profiles() {
		if !strings.HasPrefix(p.ClerkUserID, "user_stranger_") {
			n++
		}
	}
	return n
}

// With the key of a larger instance everybody here has vanished, however many
// strangers the walk creates: in the first run, in the ones after it, and after
// one that was never brought to its end.
func TestReconcileRefusesTheKeyOfAnotherInstance(t *testing.T) {
	w := inStep(t, 10)
	home := w.clerk
	w.clerk = foreign(60)
	w.deps.Clerk = w.clerk
	w.clerk.before = func(question string) error {
		if question == "57" {
			return errUnreadable
		}
		return nil
	}
	if run, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options()); err == nil || run.Counts.Created != 57 {
		t.Fatalf("the run that breaks off: %+v, %v", run, err)
	}
	w.clerk.before = nil
	created := 3
	for i := range 3 {
		w.clock.Advance(25 * time.Hour)
		for _, kind := range []func(*usecase.ReconcileOptions){dry, func(*usecase.ReconcileOptions) {}} {
			w.clerk.took()
			run := w.run(t, kind)
			if !run.EndedAs(domain.ReconcileRefused) || run.Counts.Refused != 10 || run.Profiles != 10 || run.Counts.Created != created || w.ours() != 10 {
				t.Errorf("run %d: %+v; %d of ours are left", i, run, w.ours())
			}
			if asked := ids(w.clerk.took()); len(asked) != 0 {
				t.Errorf("run %d asked about %v", i, asked)
			}
		}
		created = 0
	}
	// The right key again: the strangers are for a person to decide about, and then all is as it was.
	w.clerk, w.deps.Clerk = home, home
	w.clock.Advance(time.Hour)
	if run := w.run(t); !run.EndedAs(domain.ReconcileRefused) || run.Counts.Refused != 60 || run.Profiles != 10 {
		t.Errorf("with the right key: %+v", run)
	}
	w.clock.Advance(time.Hour)
	if run := w.run(t, forced); run.Counts.Erased != 60 {
		t.Errorf("forced: %+v", run)
	}
	w.wantMirror(t)
	w.clock.Advance(time.Hour)
	w.clerk.remove("user_004")
	if run := w.run(t); run.Counts.Erased != 1 || run.Profiles != 10 {
		t.Errorf("after a completed run: %+v", run)
	}
}

// Whom this very walk created is no part of the whole that the share is taken of.
func TestReconcileCountsNobodyItCreated(t *testing.T) {
	w := inStep(t, 5)
	w.clerk.remove("user_000")
	w.clerk.remove("user_001")
	w.clerk.people = append(w.clerk.people, foreign(95).people...)
	if run := w.run(t); !run.EndedAs(domain.ReconcileRefused) || run.Profiles != 5 || run.Counts.Created != 95 || w.ours() != 5 {
		t.Errorf("2 of 5 vanish among 95 new ones: %+v", run)
	}
}
