package usecase

import (
	"context"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// write updates a locked profile's row and, when the handle moves, minds the
// reservations.
func (d ProfilesDeps) write(ctx context.Context, p *domain.Profile, changed []string, oldHandle string, now time.Time) error {
	moves := domain.HandleKey(oldHandle) != domain.HandleKey(p.Handle)
	if moves {
		if err := d.Reservations.Lock(ctx, oldHandle, p.Handle); err != nil {
			return err
		}
	}
	if err := d.Profiles.Update(ctx, p, changed); err != nil || !moves {
		return err
	}
	// Only now: whoever was releasing this handle has committed, and their
	// reservation is there to be seen.
	held, err := d.Reservations.HeldFromOthers(ctx, d.handleHashes(p.Handle), p.ID, now)
	if err != nil {
		return err
	}
	if held {
		return domain.HandleTaken(nil)
	}
	return d.release(ctx, oldHandle, p.ID, now)
}

// writeUnseen writes what a change left behind that changed nothing to be seen: a
// name or handle that somebody has confirmed is no longer Clerk's to propose.
func (d ProfilesDeps) writeUnseen(ctx context.Context, p *domain.Profile, before domain.MirrorState) error {
	if p.Mirror == before {
		return nil
	}
	return d.Mirror.SaveMirror(ctx, p)
}

// release keeps the handle for its last owner for a while.
func (d ProfilesDeps) release(ctx context.Context, handle, profileID string, now time.Time) error {
	return d.Reservations.Reserve(ctx, d.handleHashes(handle)[0], profileID, now.Add(domain.ReleasedHandleHold))
}

func (d ProfilesDeps) handleHashes(handle string) []string {
	return d.Hashes.Candidates(domain.PurposeReleasedHandle, domain.HandleKey(handle))
}
