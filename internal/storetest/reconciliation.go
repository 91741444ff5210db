package storetest

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
	"github.com/profile-api/profile-api/usecase"
)

// ReconcileStores is an empty store under test, as the reconciliation needs it.
type ReconcileStores struct {
	Tx     usecase.UnitOfWork
	Runs   usecase.ReconcileRuns
	Lease  usecase.ReconcileLease
	People usecase.ReconcilePeople
	Put    func(*testing.T, domain.Profile)
}

// Reconciliation runs the contract of the reconciliation's ports.
func Reconciliation(t *testing.T, open func(*testing.T) ReconcileStores) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, ReconcileStores){
		"runs": reconcileRuns, "lease": reconcileLease, "a race for the lease": reconcileLeaseRace, "people": reconcilePeople,
		"transactions": reconcileTransactions,
	} {
		t.Run(name, func(t *testing.T) { suite(t, open(t)) })
	}
}

func reconcileRuns(t *testing.T, s ReconcileStores) {
	ctx := background(t)
	_, err := s.Runs.Unfinished(ctx)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	_, err = s.Runs.LastFinished(ctx)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)

	first := domain.NewReconciliation(true, Now)
	first.JudgedBefore = Now.Add(-time.Hour)
	must(t, s.Runs.Begin(ctx, first))
	first.NextOffset, first.Pages, first.Phase, first.Profiles = 100, 2, domain.ReconcileVanished, 12
	first.CheckedThrough = domain.NewID(Now)
	first.Counts = domain.ReconcileCounts{
		Seen: 1, Created: 2, Updated: 3, Unchanged: 4, Stale: 5, Skipped: 6, Unreadable: 7, Failed: 8, Candidates: 9, Erased: 10, Refused: 11,
	}
	must(t, s.Runs.Save(ctx, first))
	if got, err := s.Runs.Unfinished(ctx); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("got %+v, %v; want %+v", got, err, first)
	}
	first.Counts = domain.ReconcileCounts{} // zeros are written too
	first.Finish(domain.ReconcileRefused, Now.Add(time.Minute))
	must(t, s.Runs.Save(ctx, first))
	if got, err := s.Runs.LastFinished(ctx); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("got %+v, %v; want %+v", got, err, first)
	}
	_, err = s.Runs.Unfinished(ctx)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	wantKind(t, s.Runs.Save(ctx, first), domain.Conflict, domain.CodeConflict)

	// A new run ends the unfinished one, and that end counts for nothing.
	second, third := domain.NewReconciliation(false, Now.Add(time.Hour)), domain.NewReconciliation(false, Now.Add(2*time.Hour))
	must(t, s.Runs.Begin(ctx, second))
	must(t, s.Runs.Begin(ctx, third))
	if got, err := s.Runs.Unfinished(ctx); err != nil || got.ID != third.ID || got.Periodic {
		t.Errorf("unfinished is %+v, %v", got, err)
	}
	wantKind(t, s.Runs.Save(ctx, second), domain.Conflict, domain.CodeConflict)
	if got, err := s.Runs.LastFinished(ctx); err != nil || got.ID != first.ID {
		t.Errorf("the last finished is %+v, %v", got, err)
	}
	for _, at := range []time.Time{Now, Now.Add(time.Hour)} {
		if since, err := s.Runs.WatchedSince(ctx, at); err != nil || !since.Equal(Now) {
			t.Errorf("watched since %v, %v", since, err)
		}
	}
}

func reconcileLease(t *testing.T, s ReconcileStores) {
	ctx := background(t)
	take := func(owner string, hold time.Duration, want bool) {
		t.Helper()
		if got, err := s.Lease.Take(ctx, owner, hold); err != nil || got != want {
			t.Errorf("%s takes it: %v, %v; want %v", owner, got, err, want)
		}
	}
	take("a", time.Hour, true)
	take("b", time.Hour, false)
	take("a", time.Hour, true)
	must(t, s.Lease.Release(ctx, "b")) // not b's to release
	take("b", time.Hour, false)
	must(t, s.Lease.Release(ctx, "a"))
	take("b", time.Hour, true)
	take("b", time.Millisecond, true) // it may be shortened
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if got, err := s.Lease.Take(ctx, "a", time.Hour); err != nil || got {
			must(t, err)
			break
		}
		if time.Now().After(end) {
			t.Fatal("a lease never ends")
		}
	}
	take("b", time.Hour, false)
}

