package fakestore

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/profile-api/profile-api/domain"
)

type reconcileState struct {
	runs      []domain.Reconciliation    // the oldest first
	seen      map[string]map[string]bool // profiles' ids by run
	owner     string
	heldUntil time.Time
	watched   time.Time
}

func (s reconcileState) clone() reconcileState {
	s.runs, s.seen = slices.Clone(s.runs), maps.Clone(s.seen)
	for run, ids := range s.seen {
		s.seen[run] = maps.Clone(ids)
	}
	return s
}

// Reconciliations is the fake ReconcileRuns, ReconcileLease and ReconcilePeople.
type Reconciliations struct{ s *Store }

// Reconciliations gives the store of runs.
func (s *Store) Reconciliations() Reconciliations { return Reconciliations{s} }

func (f Reconciliations) last(ctx context.Context, operation string, match func(domain.Reconciliation) bool) (r domain.Reconciliation, err error) {
	err = f.s.do(ctx, operation, func(d *state) error {
		for _, run := range slices.Backward(d.reconcile.runs) {
			if match(run) {
				r = run
				return nil
			}
		}
		return errNotFound
	})
	return r, err
}

// Unfinished gives the run that has not ended.
func (f Reconciliations) Unfinished(ctx context.Context) (domain.Reconciliation, error) {
	return f.last(ctx, "reconcile.unfinished", func(r domain.Reconciliation) bool { return r.FinishedAt == nil })
}

// LastFinished gives the one that came to its end last.
func (f Reconciliations) LastFinished(ctx context.Context) (domain.Reconciliation, error) {
	return f.last(ctx, "reconcile.last_finished", func(r domain.Reconciliation) bool {
		return r.FinishedAt != nil && !r.EndedAs(domain.ReconcileAbandoned)
	})
}

// Begin writes a new run.
func (f Reconciliations) Begin(ctx context.Context, r domain.Reconciliation) error {
	return f.s.do(ctx, "reconcile.begin", func(d *state) error {
		for i := range d.reconcile.runs {
			if run := &d.reconcile.runs[i]; run.FinishedAt == nil {
				run.Finish(domain.ReconcileAbandoned, r.BegunAt)
			}
		}
		d.reconcile.runs = append(d.reconcile.runs, r)
		return nil
	})
}

// Save writes how far it has come.
func (f Reconciliations) Save(ctx context.Context, r domain.Reconciliation) error {
	return f.s.do(ctx, "reconcile.save", func(d *state) error {
		i := slices.IndexFunc(d.reconcile.runs, func(run domain.Reconciliation) bool { return run.ID == r.ID && run.FinishedAt == nil })
		if i < 0 {
			return errConflict
		}
		r.Periodic, r.BegunAt, r.JudgedBefore = d.reconcile.runs[i].Periodic, d.reconcile.runs[i].BegunAt, d.reconcile.runs[i].JudgedBefore
		d.reconcile.runs[i] = r
		return nil
	})
}

// PurgeExpired removes notes of runs that had ended.
func (f Reconciliations) PurgeExpired(ctx context.Context, at time.Time, limit int) (n int, err error) {
	err = f.s.do(ctx, "reconcile.purge", func(d *state) error {
		for _, run := range d.reconcile.runs {
			if run.FinishedAt == nil || run.FinishedAt.After(at) {
				continue
			}
			for id := range d.reconcile.seen[run.ID] {
				if n == limit {
					return nil
				}
				delete(d.reconcile.seen[run.ID], id)
				n++
			}
		}
		return nil
	})
	return n, err
}

// WatchedSince is the now of its first call.
func (f Reconciliations) WatchedSince(ctx context.Context, now time.Time) (since time.Time, err error) {
	err = f.s.do(ctx, "reconcile.watched_since", func(d *state) error {
		if d.reconcile.watched.IsZero() {
			d.reconcile.watched = now
		}
		since = d.reconcile.watched
		return nil
	})
	return since, err
}

