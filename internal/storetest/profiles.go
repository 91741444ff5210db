package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Profiles runs the behaviour of usecase.Profiles over a store.
func Profiles(t *testing.T, open Open) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, *world){
		"first request creates": firstRequest, "handle collisions": handleCollisions, "erased": erasedPerson, "suspended": suspendedPerson,
		"update": update, "update creates first": updateCreates, "preconditions": preconditions, "refused patch": refusedPatch,
		"by handle": byHandle, "released handle": releasedHandle, "race for a handle": handleRace, "swap of handles": handleSwap,
		"release against claim": releaseAgainstClaim, "no lost update": noLostUpdate,
	} {
		t.Run(name, func(t *testing.T) { suite(t, newWorld(t, open)) })
	}
}

type world struct {
	Stores
	*usecase.Profiles
	clock *Clock
}

func newWorld(t *testing.T, open Open) *world {
	t.Helper()
	w := &world{Stores: open(t), clock: NewClock()}
	w.Deps.Clock, w.Deps.Hashes = w.clock, Hashes
	w.Profiles = usecase.NewProfiles(w.Deps)
	return w
}

// Caller is a person's request.
func Caller(id string) domain.Caller {
	return domain.Caller{Principal: domain.Principal{UserID: id}, RequestID: "req_" + id, Network: "192.0.2.0/24"}
}

func handlePatch(h string) domain.ProfilePatch { return domain.ProfilePatch{Handle: domain.Some(h)} }

func (w *world) wantCounts(t *testing.T, profiles, preferences, events int) {
	t.Helper()
	p, pr, e := w.Counts(t)
	if p != profiles || pr != preferences || e != events {
		t.Errorf("%d profiles, %d preferences, %d events; want %d, %d, %d", p, pr, e, profiles, preferences, events)
	}
}

func (w *world) named(t *testing.T, id, handle string) *domain.Profile {
	t.Helper()
	p, err := w.UpdateOwn(background(t), Caller(id), handlePatch(handle), domain.IfMatch{})
	must(t, err)
	return p
}

func firstRequest(t *testing.T, w *world) {
	ctx := background(t)
	caller := Caller("user_first")
	caller.Impersonator = "user_boss"
	p, err := w.Resolve(ctx, caller)
	must(t, err)
	if p.ClerkUserID != "user_first" || p.Version != 1 || strings.Contains(p.Handle, "first") || !domain.ValidHandle(p.Handle) || !p.CreatedAt.Equal(Now) {
		t.Errorf("%+v", p)
	}
	w.clock.Advance(time.Hour)
	again, err := w.Resolve(ctx, caller)
	must(t, err)
	same(t, again, p)
	w.wantCounts(t, 1, 1, 1)
	e := w.Events(t)[0]
	if e.Action != domain.ActionProfileCreated || e.ProfileID != p.ID || *e.ActorID != p.ID || e.ActorKind != domain.ActorUser ||
		*e.Impersonator != Hashes.Hash(domain.PurposeImpersonator, "user_boss") || e.RequestID != "req_user_first" || e.ClientNetwork != "192.0.2.0/24" {
		t.Errorf("%+v", e)
	}
}

func handleCollisions(t *testing.T, w *world) {
	ctx := background(t)
	taken := w.named(t, "user_old", Handle()).Handle
	draws := []string{taken, strings.ToUpper(taken), "free_handle"}
	w.Deps.NewHandle = func() (string, error) {
		h := draws[0]
		draws = draws[1:]
		return h, nil
	}
	p, err := usecase.NewProfiles(w.Deps).Resolve(ctx, Caller("user_new"))
	must(t, err)
	if p.Handle != "free_handle" {
		t.Errorf("handle %s", p.Handle)
	}
	w.wantCounts(t, 2, 2, 3)

	w.Deps.NewHandle = func() (string, error) { return taken, nil }
	_, err = usecase.NewProfiles(w.Deps).Resolve(ctx, Caller("user_unlucky"))
	wantKind(t, err, domain.Internal, domain.CodeInternal)
	broken := errors.New("no randomness")
	w.Deps.NewHandle = func() (string, error) { return "", broken }
	if _, err = usecase.NewProfiles(w.Deps).Resolve(ctx, Caller("user_unlucky")); !errors.Is(err, broken) {
		t.Error(err)
	}
	w.wantCounts(t, 2, 2, 3)
}