func reconcileLeaseRace(t *testing.T, s ReconcileStores) {
	ctx := background(t)
	taken := make(chan bool)
	const racers = 16
	for i := range racers {
		go func() {
			got, err := s.Lease.Take(ctx, fmt.Sprint("racer ", i), time.Hour)
			if err != nil {
				t.Error(err)
			}
			taken <- got
		}()
	}
	winners := 0
	for range racers {
		if <-taken {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d have it", winners)
	}
}

// wantMirrored looks at one profile with everything that is mirrored and at one with nothing.
func (s ReconcileStores) wantMirrored(t *testing.T, full, bare *domain.Profile) {
	t.Helper()
	found, err := s.People.Mirrored(background(t), []string{full.ClerkUserID, "user_nobody", bare.ClerkUserID})
	must(t, err)
	if len(found) != 2 {
		t.Fatalf("found %+v", found)
	}
	for _, m := range found {
		if m.ID == bare.ID && (m.Email != nil || m.AvatarURL != nil || m.ClerkUpdatedAt != nil || m.SuspendedUntil != nil || m.Status != domain.StatusActive) {
			t.Errorf("got %+v", m)
		}
		if m.ID == full.ID && (*m.Email != *full.Email || *m.AvatarURL != *full.AvatarURL || !m.ClerkUpdatedAt.Equal(*full.ClerkUpdatedAt) ||
			!m.SuspendedUntil.Equal(*full.SuspendedUntil) || m.Status != domain.StatusSuspended || m.ClerkUserID != full.ClerkUserID) {
			t.Errorf("got %+v", m)
		}
	}
}

func reconcilePeople(t *testing.T, s ReconcileStores) {
	ctx := background(t)
	run := domain.NewReconciliation(false, Now)
	must(t, s.Runs.Begin(ctx, run))
	var old []*domain.Profile
	for range 5 {
		p := Profile(Handle())
		p.CreatedAt = Now.Add(-time.Second)
		email, avatar, at, until := Handle()+"@example.org", "https://example.org/"+Handle(), Now.Add(-time.Hour), Now.Add(time.Hour)
		p.Email, p.AvatarURL, p.ClerkUpdatedAt, p.SuspendedUntil, p.Status = &email, &avatar, &at, &until, domain.StatusSuspended
		old = append(old, p)
		s.Put(t, *p)
	}
	slices.SortFunc(old, func(a, b *domain.Profile) int { return strings.Compare(a.ID, b.ID) })
	during := Profile(Handle()) // created at Now, when the run began
	s.Put(t, *during)

	s.wantMirrored(t, old[0], during)
	for range 2 {
		must(t, s.People.MarkSeen(ctx, run.ID, []string{old[1].ClerkUserID, "user_nobody", during.ClerkUserID}))
	}
	must(t, s.People.MarkSeen(ctx, run.ID, nil))
	if unseen, all, err := s.People.CountUnseen(ctx, run); err != nil || unseen != 4 || all != 5 { // who came during the run is none of them
		t.Errorf("%d of %d, %v", unseen, all, err)
	}
	ancient := Profile(Handle())
	ancient.CreatedAt = Now.Add(-time.Hour)
	s.Put(t, *ancient)
	must(t, s.People.MarkSeen(ctx, run.ID, []string{ancient.ClerkUserID}))
	judged := run
	judged.JudgedBefore = Now.Add(-time.Second) // when the others came
	if unseen, all, err := s.People.CountUnseen(ctx, judged); err != nil || unseen != 4 || all != 1 {
		t.Errorf("judged by who was there earlier: %d of %d, %v", unseen, all, err)
	}
	for _, c := range []struct {
		after string
		limit int
		want  []*domain.Profile
	}{
		{domain.NobodysID, 10, []*domain.Profile{old[0], old[2], old[3], old[4]}},
		{domain.NobodysID, 2, []*domain.Profile{old[0], old[2]}},
		{old[2].ID, 10, []*domain.Profile{old[3], old[4]}},
		{old[4].ID, 10, nil},
	} {
		list, err := s.People.Unseen(ctx, run, c.after, c.limit)
		same := slices.EqualFunc(list, c.want, func(m domain.MirroredProfile, p *domain.Profile) bool {
			return m.ID == p.ID && m.ClerkUserID == p.ClerkUserID
		})
		if err != nil || !same {
			t.Errorf("behind %s: %+v, %v", c.after, list, err)
		}
	}
	// Another run has met nobody.
	other := domain.NewReconciliation(false, Now)
	if unseen, _, err := s.People.CountUnseen(ctx, other); err != nil || unseen != 6 {
		t.Errorf("another run: %d, %v", unseen, err)
	}
	// The notes of a run go when it has ended, and not before.
	purge := func(at time.Time, want int) {
		t.Helper()
		if n, err := s.People.PurgeExpired(ctx, at, 1); err != nil || n != want {
			t.Errorf("purged %d, %v; want %d", n, err, want)
		}
	}
	purge(Now.Add(time.Hour), 0)
	must(t, s.People.MarkSeen(ctx, run.ID, []string{old[0].ClerkUserID}))
	run.Finish(domain.ReconcileCompleted, Now)
	must(t, s.Runs.Save(ctx, run))
	must(t, s.Runs.Begin(ctx, other))
	must(t, s.People.MarkSeen(ctx, other.ID, []string{old[0].ClerkUserID}))
	purge(Now.Add(-time.Second), 0)
	for _, want := range []int{1, 1, 1, 1, 0} { // one at a time: the three old ones and the one that came during the run
		purge(Now, want)
	}
	if unseen, _, err := s.People.CountUnseen(ctx, other); err != nil || unseen != 5 {
		t.Errorf("the run under way: %d, %v", unseen, err)
	}
}

// What belongs together is written together.
func reconcileTransactions(t *testing.T, s ReconcileStores) {
	ctx := background(t)
	p := Profile(Handle())
	p.CreatedAt = Now.Add(-time.Second)
	s.Put(t, *p)
	run := domain.NewReconciliation(false, Now)
	must(t, s.Runs.Begin(ctx, run))
	boom := errors.New("boom")
	err := s.Tx.WithinTx(ctx, func(ctx context.Context) error {
		_, err := s.Lease.Take(ctx, "a", time.Hour)
		next := run
		next.NextOffset = 7
		return errors.Join(err, s.People.MarkSeen(ctx, run.ID, []string{p.ClerkUserID}), s.Runs.Save(ctx, next), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if got, err := s.Runs.Unfinished(ctx); err != nil || got.NextOffset != 0 {
		t.Errorf("the run is %+v, %v", got, err)
	}
	if unseen, _, err := s.People.CountUnseen(ctx, run); err != nil || unseen != 1 {
		t.Errorf("unseen %d, %v", unseen, err)
	}
	if taken, err := s.Lease.Take(ctx, "b", time.Hour); err != nil || !taken {
		t.Errorf("the lease is held: %v, %v", taken, err)
	}
}
