package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// replica is one process's use cases on the shared database.
type replica struct {
	mirror   *usecase.Mirror
	profiles *usecase.Profiles
	erasure  *usecase.Erasure
	admin    *usecase.Admin
	stores   usecase.ProfilesDeps
}

func newReplica(t *testing.T, url string) replica {
	t.Helper()
	db := openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second})
	d := deps(db)
	return replica{usecase.NewMirror(d), usecase.NewProfiles(d), usecase.NewErasure(usecase.ErasureDeps{
		ProfilesDeps: d,
		Clerk: usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
			Tx: db, Deletions: postgres.NewClerkDeletions(db), Queue: d.Queue, Users: nil, Sealer: storetest.Sealer, Clock: d.Clock, // no job is run here
		}),
	}), usecase.NewAdmin(d), d}
}

// history is what happens to one person, in no order.
type history struct {
	id       string
	own      string // what the person's handles begin with
	states   []told
	requests int
	edits    []domain.ProfilePatch
	suspends bool // by an admin
	gone     bool // deleted at Clerk
	erased   bool // erased here
}

// told is a state with the way it came. Webhooks tell of even seconds, maybe
// several of one; the API of odd ones, once each: of two answers about one moment
// the later one counts, and there is no order to compare with.
type told struct {
	domain.ClerkUser

	from domain.MirrorSource
}

// drawHistory draws one. Usernames are the person's own, so that what is free
// depends on nobody else.
func drawHistory(t *rapid.T) history {
	h := history{id: newClerkID(), requests: rapid.IntRange(0, 2).Draw(t, "requests")}
	own := strings.ToLower(strings.TrimPrefix(h.id, "user_"))[:20]
	h.own = own
	maybe := func(name string, values ...string) *string {
		v := rapid.SampledFrom(append(values, "")).Draw(t, name)
		if v == "" {
			return nil
		}
		return &v
	}
	asked := map[time.Time]bool{}
	for range rapid.IntRange(1, 5).Draw(t, "states") {
		from := rapid.SampledFrom([]domain.MirrorSource{domain.FromWebhook, domain.FromWebhook, domain.FromAPI}).Draw(t, "from")
		second := 2*rapid.IntRange(0, 2).Draw(t, "second") + int(from)
		u := domain.ClerkUser{
			ID: h.id, UpdatedAt: storetest.Now.Add(time.Duration(second) * time.Second),
			Email: maybe("email", "a@example.org", "b@example.org"), AvatarURL: maybe("avatar", "https://img.example/a", "https://img.example/b"),
			DisplayName: maybe("name", "Ada", "Grace"), Suspended: rapid.IntRange(0, 3).Draw(t, "suspended") == 0,
		}
		if name := maybe("username", own+"_a", own+"_b", "admin", "no"); name != nil {
			u.Username = *name
		}
		if u.Suspended {
			u.LockoutEndsIn = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "lockout")
		}
		if from == domain.FromWebhook || !asked[u.UpdatedAt] {
			h.states = append(h.states, told{u, from})
		}
		asked[u.UpdatedAt] = true
	}
	if rapid.Bool().Draw(t, "edits the name") {
		h.edits = append(h.edits, domain.ProfilePatch{DisplayName: domain.Some("Edited here")})
	}
	if rapid.Bool().Draw(t, "edits the handle") {
		h.edits = append(h.edits, domain.ProfilePatch{Handle: domain.Some(own + "_edited")})
	}
	h.suspends = rapid.IntRange(0, 3).Draw(t, "suspends") == 0
	h.gone = rapid.IntRange(0, 3).Draw(t, "gone") == 0
	h.erased = rapid.IntRange(0, 3).Draw(t, "erased") == 0
	return h
}

// expected is the profile that the states make when they come in their order.
func (h history) expected() *domain.Profile {
	p := domain.NewProfile(h.id, "drawn", storetest.Now)
	states := slices.Clone(h.states)
	slices.SortStableFunc(states, func(a, b told) int { return a.UpdatedAt.Compare(b.UpdatedAt) })
	for _, u := range states {
		p.ApplyClerk(u.ClerkUser, u.from, p.ProposedHandle(u.ClerkUser, u.from), storetest.Now)
	}
	return p
}

