package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Ports runs the contract of every store port.
func Ports(t *testing.T, open Open) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, Stores){
		"profile round trip": profileRoundTrip, "profile insert": profileInsert, "profile insert races": profileInsertRaces,
		"profile update": profileUpdate, "unit of work": unitOfWork, "preferences": preferences, "audit log": auditLog,
		"handle reservations": reservations, "identities": identities,
		"profile by id": profileByID, "profile batch": profileBatch, "profile search": profileSearch,
		"profile search while rows come and go": profileSearchStability, "preferences update": preferencesUpdate, "audit list": auditList,
	} {
		t.Run(name, func(t *testing.T) { suite(t, open(t)) })
	}
}

func fullProfile() *domain.Profile {
	p := Profile(Handle())
	until, clerk := Now.Add(time.Hour), Now.Add(-time.Hour)
	text := func(s string) *string { return &s }
	p.Email, p.DisplayName, p.Bio, p.AvatarURL = text("a@example.org"), text("Ada 👩‍🚀"), text("x\ny"), text("https://img.example/a")
	p.BannerURL, p.Location, p.ThemeColor, p.Locale, p.TimeZone = text("https://img.example/b"), text(""), text("#aabbcc"), text("pt-BR"), text("UTC")
	p.Links = []domain.Link{{Label: "home \"x\"", URL: "https://a.example"}}
	p.Metadata, p.AppMetadata = json.RawMessage(`{"a":[1,null,"é"]}`), json.RawMessage(`{"b":{}}`)
	p.Visibility, p.Status, p.SuspendedReason = domain.VisibilityPrivate, domain.StatusSuspended, text("spam")
	p.SuspendedUntil, p.ClerkUpdatedAt, p.Version = &until, &clerk, 3
	return p
}

// same compares profiles; JSON by meaning, because jsonb spaces it its own way.
func same(t *testing.T, got, want *domain.Profile) {
	t.Helper()
	g, w := *got, *want
	g.Metadata, w.Metadata = canonical(t, g.Metadata), canonical(t, w.Metadata)
	g.AppMetadata, w.AppMetadata = canonical(t, g.AppMetadata), canonical(t, w.AppMetadata)
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %+v\nwant %+v", g, w)
	}
}

func canonical(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	var v any
	must(t, json.Unmarshal(raw, &v))
	out, err := json.Marshal(v)
	must(t, err)
	return out
}

func profileRoundTrip(t *testing.T, s Stores) {
	ctx := background(t)
	store := s.Deps.Profiles
	for _, p := range []*domain.Profile{Profile(Handle()), fullProfile()} {
		inserted, err := store.Insert(ctx, p)
		if err != nil || !inserted {
			t.Fatalf("insert: %v, %v", inserted, err)
		}
		byID, err := store.ByClerkID(ctx, p.ClerkUserID)
		must(t, err)
		same(t, byID, p)
		byHandle, err := store.ByHandle(ctx, strings.ToUpper(p.Handle))
		must(t, err)
		same(t, byHandle, p)
		must(t, s.Deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
			locked, err := store.ByClerkIDForUpdate(ctx, p.ClerkUserID)
			if err == nil {
				same(t, locked, p)
			}
			return err
		}))
	}
	_, err := store.ByClerkID(ctx, "user_nobody")
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	_, err = store.ByClerkIDForUpdate(ctx, "user_nobody")
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	_, err = store.ByHandle(ctx, "nobody_at_all")
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	_, err = store.ByHandle(ctx, "' OR 1=1 --")
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
}

func profileInsert(t *testing.T, s Stores) {
	ctx := background(t)
	store := s.Deps.Profiles
	first := Profile(Handle())
	_, err := store.Insert(ctx, first)
	must(t, err)
	person, handle, id := Profile(Handle()), Profile(strings.ToUpper(first.Handle)), Profile(Handle())
	person.ClerkUserID, id.ID = first.ClerkUserID, first.ID
	for name, p := range map[string]*domain.Profile{"same person": person, "same handle": handle, "same id": id} {
		if inserted, err := store.Insert(ctx, p); inserted || err != nil {
			t.Errorf("%s: %v, %v", name, inserted, err)
		}
	}
	stored, err := store.ByClerkID(ctx, first.ClerkUserID)
	must(t, err)
	same(t, stored, first)
}