// Take goes by the system's clock, as the database does.
func (f Reconciliations) Take(ctx context.Context, owner string, hold time.Duration) (taken bool, err error) {
	err = f.s.do(ctx, "reconcile.take", func(d *state) error {
		now := time.Now()
		if taken = d.reconcile.owner == "" || d.reconcile.owner == owner || !now.Before(d.reconcile.heldUntil); taken {
			d.reconcile.owner, d.reconcile.heldUntil = owner, now.Add(hold)
		}
		return nil
	})
	return taken, err
}

// Release ends what the owner has.
func (f Reconciliations) Release(ctx context.Context, owner string) error {
	return f.s.do(ctx, "reconcile.release", func(d *state) error {
		if d.reconcile.owner == owner {
			d.reconcile.owner = ""
		}
		return nil
	})
}

// Mirrored gives those who have a profile.
func (f Reconciliations) Mirrored(ctx context.Context, clerkUserIDs []string) (found []domain.MirroredProfile, err error) {
	err = f.s.do(ctx, "reconcile.mirrored", func(d *state) error {
		for _, p := range d.profiles {
			if slices.Contains(clerkUserIDs, p.ClerkUserID) {
				found = append(found, asMirrored(p))
			}
		}
		return nil
	})
	return found, err
}

func asMirrored(p domain.Profile) domain.MirroredProfile {
	return domain.MirroredProfile{
		ID: p.ID, ClerkUserID: p.ClerkUserID, Email: p.Email, AvatarURL: p.AvatarURL,
		Status: p.Status, SuspendedUntil: p.SuspendedUntil, ClerkUpdatedAt: p.ClerkUpdatedAt,
	}
}

// MarkSeen notes those who have a profile.
func (f Reconciliations) MarkSeen(ctx context.Context, runID string, clerkUserIDs []string) error {
	return f.s.do(ctx, "reconcile.mark_seen", func(d *state) error {
		if d.reconcile.seen[runID] == nil {
			d.reconcile.seen[runID] = map[string]bool{}
		}
		for _, p := range d.profiles {
			if slices.Contains(clerkUserIDs, p.ClerkUserID) {
				d.reconcile.seen[runID][p.ID] = true
			}
		}
		return nil
	})
}

func (d *state) unseen(r domain.Reconciliation) (list []domain.MirroredProfile) {
	for _, p := range d.profiles {
		if p.CreatedAt.Before(r.BegunAt) && !d.reconcile.seen[r.ID][p.ID] {
			list = append(list, asMirrored(p))
		}
	}
	slices.SortFunc(list, func(a, b domain.MirroredProfile) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// CountUnseen counts who was not met, and all from before JudgedBefore.
func (f Reconciliations) CountUnseen(ctx context.Context, r domain.Reconciliation) (unseen, all int, err error) {
	err = f.s.do(ctx, "reconcile.count_unseen", func(d *state) error {
		unseen = len(d.unseen(r))
		for _, p := range d.profiles {
			if p.CreatedAt.Before(r.JudgedBefore) {
				all++
			}
		}
		return nil
	})
	return unseen, all, err
}

// Unseen lists them.
func (f Reconciliations) Unseen(ctx context.Context, r domain.Reconciliation, after string, limit int) (list []domain.MirroredProfile, err error) {
	err = f.s.do(ctx, "reconcile.unseen", func(d *state) error {
		list = slices.DeleteFunc(d.unseen(r), func(p domain.MirroredProfile) bool { return p.ID <= after })
		list = list[:min(limit, len(list))]
		return nil
	})
	return list, err
}

// Runs lists all runs, the oldest first.
func (f Reconciliations) Runs() []domain.Reconciliation {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return slices.Clone(f.s.data.reconcile.runs)
}

// EndLease is the time going by until the lease of a dead process ends.
func (s *Store) EndLease() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.reconcile.heldUntil = time.Time{}
}

// LeaseOwner is who is at work on a run; empty: nobody.
func (s *Store) LeaseOwner() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.reconcile.owner
}

// Profiles lists all profiles by id.
func (s *Store) Profiles() []domain.Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.data.profiles), func(a, b domain.Profile) int { return strings.Compare(a.ID, b.ID) })
}
