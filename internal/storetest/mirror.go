package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Mirror runs the suite of the sync rules.
func Mirror(t *testing.T, open Open) {
	for name, suite := range map[string]func(*testing.T, *mirrorWorld){
		"new profile": mirrorCreates, "profile made by a first request": mirrorFills, "the person's own words stay": mirrorSparesEdits,
		"handles": mirrorHandles, "order": mirrorOrder, "suspension": mirrorSuspends, "suspension by both": mirrorSuspendsBeside,
		"gone at Clerk": mirrorRemoves, "erased stays erased": mirrorNeverRevives, "mark only": mirrorMarks, "lockout": mirrorLockout, "tie": mirrorTie,
	} {
		t.Run(name, func(t *testing.T) { suite(t, newMirrorWorld(open(t))) })
	}
}

type mirrorWorld struct {
	Stores
	clock    *Clock
	mirror   *usecase.Mirror
	profiles *usecase.Profiles
	admin    *usecase.Admin
}

func newMirrorWorld(s Stores) *mirrorWorld {
	w := &mirrorWorld{Stores: s, clock: NewClock()}
	w.Deps.Clock, w.Deps.Hashes = w.clock, Hashes
	w.mirror, w.profiles, w.admin = usecase.NewMirror(w.Deps), usecase.NewProfiles(w.Deps), usecase.NewAdmin(w.Deps)
	return w
}

// clerkUser is somebody's state at Clerk, that many seconds after Now.
func clerkUser(id string, second int) domain.ClerkUser {
	text := func(s string) *string { return &s }
	return domain.ClerkUser{
		ID: id, UpdatedAt: Now.Add(time.Duration(second) * time.Second), Email: text(fmt.Sprintf("mail%d@example.org", second)),
		AvatarURL: text(fmt.Sprintf("https://img.example/%d", second)), DisplayName: text(fmt.Sprintf("Name %d", second)), Username: Handle(),
	}
}

func (w *mirrorWorld) apply(t *testing.T, u domain.ClerkUser, want usecase.MirrorOutcome) *domain.Profile {
	t.Helper()
	w.clock.Advance(time.Second) // the trail is ordered by time
	got, err := w.mirror.Apply(background(t), u, domain.FromWebhook)
	must(t, err)
	if got != want {
		t.Errorf("the outcome is %s, not %s", got, want)
	}
	return w.profile(t, u.ID)
}

// profile gives the stored profile; nil for none.
func (w *mirrorWorld) profile(t *testing.T, clerkUserID string) *domain.Profile {
	t.Helper()
	p, err := w.Deps.Profiles.ByClerkID(background(t), clerkUserID)
	if errors.Is(err, domain.NotFound) {
		return nil
	}
	must(t, err)
	return p
}

func (w *mirrorWorld) lastEvent(t *testing.T) domain.AuditEvent {
	t.Helper()
	events := w.Events(t)
	return events[len(events)-1]
}

func wantMirrored(t *testing.T, p *domain.Profile, u domain.ClerkUser) {
	t.Helper()
	if text(p.Email) != text(u.Email) || text(p.AvatarURL) != text(u.AvatarURL) || !p.ClerkUpdatedAt.Equal(u.UpdatedAt) {
		t.Errorf("mirrored are %q, %q of %v; at Clerk %q, %q", text(p.Email), text(p.AvatarURL), p.ClerkUpdatedAt, text(u.Email), text(u.AvatarURL))
	}
}

func wantOwn(t *testing.T, p *domain.Profile, handle, name string) {
	t.Helper()
	if p.Handle != handle || text(p.DisplayName) != name {
		t.Errorf("handle %q, name %q; want %q, %q", p.Handle, text(p.DisplayName), handle, name)
	}
}

