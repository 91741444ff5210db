package usecase_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

var errNobody = domain.NewError(domain.NotFound, domain.CodeNotFound, "Clerk knows nobody of that id.")

// clerkDirectory is a Clerk in memory.
type clerkDirectory struct {
	mu     sync.Mutex
	people []domain.ClerkUser // the oldest first
	broken map[string]error   // what cannot be read, by id
	asked  []string           // offsets of pages, and ids
	before func(question string) error
	still  bool // the offset is dropped on the way
}

func (c *clerkDirectory) ask(question string) error {
	c.mu.Lock()
	c.asked = append(c.asked, question)
	before := c.before
	c.mu.Unlock()
	if before != nil {
		return before(question)
	}
	return nil
}

// User gives one person.
func (c *clerkDirectory) User(ctx context.Context, id string) (domain.ClerkUser, error) {
	if err := c.ask(id); err != nil || ctx.Err() != nil {
		return domain.ClerkUser{}, firstOf(err, ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.people {
		if u.ID == id {
			return u, c.broken[id]
		}
	}
	return domain.ClerkUser{}, errNobody
}

// Users gives a page.
func (c *clerkDirectory) Users(ctx context.Context, offset, limit int) ([]domain.ListedClerkUser, error) {
	if err := c.ask(fmt.Sprint(offset)); err != nil || ctx.Err() != nil {
		return nil, firstOf(err, ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var page []domain.ListedClerkUser
	if c.still {
		offset = 0
	}
	for _, u := range c.people[min(offset, len(c.people)):min(offset+limit, len(c.people))] {
		l := domain.ListedClerkUser{ID: u.ID, User: u}
		if err := c.broken[u.ID]; err != nil {
			l = domain.ListedClerkUser{ID: u.ID, Err: err}
		}
		page = append(page, l)
	}
	return page, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *clerkDirectory) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.people = slices.DeleteFunc(c.people, func(u domain.ClerkUser) bool { return u.ID == id })
}

func (c *clerkDirectory) change(id string, change func(u *domain.ClerkUser)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.people {
		if c.people[i].ID == id {
			change(&c.people[i])
		}
	}
}

// took gives what was asked since the last time.
func (c *clerkDirectory) took() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// walked is a store, a Clerk, and what was told while they were reconciled.
type walked struct {
	store  *fakestore.Store
	clock  *storetest.Clock
	clerk  *clerkDirectory
	deps   usecase.ReconcileDeps
	waits  []time.Duration
	events []usecase.ReconcileProgress
}

// stored is the mirror's need of stores.
func (w *walked) stored() usecase.ProfilesDeps { return w.store.Deps(w.clock, storetest.Hashes) }

func newWalked(people int) *walked {
	w := &walked{store: fakestore.New(), clock: storetest.NewClock(), clerk: &clerkDirectory{broken: map[string]error{}}}
	for i := range people {
		email := fmt.Sprintf("person%03d@example.org", i)
		w.clerk.people = append(w.clerk.people, domain.ClerkUser{ID: fmt.Sprintf("user_%03d", i), UpdatedAt: storetest.Now.Add(-time.Hour), Email: &email})
	}
	r := w.store.Reconciliations()
	w.deps = usecase.ReconcileDeps{
		Tx: w.store, Clerk: w.clerk, Mirror: usecase.NewMirror(w.stored()), Runs: r, Lease: r, People: r, Identities: w.stored().Identities,
		Hashes: storetest.Hashes, Clock: w.clock, MaxErasePercent: 20, Pause: time.Nanosecond, PageSize: 3,
		Wait: func(ctx context.Context, d time.Duration) error {
			w.waits = append(w.waits, d)
			w.clock.Advance(d)
			return ctx.Err()
		},
	}
	return w
}

// inStep is newWalked after a first walk, an hour later.
func inStep(t *testing.T, people int) *walked {
	t.Helper()
	w := newWalked(people)
	if run := w.run(t); run.Counts.Created != people {
		t.Fatalf("the first walk: %+v", run.Counts)
	}
	w.clock.Advance(time.Hour)
	w.clerk.took()
	return w
}

func (w *walked) options(change ...func(*usecase.ReconcileOptions)) usecase.ReconcileOptions {
	w.events = nil
	o := usecase.ReconcileOptions{Tell: func(p usecase.ReconcileProgress) { w.events = append(w.events, p) }}
	for _, c := range change {
		c(&o)
	}
	return o
}

func forced(o *usecase.ReconcileOptions) { o.Force = true }
func dry(o *usecase.ReconcileOptions)    { o.DryRun = true }

// run makes a whole run, which must end.
func (w *walked) run(t *testing.T, change ...func(*usecase.ReconcileOptions)) domain.Reconciliation {
	t.Helper()
	run, err := usecase.NewReconcile(w.deps).Run(t.Context(), w.options(change...))
	if err != nil || run.FinishedAt == nil {
		t.Fatalf("run %+v, %v", run, err)
	}
	if w.store.LeaseOwner() != "" {
		t.Error("the lease is held on")
	}
	return run
}

// stages lists what was told, without what comes for each page.
func (w *walked) told(stage usecase.ReconcileStage) (list []usecase.ReconcileProgress) {
	for _, e := range w.events {
		if e.Stage == stage {
			list = append(list, e)
		}
	}
	return list
}

// profile is the profile of somebody; nil when there is none.
func (w *walked) profile(id string) *domain.Profile {
	for _, p := range w.store.Profiles() {
		if p.ClerkUserID == id {
			return &p
		}
	}
	return nil
}

// wantMirror checks that exactly the people of Clerk's have profiles, as they are there.
func (w *walked) wantMirror(t *testing.T) {
	t.Helper()
	profiles := w.store.Profiles()
	if len(profiles) != len(w.clerk.people) {
		t.Errorf("%d profiles for %d people", len(profiles), len(w.clerk.people))
	}
	for _, u := range w.clerk.people {
		p := w.profile(u.ID)
		if p == nil || p.Email == nil || *p.Email != *u.Email || p.SuspendedAt(w.clock.Now()) != u.Suspended {
			t.Errorf("%s has %+v", u.ID, p)
		}
	}
}

func wantCounts(t *testing.T, got, want domain.ReconcileCounts) {
	t.Helper()
	if got != want {
		t.Errorf("counts\n%+v, want\n%+v", got, want)
	}
}

func offsets(asked []string) (pages []string) {
	return slices.DeleteFunc(slices.Clone(asked), func(q string) bool { return strings.HasPrefix(q, "user_") })
}

func ids(asked []string) (people []string) {
	return slices.DeleteFunc(slices.Clone(asked), func(q string) bool { return !strings.HasPrefix(q, "user_") })
}