func profileInsertRaces(t *testing.T, s Stores) {
	ctx := background(t)
	person, handle := "user_race", Handle()
	var inserted atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			p := Profile(handle) // some race for the handle, some for the person, some for both
			if i%3 != 0 {
				p.ClerkUserID = person
			}
			ok, err := s.Deps.Profiles.Insert(ctx, p)
			if err != nil {
				t.Error(err)
			}
			if ok {
				inserted.Add(1)
			}
		})
	}
	wg.Wait()
	if n := inserted.Load(); n != 1 {
		t.Errorf("%d inserted, want 1", n)
	}
}

func profileUpdate(t *testing.T, s Stores) {
	ctx := background(t)
	store := s.Deps.Profiles
	p, other := fullProfile(), Profile(Handle())
	for _, q := range []*domain.Profile{p, other} {
		_, err := store.Insert(ctx, q)
		must(t, err)
	}
	want := *p
	want.Version, want.UpdatedAt, want.Bio, want.Links = p.Version+1, Now.Add(time.Minute), nil, []domain.Link{}
	want.Metadata = json.RawMessage(`{}`)
	change := want
	change.Location = nil // not named below: must not be written
	must(t, store.Update(ctx, &change, []string{"bio", "links", "metadata"}))
	same(t, &change, &want)
	stored, err := store.ByClerkID(ctx, p.ClerkUserID)
	must(t, err)
	same(t, stored, &want)

	stale := *p
	stale.Version, stale.Bio = p.Version+1, nil
	wantKind(t, store.Update(ctx, &stale, []string{"bio"}), domain.Conflict, domain.CodeConflict)
	taken := want
	taken.Version, taken.Handle = want.Version+1, strings.ToUpper(other.Handle)
	wantKind(t, store.Update(ctx, &taken, []string{"handle"}), domain.Conflict, domain.CodeHandleTaken)
	recased := want
	recased.Version, recased.Handle = want.Version+1, strings.ToUpper(want.Handle)
	must(t, store.Update(ctx, &recased, []string{"handle"}))

	everything := recased
	everything.Version++
	names := []string{"handle", "display_name", "bio", "banner_url", "location", "links", "theme_color", "locale", "time_zone", "visibility", "metadata"}
	must(t, store.Update(ctx, &everything, names))
	same(t, &everything, func() *domain.Profile { w := recased; w.Version++; return &w }())
}