func mirrorCreates(t *testing.T, w *mirrorWorld) {
	u := clerkUser("user_new", 1)
	p := w.apply(t, u, usecase.MirrorCreated)
	wantMirrored(t, p, u)
	wantOwn(t, p, u.Username, "Name 1")
	if p.Version != 1 || p.Status != domain.StatusActive || !p.UpdatedAt.Equal(p.CreatedAt) {
		t.Errorf("%+v", p)
	}
	if _, err := w.Deps.Preferences.ByProfileID(background(t), p.ID); err != nil {
		t.Error(err)
	}
	e := w.lastEvent(t)
	if e.Action != domain.ActionProfileCreated || e.ActorKind != domain.ActorClerk || e.ActorID != nil || e.ProfileID != p.ID {
		t.Errorf("the event is %+v", e)
	}
	w.apply(t, u, usecase.MirrorUnchanged) // the same delivery again
	if profiles, preferences, events := w.Counts(t); profiles != 1 || preferences != 1 || events != 1 {
		t.Errorf("%d profiles, %d preferences, %d events", profiles, preferences, events)
	}
}

func mirrorFills(t *testing.T, w *mirrorWorld) {
	first, err := w.profiles.Resolve(background(t), Caller("user_first"))
	must(t, err)
	u := clerkUser("user_first", 1)
	p := w.apply(t, u, usecase.MirrorUpdated)
	wantMirrored(t, p, u)
	wantOwn(t, p, u.Username, "Name 1")
	if p.ID != first.ID || p.Version != 2 {
		t.Errorf("%s became %s, version %d", first.ID, p.ID, p.Version)
	}
	if e := w.lastEvent(t); e.Action != domain.ActionProfileUpdated || fmt.Sprint(e.ChangedFields) != "[email avatar_url display_name handle]" {
		t.Errorf("the event is %+v", e)
	}
	// Later states change the mirrored fields alone.
	later := clerkUser("user_first", 2)
	p = w.apply(t, later, usecase.MirrorUpdated)
	wantMirrored(t, p, later)
	wantOwn(t, p, u.Username, "Name 1")
}

func mirrorSparesEdits(t *testing.T, w *mirrorWorld) {
	c := Caller("user_edits")
	_, err := w.profiles.Resolve(background(t), c)
	must(t, err)
	mine := Handle()
	_, err = w.profiles.UpdateOwn(background(t), c, domain.ProfilePatch{Handle: domain.Some(mine), DisplayName: domain.Some("Mine")}, domain.IfMatch{})
	must(t, err)
	u := clerkUser(c.UserID, 1)
	p := w.apply(t, u, usecase.MirrorUpdated)
	wantMirrored(t, p, u)
	wantOwn(t, p, mine, "Mine")
	// What was only confirmed is kept too, and is no change.
	confirmed := Caller("user_confirms")
	first, err := w.profiles.Resolve(background(t), confirmed)
	must(t, err)
	sameAgain := domain.ProfilePatch{Handle: domain.Some(first.Handle), DisplayName: domain.Null[string]()}
	same, err := w.profiles.UpdateOwn(background(t), confirmed, sameAgain, domain.IfMatch{})
	must(t, err)
	if same.Version != first.Version {
		t.Errorf("version %d became %d", first.Version, same.Version)
	}
	wantOwn(t, w.apply(t, clerkUser(confirmed.UserID, 1), usecase.MirrorUpdated), first.Handle, "")
	// What was taken away stays away, and what an admin wrote stays too.
	_, err = w.profiles.UpdateOwn(background(t), c, domain.ProfilePatch{DisplayName: domain.Null[string]()}, domain.IfMatch{})
	must(t, err)
	wantOwn(t, w.apply(t, clerkUser(c.UserID, 2), usecase.MirrorUpdated), mine, "")
	other := w.apply(t, clerkUser("user_corrected", 5), usecase.MirrorCreated)
	_, err = w.admin.Update(background(t), Caller("user_admin"), other.ID,
		domain.AdminPatch{ProfilePatch: domain.ProfilePatch{DisplayName: domain.Some("Corrected")}}, domain.IfMatch{})
	must(t, err)
	wantOwn(t, w.apply(t, clerkUser("user_corrected", 3), usecase.MirrorUpdated), w.profile(t, "user_corrected").Handle, "Corrected")
}