func erasedPerson(t *testing.T, w *world) {
	ctx := background(t)
	for i, hash := range Hashes.Candidates(domain.PurposeErasedIdentity, "user_erased") {
		caller := Caller("user_erased")
		w.MarkErased(t, hash)
		_, err := w.Resolve(ctx, caller)
		wantKind(t, err, domain.Unauthenticated, domain.CodeAccountErased)
		_, err = w.UpdateOwn(ctx, caller, handlePatch(Handle()), domain.IfMatch{})
		wantKind(t, err, domain.Unauthenticated, domain.CodeAccountErased)
		if i == 0 {
			_, err = w.Resolve(ctx, Caller("user_other"))
			must(t, err)
		}
	}
	w.wantCounts(t, 1, 1, 1)
}

func suspendedPerson(t *testing.T, w *world) {
	ctx := background(t)
	p := Profile(Handle())
	until := Now.Add(time.Minute)
	p.Status, p.SuspendedUntil = domain.StatusSuspended, &until
	w.Put(t, *p)
	caller := Caller(p.ClerkUserID)
	_, err := w.Resolve(ctx, caller)
	wantKind(t, err, domain.Forbidden, domain.CodeAccountSuspended)
	_, err = w.UpdateOwn(ctx, caller, handlePatch(Handle()), domain.IfMatch{})
	wantKind(t, err, domain.Forbidden, domain.CodeAccountSuspended)
	_, err = w.ByHandle(ctx, p.Handle, domain.Principal{})
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	w.clock.Advance(time.Minute)
	_, err = w.Resolve(ctx, caller)
	must(t, err)
	_, err = w.UpdateOwn(ctx, caller, domain.ProfilePatch{Bio: domain.Some("back")}, domain.IfMatch{})
	must(t, err)
	_, err = w.ByHandle(ctx, p.Handle, domain.Principal{})
	must(t, err)
}

func update(t *testing.T, w *world) {
	ctx := background(t)
	caller := Caller("user_ada")
	_, err := w.Resolve(ctx, caller)
	must(t, err)
	w.clock.Advance(time.Second)
	patch := domain.ProfilePatch{
		DisplayName: domain.Some(" Ada "), Links: domain.Some([]domain.Link{{Label: "x", URL: "https://x.example"}}),
		Metadata: domain.Some(json.RawMessage(`{"n":1e2,"s":"a"}`)), Visibility: domain.Some("private"),
	}
	p, err := w.UpdateOwn(ctx, caller, patch, domain.IfMatch{})
	must(t, err)
	if p.Version != 2 || *p.DisplayName != "Ada" || !p.UpdatedAt.Equal(Now.Add(time.Second)) || string(canonical(t, p.Metadata)) != `{"n":100,"s":"a"}` {
		t.Errorf("%+v", p)
	}
	stored, err := w.Resolve(ctx, caller)
	must(t, err)
	same(t, stored, p)
	w.clock.Advance(time.Second)
	unchanged, err := w.UpdateOwn(ctx, caller, patch, domain.IfMatch{})
	must(t, err)
	same(t, unchanged, p)
	w.wantCounts(t, 1, 1, 2)
	e := w.Events(t)[1]
	fields := []string{"display_name", "visibility", "links", "metadata"}
	if e.Action != domain.ActionProfileUpdated || !slices.Equal(e.ChangedFields, fields) || e.Impersonator != nil {
		t.Errorf("%+v", e)
	}
}

func updateCreates(t *testing.T, w *world) {
	p, err := w.UpdateOwn(background(t), Caller("user_new"), domain.ProfilePatch{Bio: domain.Some("hello")}, domain.IfMatch{})
	must(t, err)
	if p.Version != 2 || *p.Bio != "hello" {
		t.Errorf("%+v", p)
	}
	w.wantCounts(t, 1, 1, 2)
}

