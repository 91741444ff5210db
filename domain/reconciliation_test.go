package domain_test

import (
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

func TestReconciliationMayErase(t *testing.T) {
	for _, c := range []struct {
		offset, candidates, profiles, percent int
		want                                  bool
	}{
		{1, 0, 0, 0, true}, {0, 0, 10, 0, true}, {5, 1, 5, 20, true}, {5, 2, 5, 20, false}, {5, 1, 5, 19, true}, {5, 5, 5, 100, true},
		{5, 1, 3, 1, true}, {5, 1, 2, 1, false}, {5, 2, 6, 1, true}, {5, 3, 8, 1, false}, {5, 10, 30, 1, true}, {5, 10, 29, 1, false}, {5, 11, 1000, 1, false},
		{0, 5, 5, 100, false}, {0, 1, 1000, 100, false}, {1, 1, 1000, 0, false}, {1, 200_000, 1_000_000, 20, true}, {1, 200_001, 1_000_000, 20, false},
	} {
		r := domain.NewReconciliation(false, time.Now())
		r.NextOffset, r.Counts.Candidates, r.Profiles = c.offset, c.candidates, c.profiles
		if got := r.MayErase(c.percent); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestReconciliationIsJudgedAsTheOneBefore(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for outcome, carried := range map[domain.ReconcileOutcome]bool{
		"": true, domain.ReconcileRefused: true, domain.ReconcileAbandoned: true, domain.ReconcileCompleted: false,
	} {
		before, next := domain.NewReconciliation(false, now), domain.NewReconciliation(true, now.Add(time.Hour))
		if outcome != "" {
			before.Finish(outcome, now.Add(time.Minute))
		}
		if next.Follow(before); next.JudgedBefore.Equal(now) != carried || next.JudgedBefore.Equal(next.BegunAt) == carried {
			t.Errorf("after %q: judged by who was there at %s", outcome, next.JudgedBefore)
		}
	}
}

func TestMirroredProfileIsComparedWithClerk(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	mail, other, before := "a@example.org", "b@example.org", now.Add(-time.Second)
	at := func(t time.Time) *time.Time { return &t }
	same := domain.ClerkUser{UpdatedAt: now, Email: &mail, AvatarURL: &other}
	mirrored := domain.MirroredProfile{Email: &mail, AvatarURL: &other, Status: domain.StatusActive, ClerkUpdatedAt: at(now)}
	for name, c := range map[string]struct {
		change               func(m *domain.MirroredProfile, u *domain.ClerkUser)
		inStep, shows, stale bool
	}{
		"the same":        {func(*domain.MirroredProfile, *domain.ClerkUser) {}, true, true, false},
		"never mirrored":  {func(m *domain.MirroredProfile, _ *domain.ClerkUser) { m.ClerkUpdatedAt = nil }, false, false, false},
		"later at Clerk":  {func(_ *domain.MirroredProfile, u *domain.ClerkUser) { u.UpdatedAt = now.Add(time.Second) }, false, true, false},
		"later here":      {func(_ *domain.MirroredProfile, u *domain.ClerkUser) { u.UpdatedAt = before }, false, true, true},
		"another e-mail":  {func(_ *domain.MirroredProfile, u *domain.ClerkUser) { u.Email = &other }, false, false, false},
		"no e-mail here":  {func(m *domain.MirroredProfile, _ *domain.ClerkUser) { m.Email = nil }, false, false, false},
		"no e-mail there": {func(_ *domain.MirroredProfile, u *domain.ClerkUser) { u.Email = nil }, false, false, false},
		"another avatar":  {func(_ *domain.MirroredProfile, u *domain.ClerkUser) { u.AvatarURL = &mail }, false, false, false},
		"suspended there": {func(_ *domain.MirroredProfile, u *domain.ClerkUser) { u.Suspended = true }, false, false, false},
		"suspended here":  {func(m *domain.MirroredProfile, _ *domain.ClerkUser) { m.Status = domain.StatusSuspended }, false, true, false},
		"suspended on both": {func(m *domain.MirroredProfile, u *domain.ClerkUser) {
			m.Status, u.Suspended = domain.StatusSuspended, true
		}, false, true, false},
		"suspended here till now": {func(m *domain.MirroredProfile, u *domain.ClerkUser) {
			m.Status, m.SuspendedUntil, u.Suspended = domain.StatusSuspended, &now, true
		}, false, false, false},
	} {
		m, u := mirrored, same
		c.change(&m, &u)
		if got := [3]bool{m.InStep(u, now), m.Shows(u, now), m.StaleFor(u)}; got != [3]bool{c.inStep, c.shows, c.stale} {
			t.Errorf("%s: in step, shows, stale: %v", name, got)
		}
	}
}