func mirrorHandles(t *testing.T, w *mirrorWorld) {
	for name, username := range map[string]string{"reserved": "admin", "too short": "ab", "with a dot": "ada.lovelace", "none": ""} {
		u := clerkUser("user_"+fmt.Sprint(len(username))+"handle", 1)
		u.Username = username
		if p := w.apply(t, u, usecase.MirrorCreated); p.Handle == username || len(p.Handle) != 21 {
			t.Errorf("%s: %q", name, p.Handle)
		}
	}
	taken, held := clerkUser("user_takes", 1), clerkUser("user_holds", 1)
	w.apply(t, taken, usecase.MirrorCreated)
	w.apply(t, held, usecase.MirrorCreated)
	_, err := w.profiles.UpdateOwn(background(t), Caller(held.ID), domain.ProfilePatch{Handle: domain.Some(Handle())}, domain.IfMatch{})
	must(t, err)
	for name, username := range map[string]string{"taken": taken.Username, "held": held.Username} {
		u := clerkUser("user_late_"+name, 1)
		u.Username = username
		if p := w.apply(t, u, usecase.MirrorCreated); len(p.Handle) != 21 {
			t.Errorf("%s: %q", name, p.Handle)
		}
	}
	// Whose handle is still drawn takes the first username that will do, once.
	u := clerkUser("user_late_taken", 2)
	p := w.apply(t, u, usecase.MirrorUpdated)
	wantOwn(t, p, u.Username, "Name 1")
	wantOwn(t, w.apply(t, clerkUser("user_late_taken", 3), usecase.MirrorUpdated), u.Username, "Name 1")
}

// The proposals are those of the oldest state, the mirror that of the newest.
func mirrorOrder(t *testing.T, w *mirrorWorld) {
	one, two, three := clerkUser("user_order", 1), clerkUser("user_order", 2), clerkUser("user_order", 3)
	w.apply(t, two, usecase.MirrorCreated)
	w.apply(t, three, usecase.MirrorUpdated)
	p := w.apply(t, one, usecase.MirrorUpdated)
	wantMirrored(t, p, three)
	wantOwn(t, p, one.Username, "Name 1")
	before := *p
	for _, u := range []domain.ClerkUser{two, one, one, two} {
		p = w.apply(t, u, usecase.MirrorStale)
	}
	same(t, p, &before)
	// Of the same millisecond, the API's word counts as newer; the webhook's no more.
	w.clock.Advance(time.Second)
	api := clerkUser("user_order", 3)
	api.Email = nil
	if got, err := w.mirror.Apply(background(t), api, domain.FromAPI); err != nil || got != usecase.MirrorUpdated {
		t.Errorf("%s, %v", got, err)
	}
	if e := w.lastEvent(t); e.ActorKind != domain.ActorSystem {
		t.Errorf("the actor is %s", e.ActorKind)
	}
	p = w.apply(t, three, usecase.MirrorStale)
	wantMirrored(t, p, api)
}