func preconditions(t *testing.T, w *world) {
	ctx := background(t)
	caller := Caller("user_ada")
	bio := func(s string) domain.ProfilePatch { return domain.ProfilePatch{Bio: domain.Some(s)} }
	_, err := w.Resolve(ctx, caller)
	must(t, err)
	_, err = w.UpdateOwn(ctx, caller, bio("a"), domain.IfMatch{Present: true, Versions: []int64{2}})
	wantKind(t, err, domain.PreconditionFailed, domain.CodePreconditionFailed)
	_, err = w.UpdateOwn(ctx, caller, bio("a"), domain.IfMatch{Present: true})
	wantKind(t, err, domain.PreconditionFailed, domain.CodePreconditionFailed)
	_, err = w.UpdateOwn(ctx, caller, domain.ProfilePatch{}, domain.IfMatch{Present: true, Versions: []int64{2}})
	wantKind(t, err, domain.PreconditionFailed, domain.CodePreconditionFailed)
	w.wantCounts(t, 1, 1, 1)
	for i, m := range []domain.IfMatch{{Present: true, Versions: []int64{9, 1}}, {Present: true, Any: true}, {}} {
		p, err := w.UpdateOwn(ctx, caller, bio(fmt.Sprint(i)), m)
		must(t, err)
		if p.Version != int64(i+2) {
			t.Errorf("version %d", p.Version)
		}
	}
}

func refusedPatch(t *testing.T, w *world) {
	ctx := background(t)
	before, err := w.Resolve(ctx, Caller("user_ada"))
	must(t, err)
	_, err = w.UpdateOwn(ctx, Caller("user_ada"), domain.ProfilePatch{Bio: domain.Some("fine"), Handle: domain.Some("admin")}, domain.IfMatch{})
	wantKind(t, err, domain.Invalid, domain.CodeValidationFailed)
	after, err := w.Resolve(ctx, Caller("user_ada"))
	must(t, err)
	same(t, after, before)
	w.wantCounts(t, 1, 1, 1)
}

func byHandle(t *testing.T, w *world) {
	ctx := background(t)
	p := w.named(t, "user_ada", "Ada_L")
	owner, other := domain.Principal{UserID: "user_ada"}, domain.Principal{UserID: "user_grace", Role: domain.RoleAdmin}
	for _, h := range []string{"Ada_L", "ada_l", "ADA_L"} {
		got, err := w.ByHandle(ctx, h, domain.Principal{})
		must(t, err)
		same(t, got, p)
	}
	for _, h := range []string{"", "me", "nobody_here", "a", "../../etc", "ada_l\x00", "ada_l'--", strings.Repeat("a", 5000)} {
		_, err := w.ByHandle(ctx, h, other)
		wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	}
	_, err := w.UpdateOwn(ctx, Caller("user_ada"), domain.ProfilePatch{Visibility: domain.Some("private")}, domain.IfMatch{})
	must(t, err)
	_, hidden := w.ByHandle(ctx, "ada_l", other)
	_, unknown := w.ByHandle(ctx, "nobody_here", other)
	wantKind(t, hidden, domain.NotFound, domain.CodeNotFound)
	if hidden.Error() != unknown.Error() {
		t.Errorf("a private profile can be told from none: %v, %v", hidden, unknown)
	}
	_, err = w.ByHandle(ctx, "ada_l", owner)
	must(t, err)
}

func releasedHandle(t *testing.T, w *world) {
	ctx := background(t)
	w.named(t, "user_ada", "ada")
	w.named(t, "user_ada", "lovelace")
	claim := func(id, handle string) error {
		_, err := w.UpdateOwn(ctx, Caller(id), handlePatch(handle), domain.IfMatch{})
		return err
	}
	_, err := w.Resolve(ctx, Caller("user_eve"))
	must(t, err)
	wantKind(t, claim("user_eve", "ADA"), domain.Conflict, domain.CodeHandleTaken)
	rotated := w.Deps // the key was rotated meanwhile: the older one still counts
	rotated.Hashes = domain.NewPseudonymizer("newest-key", "storetest-key")
	_, err = usecase.NewProfiles(rotated).UpdateOwn(ctx, Caller("user_eve"), handlePatch("ada"), domain.IfMatch{})
	wantKind(t, err, domain.Conflict, domain.CodeHandleTaken)
	eve, err := w.Resolve(ctx, Caller("user_eve"))
	must(t, err)
	if eve.Version != 1 || eve.Handle == "ada" {
		t.Errorf("the refused claim left %+v", eve)
	}
	must(t, claim("user_ada", "Ada")) // the last owner takes it back
	w.clock.Advance(29 * 24 * time.Hour)
	must(t, claim("user_ada", "countess")) // and lets it go again: another 30 days
	w.clock.Advance(30*24*time.Hour - time.Second)
	wantKind(t, claim("user_eve", "ada"), domain.Conflict, domain.CodeHandleTaken)
	w.clock.Advance(time.Second)
	must(t, claim("user_eve", "ada"))
	wantKind(t, claim("user_ada", "ada"), domain.Conflict, domain.CodeHandleTaken)
	must(t, claim("user_eve", "eve"))
	wantKind(t, claim("user_ada", "ada"), domain.Conflict, domain.CodeHandleTaken) // now kept for eve
}