func unitOfWork(t *testing.T, s Stores) {
	ctx := background(t)
	tx, store := s.Deps.Tx, s.Deps.Profiles
	insert := func(ctx context.Context, id string) error {
		p := Profile(Handle())
		p.ClerkUserID = id
		_, err := store.Insert(ctx, p)
		return err
	}
	boom := errors.New("boom")
	err := tx.WithinTx(ctx, func(ctx context.Context) error { return errors.Join(insert(ctx, "user_error"), boom) })
	if !errors.Is(err, boom) {
		t.Errorf("the function's error is lost: %v", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "panic" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = tx.WithinTx(ctx, func(ctx context.Context) error {
			must(t, insert(ctx, "user_panic"))
			panic("panic")
		})
	}()
	err = tx.WithinTx(ctx, func(ctx context.Context) error { // a nested call joins: its work goes with the outer's failure
		must(t, tx.WithinTx(ctx, func(ctx context.Context) error { return insert(ctx, "user_nested") }))
		if _, err := store.ByClerkID(ctx, "user_nested"); err != nil {
			t.Errorf("not seen inside: %v", err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	for _, id := range []string{"user_error", "user_panic", "user_nested"} {
		_, err := store.ByClerkID(ctx, id)
		wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	}
	must(t, tx.WithinTx(ctx, func(ctx context.Context) error { return insert(ctx, "user_kept") }))
	_, err = store.ByClerkID(ctx, "user_kept")
	must(t, err)

	gone, cancel := context.WithCancel(ctx)
	err = tx.WithinTx(gone, func(ctx context.Context) error {
		must(t, insert(ctx, "user_gone"))
		cancel() // the client hangs up between the last statement and the commit
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("client gone: %v", err)
	}
	_, err = store.ByClerkID(ctx, "user_gone")
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
}

func preferences(t *testing.T, s Stores) {
	ctx := background(t)
	p := Profile(Handle())
	_, err := s.Deps.Profiles.Insert(ctx, p)
	must(t, err)
	must(t, s.Deps.Preferences.Insert(ctx, domain.DefaultPreferences(p.ID, Now)))
	wantKind(t, s.Deps.Preferences.Insert(ctx, domain.DefaultPreferences(p.ID, Now)), domain.Conflict, domain.CodeConflict)
	orphan := domain.DefaultPreferences(domain.NewID(Now), Now)
	wantKind(t, s.Deps.Preferences.Insert(ctx, orphan), domain.Conflict, domain.CodeConflict)
}

func auditLog(t *testing.T, s Stores) {
	ctx := background(t)
	var want []domain.AuditEvent
	for i, changed := range [][]string{nil, {"bio", "handle"}} {
		caller := domain.Caller{RequestID: fmt.Sprint("r", i), Network: "2001:db8::/48"}
		if i == 1 {
			caller.Impersonator = "user_boss"
		}
		e := domain.OwnAuditEvent(domain.ActionProfileUpdated, domain.NewID(Now), caller, Hashes, changed, Now.Add(time.Duration(i)*time.Second))
		must(t, s.Deps.Audit.Append(ctx, e))
		want = append(want, e)
	}
	if got := s.Events(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func reservations(t *testing.T, s Stores) {
	ctx := background(t)
	r := s.Deps.Reservations
	me, other := domain.NewID(Now), domain.NewID(Now)
	held := func(profile string, at time.Time, hashes ...string) bool {
		t.Helper()
		h, err := r.HeldFromOthers(ctx, hashes, profile, at)
		must(t, err)
		return h
	}
	must(t, r.Reserve(ctx, "x", me, Now.Add(time.Hour)))
	for _, c := range []struct {
		name   string
		held   bool
		expect bool
	}{
		{"others", held(other, Now, "x"), true},
		{"others, under an older key", held(other, Now, "y", "x"), true},
		{"its last owner", held(me, Now, "x"), false},
		{"another handle", held(other, Now, "y"), false},
		{"at the end", held(other, Now.Add(time.Hour), "x"), false},
	} {
		if c.held != c.expect {
			t.Errorf("%s: held %v", c.name, c.held)
		}
	}
	must(t, r.Reserve(ctx, "x", other, Now.Add(2*time.Hour)))
	if held(other, Now, "x") || !held(me, Now.Add(time.Hour), "x") {
		t.Error("a later reservation did not replace the earlier one")
	}
	must(t, s.Deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		return errors.Join(r.Lock(ctx, "b_b", "a_a", "B_B"), r.Lock(ctx, "a_a"))
	}))
}

func identities(t *testing.T, s Stores) {
	ctx := background(t)
	erased, err := s.Deps.Identities.Erased(ctx, []string{"one", "two"})
	if erased || err != nil {
		t.Errorf("nobody: %v, %v", erased, err)
	}
	s.MarkErased(t, "two")
	if erased, err = s.Deps.Identities.Erased(ctx, []string{"one", "two"}); !erased || err != nil {
		t.Errorf("under an older key: %v, %v", erased, err)
	}
	if erased, err = s.Deps.Identities.Erased(ctx, []string{"one"}); erased || err != nil {
		t.Errorf("somebody else: %v, %v", erased, err)
	}
	must(t, s.Deps.Tx.WithinTx(ctx, func(ctx context.Context) error { return s.Deps.Identities.LockForCreation(ctx, "user_1") }))
}