func mirrorSuspends(t *testing.T, w *mirrorWorld) {
	u := clerkUser("user_banned", 1)
	w.apply(t, u, usecase.MirrorCreated)
	u.UpdatedAt, u.Suspended = u.UpdatedAt.Add(time.Minute), true
	w.apply(t, u, usecase.MirrorUpdated)
	_, err := w.profiles.Resolve(background(t), Caller(u.ID))
	wantKind(t, err, domain.Forbidden, domain.CodeAccountSuspended)
	if e := w.lastEvent(t); e.Action != domain.ActionProfileSuspended || e.ActorKind != domain.ActorClerk {
		t.Errorf("the event is %+v", e)
	}
	found, err := w.Deps.Finder.Search(background(t), domain.ProfileFilter{Status: domain.StatusSuspended}, nil, 10, w.clock.Now())
	must(t, err)
	if len(found) != 1 || text(found[0].ReasonShown()) != "Banned or locked at Clerk." {
		t.Errorf("suspended are %v", found)
	}
	u.UpdatedAt, u.Suspended = u.UpdatedAt.Add(time.Minute), false
	w.apply(t, u, usecase.MirrorUpdated)
	_, err = w.profiles.Resolve(background(t), Caller(u.ID))
	must(t, err)
	if e := w.lastEvent(t); e.Action != domain.ActionProfileReactivated {
		t.Errorf("the event is %+v", e)
	}
	// A person may be banned before anything else is heard of them.
	born := clerkUser("user_born_banned", 1)
	born.Suspended = true
	if p := w.apply(t, born, usecase.MirrorCreated); !p.SuspendedAt(w.clock.Now()) || p.Version != 1 {
		t.Errorf("%+v", p)
	}
}

// Each of the two ends its own suspension alone.
func mirrorSuspendsBeside(t *testing.T, w *mirrorWorld) {
	ctx, boss := background(t), Caller("user_boss")
	u := clerkUser("user_both", 1)
	id := w.apply(t, u, usecase.MirrorCreated).ID
	clerk := func(suspended bool) *domain.Profile {
		u.UpdatedAt, u.Suspended = u.UpdatedAt.Add(time.Minute), suspended
		w.clock.Advance(time.Second)
		_, err := w.mirror.Apply(ctx, u, domain.FromWebhook)
		must(t, err)
		return w.profile(t, u.ID)
	}
	until := w.clock.Now().Add(time.Hour)
	suspend := func() *domain.Profile {
		p, err := w.admin.Suspend(ctx, boss, id, domain.Suspension{Reason: "abuse", Until: &until}, domain.IfMatch{})
		must(t, err)
		return p
	}
	want := func(what string, p *domain.Profile, status domain.Status, reason string, end *time.Time) {
		t.Helper()
		sameEnd := (p.SuspendedUntil == nil) == (end == nil) && (end == nil || p.SuspendedUntil.Equal(*end))
		if p.StatusAt(w.clock.Now()) != status || text(p.SuspendedReason) != reason || !sameEnd {
			t.Errorf("%s: %s %q until %v", what, p.StatusAt(w.clock.Now()), text(p.SuspendedReason), p.SuspendedUntil)
		}
	}
	want("admin", suspend(), domain.StatusSuspended, "abuse", &until)
	want("and Clerk", clerk(true), domain.StatusSuspended, "abuse", nil)
	if e := w.lastEvent(t); e.Action != domain.ActionProfileUpdated {
		t.Errorf("nothing was suspended by %+v", e)
	}
	want("Clerk no more", clerk(false), domain.StatusSuspended, "abuse", &until)
	want("again", clerk(true), domain.StatusSuspended, "abuse", nil)
	version := w.profile(t, u.ID).Version
	if p := suspend(); p.Version != version {
		t.Error("the suspension that is in force already changed something")
	}
	w.clock.Advance(time.Second)
	p, err := w.admin.Reactivate(ctx, boss, id, domain.IfMatch{})
	must(t, err)
	want("admin no more", p, domain.StatusSuspended, "", nil)
	if e := w.lastEvent(t); e.Action != domain.ActionProfileUpdated {
		t.Errorf("nobody came back by %+v", e)
	}
	p, err = w.admin.Reactivate(ctx, boss, id, domain.IfMatch{})
	must(t, err)
	want("nothing of the admin's to end", p, domain.StatusSuspended, "", nil)
	want("nobody any more", clerk(false), domain.StatusActive, "", nil)
	clerk(true)
	want("admin on top of Clerk", suspend(), domain.StatusSuspended, "abuse", nil)
	w.clock.Advance(2 * time.Hour)
	want("the admin's has ended by itself", w.profile(t, u.ID), domain.StatusSuspended, "abuse", nil)
	want("and Clerk's too", clerk(false), domain.StatusActive, "", nil)
}