func handleRace(t *testing.T, w *world) {
	ctx := background(t)
	const people = 20
	for i := range people {
		_, err := w.Resolve(ctx, Caller(fmt.Sprint("user_", i)))
		must(t, err)
	}
	var won, taken atomic.Int32
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() {
			_, err := w.UpdateOwn(ctx, Caller(fmt.Sprint("user_", i)), handlePatch("the_one"), domain.IfMatch{})
			switch {
			case err == nil:
				won.Add(1)
			case domain.HasCode(err, domain.CodeHandleTaken):
				taken.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || taken.Load() != people-1 {
		t.Errorf("%d won, %d taken", won.Load(), taken.Load())
	}
	w.wantCounts(t, people, people, people+1)
}

// Two people who swap handles all the time never wait for each other in a circle.
func handleSwap(t *testing.T, w *world) {
	ctx := background(t)
	w.named(t, "user_a", "left_one")
	w.named(t, "user_b", "right_one")
	var wg sync.WaitGroup
	for _, id := range []string{"user_a", "user_b"} {
		wg.Go(func() {
			for i := range 40 {
				h := []string{"right_one", "left_one"}[i%2]
				if id == "user_b" {
					h = []string{"left_one", "right_one"}[i%2]
				}
				_, err := w.UpdateOwn(ctx, Caller(id), handlePatch(h), domain.IfMatch{})
				if err != nil && !domain.HasCode(err, domain.CodeHandleTaken) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A claim that runs while the owner lets go never gets the handle, whichever is first.
func releaseAgainstClaim(t *testing.T, w *world) {
	ctx := background(t)
	_, err := w.Resolve(ctx, Caller("user_eve"))
	must(t, err)
	for i := range 15 {
		owner, handle := fmt.Sprint("user_", i), fmt.Sprint("wanted_", i)
		w.named(t, owner, handle)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := w.UpdateOwn(ctx, Caller(owner), handlePatch(Handle()), domain.IfMatch{})
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			_, err := w.UpdateOwn(ctx, Caller("user_eve"), handlePatch(handle), domain.IfMatch{})
			wantKind(t, err, domain.Conflict, domain.CodeHandleTaken)
		})
		wg.Wait()
	}
}

// Fifty edits of different keys, each repeated until its If-Match holds: none is lost.
func noLostUpdate(t *testing.T, w *world) {
	ctx := background(t)
	caller := Caller("user_busy")
	const edits = 50
	var wg sync.WaitGroup
	for i := range edits {
		wg.Go(func() { must2(t, editUntilDone(ctx, w, caller, fmt.Sprint("k", i))) })
	}
	wg.Wait()
	p, err := w.Resolve(ctx, caller)
	must(t, err)
	var m map[string]bool
	must(t, json.Unmarshal(p.Metadata, &m))
	if len(m) != edits || p.Version != edits+1 {
		t.Errorf("%d keys, version %d", len(m), p.Version)
	}
	w.wantCounts(t, 1, 1, edits+1)
}

func must2(t *testing.T, err error) { // Fatal is not for goroutines
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func editUntilDone(ctx context.Context, w *world, caller domain.Caller, key string) error {
	for {
		p, err := w.Resolve(ctx, caller)
		if err != nil {
			return err
		}
		patch := domain.ProfilePatch{Metadata: domain.Some(json.RawMessage(`{"` + key + `":true}`))}
		_, err = w.UpdateOwn(ctx, caller, patch, domain.IfMatch{Present: true, Versions: []int64{p.Version}})
		if !domain.HasCode(err, domain.CodePreconditionFailed) {
			return err
		}
	}
}
