package usecase

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// recording is a real run: what it does is done, and noted as it is done.
type recording struct {
	deps  ReconcileDeps
	owner string
}

func (r *recording) apply(ctx context.Context, u domain.ClerkUser, _ *domain.MirroredProfile) (MirrorOutcome, error) {
	return r.deps.Mirror.Apply(ctx, u, domain.FromAPI)
}

// checkpoint begins with the lease: who has lost it must not overwrite the work
// of who has it now.
func (r *recording) checkpoint(ctx context.Context, run domain.Reconciliation, met []string) error {
	return r.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		taken, err := r.deps.Lease.Take(ctx, r.owner, leaseHold)
		if err == nil && !taken {
			err = errLeaseLost
		}
		if err != nil {
			return err
		}
		if err := r.deps.People.MarkSeen(ctx, run.ID, met); err != nil {
			return err
		}
		return r.deps.Runs.Save(ctx, run)
	})
}

// remove takes the erasure's locks first, as everybody does, and the lease's row last.
func (r *recording) remove(ctx context.Context, run domain.Reconciliation, clerkUserID string) (next domain.Reconciliation, err error) {
	err = r.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		next = run
		removed, err := r.deps.Mirror.Remove(ctx, clerkUserID, domain.ActorSystem)
		if err != nil {
			return err
		}
		if removed {
			next.Counts.Erased++
		}
		return r.checkpoint(ctx, next, nil)
	})
	return next, err
}

func (r *recording) countUnseen(ctx context.Context, run domain.Reconciliation) (unseen, all int, err error) {
	return r.deps.People.CountUnseen(ctx, run)
}

func (r *recording) unseen(ctx context.Context, run domain.Reconciliation, after string) ([]domain.MirroredProfile, error) {
	return r.deps.People.Unseen(ctx, run, after, candidateBatch)
}

// forget goes by batches: a walk over a million people leaves as many notes. What
// stays, the purge removes later.
func (r *recording) forget(ctx context.Context, run domain.Reconciliation) bool {
	n, err := r.deps.People.PurgeExpired(ctx, *run.FinishedAt, forgetBatch)
	return err == nil && n == forgetBatch
}

// rehearsal is a dry run: it reads, and keeps in memory whom it has met, a
// profile's id each.
type rehearsal struct {
	deps ReconcileDeps
	met  map[string]bool
}

func newRehearsal(deps ReconcileDeps) *rehearsal { return &rehearsal{deps, map[string]bool{}} }

// apply says what the mirror would do.
func (r *rehearsal) apply(ctx context.Context, u domain.ClerkUser, known *domain.MirroredProfile) (MirrorOutcome, error) {
	if known == nil {
		erased, err := r.deps.Identities.Erased(ctx, r.deps.Hashes.Candidates(domain.PurposeErasedIdentity, u.ID))
		if err != nil {
			return "", err
		}
		if erased {
			return MirrorErased, nil
		}
		return MirrorCreated, nil
	}
	switch {
	case known.StaleFor(u):
		return MirrorStale, nil
	case known.Shows(u, r.deps.Clock.Now()):
		return MirrorUnchanged, nil
	}
	return MirrorUpdated, nil
}

func (r *rehearsal) checkpoint(ctx context.Context, _ domain.Reconciliation, met []string) error {
	found, err := r.deps.People.Mirrored(ctx, met)
	for i := range found {
		r.met[found[i].ID] = true
	}
	return err
}

func (r *rehearsal) remove(_ context.Context, run domain.Reconciliation, _ string) (domain.Reconciliation, error) {
	run.Counts.Erased++
	return run, nil
}

func (r *rehearsal) countUnseen(ctx context.Context, run domain.Reconciliation) (unseen, all int, err error) {
	if _, all, err = r.deps.People.CountUnseen(ctx, run); err != nil {
		return 0, 0, err
	}
	for after := domain.NobodysID; ; {
		batch, err := r.unseen(ctx, run, after)
		if err != nil || len(batch) == 0 {
			return unseen, all, err
		}
		unseen, after = unseen+len(batch), batch[len(batch)-1].ID
	}
}

func (r *rehearsal) forget(context.Context, domain.Reconciliation) bool { return false }

// unseen goes through all profiles: for a run that is not stored none is noted.
func (r *rehearsal) unseen(ctx context.Context, run domain.Reconciliation, after string) ([]domain.MirroredProfile, error) {
	const page = 10 * candidateBatch
	for {
		all, err := r.deps.People.Unseen(ctx, run, after, page)
		if err != nil || len(all) == 0 {
			return nil, err
		}
		after = all[len(all)-1].ID
		var left []domain.MirroredProfile
		for i := range all {
			if !r.met[all[i].ID] {
				left = append(left, all[i])
			}
		}
		if len(left) > 0 {
			return left, nil
		}
	}
}