func mirrorRemoves(t *testing.T, w *mirrorWorld) {
	u := clerkUser("user_leaves", 1)
	id := w.apply(t, u, usecase.MirrorCreated).ID
	for i, want := range []bool{true, false} {
		w.clock.Advance(time.Second)
		if removed, err := w.mirror.Remove(background(t), u.ID, domain.ActorClerk); err != nil || removed != want {
			t.Errorf("time %d: %v, %v", i, removed, err)
		}
	}
	if e := w.lastEvent(t); e.Action != domain.ActionProfileErased || e.ActorKind != domain.ActorClerk || e.ProfileID != id {
		t.Errorf("the event is %+v", e)
	}
	if profiles, preferences, events := w.Counts(t); profiles != 0 || preferences != 0 || events != 2 {
		t.Errorf("%d profiles, %d preferences, %d events", profiles, preferences, events)
	}
	w.wantErased(t, u)
	// Somebody of whom nothing was heard before.
	stranger := clerkUser("user_stranger", 1)
	if removed, err := w.mirror.Remove(background(t), stranger.ID, domain.ActorClerk); err != nil || removed {
		t.Errorf("%v, %v", removed, err)
	}
	w.wantErased(t, stranger)
}

// wantErased fails unless neither a state of Clerk's nor a token brings the person back.
func (w *mirrorWorld) wantErased(t *testing.T, u domain.ClerkUser) {
	t.Helper()
	for _, from := range []domain.MirrorSource{domain.FromWebhook, domain.FromAPI} {
		u.UpdatedAt = u.UpdatedAt.Add(time.Hour)
		if got, err := w.mirror.Apply(background(t), u, from); err != nil || got != usecase.MirrorErased {
			t.Errorf("%s, %v", got, err)
		}
	}
	_, err := w.profiles.Resolve(background(t), Caller(u.ID))
	wantKind(t, err, domain.Unauthenticated, domain.CodeAccountErased)
	if w.profile(t, u.ID) != nil {
		t.Error("the person is back")
	}
}

func mirrorNeverRevives(t *testing.T, w *mirrorWorld) {
	u := clerkUser("user_marked", 1)
	w.MarkErased(t, domain.NewPseudonymizer("storetest-older-key").Hash(domain.PurposeErasedIdentity, u.ID)) // before the key was rotated
	w.wantErased(t, u)
	if removed, err := w.mirror.Remove(background(t), u.ID, domain.ActorSystem); err != nil || removed {
		t.Errorf("%v, %v", removed, err)
	}
}

// A newer state with nothing to see is remembered, and is no new version.
func mirrorMarks(t *testing.T, w *mirrorWorld) {
	u := clerkUser("user_marks", 1)
	before := w.apply(t, u, usecase.MirrorCreated)
	signedIn := u
	signedIn.UpdatedAt = u.UpdatedAt.Add(time.Hour)
	w.clock.Advance(time.Hour)
	p := w.apply(t, signedIn, usecase.MirrorUnchanged)
	if p.Version != before.Version || !p.UpdatedAt.Equal(before.UpdatedAt) || !p.ClerkUpdatedAt.Equal(signedIn.UpdatedAt) {
		t.Errorf("%+v", p)
	}
	between := clerkUser(u.ID, 60)
	wantMirrored(t, w.apply(t, between, usecase.MirrorStale), signedIn)
	stale := *p
	stale.Version--
	err := w.Deps.Tx.WithinTx(background(t), func(ctx context.Context) error { return w.Deps.Mirror.SaveMirror(ctx, &stale) })
	if !errors.Is(err, domain.Conflict) {
		t.Errorf("a version that is gone: %v", err)
	}
}