// play does it all at once on two replicas, some of it twice and in random order.
// It gives the names of the fields whose edit was accepted.
func (h history) play(t *testing.T, replicas []replica) (edited map[string]bool) {
	var mu sync.Mutex
	edited = map[string]bool{}
	var steps []func(r replica) error
	for _, u := range h.states {
		for range 1 + rand.N(2) {
			steps = append(steps, func(r replica) error {
				_, err := r.mirror.Apply(within(t), u.ClerkUser, u.from)
				return err
			})
		}
	}
	if h.suspends {
		steps = append(steps, func(r replica) error {
			p, err := r.stores.Profiles.ByClerkID(within(t), h.id)
			if err == nil {
				_, err = r.admin.Suspend(within(t), caller("user_admin"), p.ID, domain.Suspension{Reason: "abuse"}, domain.IfMatch{})
			}
			mu.Lock()
			defer mu.Unlock()
			edited["suspended"] = err == nil
			if errors.Is(err, domain.NotFound) { // not there yet, or no more
				return nil
			}
			return err
		})
	}
	for range h.requests {
		steps = append(steps, func(r replica) error {
			_, err := r.profiles.Resolve(within(t), caller(h.id))
			return refused(err)
		})
	}
	for _, patch := range h.edits {
		steps = append(steps, func(r replica) error {
			p, err := r.profiles.UpdateOwn(within(t), caller(h.id), patch, domain.IfMatch{})
			mu.Lock()
			defer mu.Unlock()
			edited["handle"] = edited["handle"] || err == nil && p.Handle == patch.Handle.Value
			edited["display_name"] = edited["display_name"] || err == nil && patch.DisplayName.Set
			return refused(err)
		})
	}
	if h.gone {
		steps = append(steps, func(r replica) error {
			_, err := r.mirror.Remove(within(t), h.id, domain.ActorClerk)
			return err
		})
	}
	if h.erased {
		steps = append(steps, func(r replica) error { return refused(eraseOwn(t, r, h.id)) })
	}
	rand.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() {
			if err := step(replicas[i%len(replicas)]); err != nil {
				t.Errorf("a step failed: %v", err)
			}
		})
	}
	wg.Wait()
	return edited
}

func eraseOwn(t *testing.T, r replica, id string) error {
	age := time.Minute
	c := caller(id)
	c.FactorAge, c.IssuedAt = &age, storetest.Now
	if _, err := r.profiles.Resolve(within(t), c); err != nil { // the access layer's part
		return err
	}
	_, err := r.erasure.EraseOwn(within(t), c, domain.IfMatch{})
	return err
}

// refused makes nothing of what a person may be told in the middle of it all.
func refused(err error) error {
	if domain.HasCode(err, domain.CodeAccountErased) || domain.HasCode(err, domain.CodeAccountSuspended) {
		return nil
	}
	return err
}

// Whatever the order, the number and the simultaneity of states, requests,
// edits, a deletion at Clerk and an erasure: the end is the one of the right order.
func TestHistoriesEndAlike(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	t.Cleanup(func() { noDeadlocks(t, conn) })
	replicas := []replica{newReplica(t, url), newReplica(t, url)}
	ends := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHistory(rt)
		edited := h.play(t, replicas)
		p, err := replicas[0].stores.Profiles.ByClerkID(within(t), h.id)
		switch {
		case errors.Is(err, domain.NotFound):
			ends["gone"]++
			if !h.gone && !h.erased {
				rt.Fatal("the profile is gone")
			}
		case err != nil:
			rt.Fatal(err)
		case h.gone:
			rt.Fatal("the person is gone at Clerk and here is still a profile")
		case h.watched(p) && ask[int](t, conn, "SELECT count(*) FROM river_job WHERE args->>'id' = $1 AND args->>'reason' = 'lockout'", p.ID) != 1:
			rt.Fatal("nobody will see the end of the lockout")
		default:
			ends["there"]++
			h.compare(rt, p, edited)
		}
		h.wantSettled(t, rt, replicas[1], p)
		var trail string
		must(t, conn.QueryRow(within(t), `SELECT count(*) FILTER (WHERE action = 'profile.created') || ' ' || count(*) FILTER (WHERE action = 'profile.erased') FROM audit_events`).Scan(&trail))
		var created, erased int
		if _, err := fmt.Sscan(trail, &created, &erased); err != nil || created-erased != ask[int](t, conn, "SELECT count(*) FROM profiles") {
			rt.Fatalf("the trail tells of %s", trail)
		}
	})
	if ends["gone"] < 10 || ends["there"] < 10 {
		t.Errorf("the histories ended so: %v", ends)
	}
}

