package usecase_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// clerkPerson is a Clerk that knows one person, or has a fault.
type clerkPerson struct {
	user  domain.ClerkUser
	err   error
	asked int
}

func (c *clerkPerson) User(_ context.Context, id string) (domain.ClerkUser, error) {
	c.asked++
	if c.err == nil && c.user.ID != id {
		return domain.ClerkUser{}, domain.NewError(domain.NotFound, domain.CodeNotFound, "Clerk knows nobody of that id.")
	}
	return c.user, c.err
}

func (*clerkPerson) Users(context.Context, int, int) ([]domain.ListedClerkUser, error) {
	return nil, errors.New("nobody asked for a list")
}

func TestRefresh(t *testing.T) {
	store, clock := fakestore.New(), storetest.NewClock()
	deps := store.Deps(clock, storetest.Hashes)
	email := "a@example.org"
	person := &clerkPerson{user: domain.ClerkUser{ID: "user_1", UpdatedAt: storetest.Now, Email: &email, Username: "filled"}}
	refresh := usecase.NewRefresh(deps, person, usecase.NewMirror(deps))
	profiles := usecase.NewProfiles(deps)
	p, err := profiles.Resolve(t.Context(), storetest.Caller("user_1"))
	if err != nil {
		t.Fatal(err)
	}
	queued := store.QueuedRefreshes()
	if len(queued) != 1 || queued[0].Job != (domain.ProfileRefreshJob{ID: p.ID}) || !queued[0].At.After(clock.Now()) {
		t.Fatalf("queued are %+v", queued)
	}
	if _, err := profiles.Resolve(t.Context(), storetest.Caller("user_1")); err != nil || len(store.QueuedRefreshes()) != 1 {
		t.Errorf("the second request queued another: %v", err)
	}
	stored := func() *domain.Profile {
		p, err := deps.Profiles.ByClerkID(t.Context(), "user_1")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	again := time.Duration(0)
	run := func(job domain.ProfileRefreshJob, want error, asked int) {
		t.Helper()
		if wait, err := refresh.Run(t.Context(), job); !errors.Is(err, want) || person.asked != asked || wait != again {
			t.Errorf("%v, again in %s, Clerk was asked %d times", err, wait, person.asked)
		}
	}
	job := queued[0].Job
	person.err = domain.UnavailableError(nil, time.Minute)
	run(job, domain.Unavailable, 1)
	person.err = nil
	person.user.ID = "user_2" // user_1 is nobody there
	run(job, nil, 2)
	if got := stored(); got.Version != 1 {
		t.Errorf("version %d", got.Version)
	}
	person.user.ID = "user_1"
	run(job, nil, 3)
	if got := stored(); got.Version != 2 || *got.Email != email || got.Handle != "filled" {
		t.Errorf("%+v", got)
	}
	run(job, nil, 3) // a state has come: Clerk is not asked again
	run(domain.ProfileRefreshJob{ID: domain.NobodysID}, nil, 3)

	// A lockout that is still on when it should be over is looked at again, until it ends.
	lockout := domain.ProfileRefreshJob{ID: p.ID, Reason: domain.RefreshLockout}
	for asked, ends := range []time.Duration{time.Minute, 48 * time.Hour, 0} {
		person.user.Suspended, person.user.LockoutEndsIn = ends > 0, ends
		again = map[int]time.Duration{0: time.Minute + 5*time.Second, 1: time.Hour}[asked]
		run(lockout, nil, 4+asked)
		if stored().SuspendedAt(clock.Now()) != (ends > 0) {
			t.Errorf("with a lockout of %s the profile is %+v", ends, stored())
		}
	}
	// Who only asks which of two is right need not watch.
	person.user.Suspended, person.user.LockoutEndsIn, again = true, time.Minute, 0
	run(domain.ProfileRefreshJob{ID: p.ID, Reason: domain.RefreshTie}, nil, 7)
	if got := stored(); !got.SuspendedAt(clock.Now()) || got.Email == nil {
		t.Errorf("%+v", got)
	}
}