// Clerk does not say when a lockout is over: it is asked, a little later than
// then and after an hour at the latest, whatever else keeps the person out.
func mirrorLockout(t *testing.T, w *mirrorWorld) {
	ctx := background(t)
	lock := func(u domain.ClerkUser, minutes int, end time.Duration) domain.ClerkUser {
		u.UpdatedAt, u.Suspended, u.LockoutEndsIn = u.UpdatedAt.Add(time.Duration(minutes)*time.Minute), true, end
		return u
	}
	plain, suspended, banned, born := clerkUser("user_locked", 1), clerkUser("user_also", 1), clerkUser("user_banned_too", 1), clerkUser("user_born_locked", 1)
	ids := map[string]string{}
	for _, u := range []domain.ClerkUser{plain, suspended, banned} {
		ids[u.ID] = w.apply(t, u, usecase.MirrorCreated).ID
	}
	_, err := w.admin.Suspend(ctx, Caller("user_boss"), ids[suspended.ID], domain.Suspension{Reason: "abuse"}, domain.IfMatch{})
	must(t, err)
	w.apply(t, lock(banned, 1, 0), usecase.MirrorUpdated)
	if jobs := w.Refreshes(t); len(jobs) != 0 {
		t.Errorf("nobody is locked for a while, and the jobs are %+v", jobs)
	}
	wants := map[string]time.Duration{}
	for _, c := range []struct {
		user domain.ClerkUser
		end  time.Duration
		wait time.Duration
		want usecase.MirrorOutcome
	}{
		{lock(plain, 2, time.Minute), time.Minute, time.Minute + 5*time.Second, usecase.MirrorUpdated},
		{lock(suspended, 2, 0), 30 * time.Minute, 30*time.Minute + 5*time.Second, usecase.MirrorUnchanged},
		{lock(banned, 2, 0), 48 * time.Hour, time.Hour, usecase.MirrorUnchanged},
		{lock(born, 2, 0), 10 * time.Second, 15 * time.Second, usecase.MirrorCreated},
	} {
		c.user.LockoutEndsIn = c.end
		p := w.apply(t, c.user, c.want)
		wants[p.ID] = c.wait
		if jobs := w.Refreshes(t); len(jobs) != len(wants) {
			t.Fatalf("after %s there are the jobs %+v", c.user.ID, jobs)
		}
		last := w.Refreshes(t)[len(wants)-1]
		if last.Job != (domain.ProfileRefreshJob{ID: p.ID, Reason: domain.RefreshLockout}) || last.At.Sub(w.clock.Now()) != c.wait {
			t.Errorf("%s: %+v, in %s", c.user.ID, last.Job, last.At.Sub(w.clock.Now()))
		}
		w.apply(t, c.user, usecase.MirrorUnchanged) // once is enough
		next := lock(c.user, 1, time.Minute)        // also when the lockout is prolonged: the job will see
		w.apply(t, next, usecase.MirrorUnchanged)
		if jobs := w.Refreshes(t); len(jobs) != len(wants) {
			t.Errorf("%s: the jobs are %+v", c.user.ID, jobs)
		}
	}
}

// Of one moment a webhook says something else than the API did: Clerk is asked
// which came later.
func mirrorTie(t *testing.T, w *mirrorWorld) {
	u := clerkUser("user_tie", 1)
	if _, err := w.mirror.Apply(background(t), u, domain.FromAPI); err != nil {
		t.Fatal(err)
	}
	w.apply(t, u, usecase.MirrorStale)
	older, banned := clerkUser(u.ID, 0), u
	older.Username, banned.Suspended = u.Username, true
	w.apply(t, older, usecase.MirrorUpdated) // an older name, and no tie
	if jobs := w.Refreshes(t); len(jobs) != 0 {
		t.Errorf("there is no tie, and the jobs are %+v", jobs)
	}
	for range 2 {
		p := w.apply(t, banned, usecase.MirrorStale)
		if jobs := w.Refreshes(t); len(jobs) != 1 || jobs[0].Job != (domain.ProfileRefreshJob{ID: p.ID, Reason: domain.RefreshTie}) {
			t.Errorf("the jobs are %+v", jobs)
		}
	}
}