// A hundred first requests on two replicas, and Clerk's delivery that the person
// was created twenty times among them: one profile, and nobody fails.
func TestFirstRequestsAgainstDeliveries(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	t.Cleanup(func() { noDeadlocks(t, conn) })
	replicas := []replica{newReplica(t, url), newReplica(t, url)}
	const rounds = 5
	for round := range rounds {
		u := domain.ClerkUser{ID: newClerkID(), UpdatedAt: storetest.Now, Username: fmt.Sprintf("racer_%d", round)}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 120 {
			wg.Go(func() {
				<-start
				var err error
				r := replicas[i%2]
				if i%6 == 0 {
					_, err = r.mirror.Apply(within(t), u, domain.FromWebhook)
				} else {
					_, err = r.profiles.Resolve(within(t), caller(u.ID))
				}
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if p, err := replicas[0].stores.Profiles.ByClerkID(within(t), u.ID); err != nil || p.Handle != u.Username {
			t.Errorf("round %d: %+v, %v", round, p, err)
		}
	}
	if p, pr, created := ask[int](t, conn, "SELECT count(*) FROM profiles"), ask[int](t, conn, "SELECT count(*) FROM preferences"),
		ask[int](t, conn, "SELECT count(*) FROM audit_events WHERE action = 'profile.created'"); p != rounds || pr != rounds || created != rounds {
		t.Errorf("%d profiles, %d preferences, %d creations; want %d each", p, pr, created, rounds)
	}
}

func (h history) compare(rt *rapid.T, p *domain.Profile, edited map[string]bool) {
	want := h.expected()
	if edited["suspended"] {
		want.Status = domain.StatusSuspended
	}
	if edited["suspended"] != (p.SuspendedReason != nil) {
		rt.Fatalf("suspended by an admin: %v, and the reason is %s", edited["suspended"], deref(p.SuspendedReason))
	}
	if fmt.Sprint(deref(p.Email), deref(p.AvatarURL), p.Mirror.Suspended, p.Status) != fmt.Sprint(deref(want.Email), deref(want.AvatarURL), want.Mirror.Suspended, want.Status) {
		rt.Fatalf("mirrored is\n%s %s %v %s\nwant\n%s %s %v %s", deref(p.Email), deref(p.AvatarURL), p.Mirror.Suspended, p.Status,
			deref(want.Email), deref(want.AvatarURL), want.Mirror.Suspended, want.Status)
	}
	name, handle := deref(want.DisplayName), want.Handle
	if edited["display_name"] {
		name = "Edited here"
	}
	if edited["handle"] {
		handle = h.own + "_edited"
	} else if handle == "drawn" && len(p.Handle) == 21 {
		handle = p.Handle
	}
	if deref(p.DisplayName) != name || p.Handle != handle {
		rt.Fatalf("the name is %q, the handle %q; want %q, %q", deref(p.DisplayName), p.Handle, name, handle)
	}
}

// watched tells whether the profile is in a state with a lockout that will end.
func (h history) watched(p *domain.Profile) bool {
	return slices.ContainsFunc(h.states, func(u told) bool {
		now := *p
		return now.Knows(u.ClerkUser, u.from) && u.LockoutEndsIn > 0
	})
}

// wantSettled tells Clerk's states once more: nothing moves, and nobody comes back.
func (h history) wantSettled(t *testing.T, rt *rapid.T, r replica, before *domain.Profile) {
	for _, i := range rand.Perm(len(h.states)) {
		if h.states[i].from == domain.FromAPI {
			continue // it says what is true when it is asked, whatever it said before
		}
		if _, err := r.mirror.Apply(within(t), h.states[i].ClerkUser, domain.FromWebhook); err != nil {
			rt.Fatal(err)
		}
	}
	after, err := r.stores.Profiles.ByClerkID(within(t), h.id)
	switch {
	case before == nil && !errors.Is(err, domain.NotFound):
		rt.Fatalf("the person is back: %v", err)
	case before != nil && (err != nil || after.Version != before.Version):
		rt.Fatalf("the same states again made version %d of %d: %v", after.Version, before.Version, err)
	}
}

func deref(s *string) string {
	if s == nil {
		return "<nil>"
	}
	return *s
}
