package fakestore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/profile-api/profile-api/domain"
)

var errNoTransaction = domain.NewError(domain.Internal, domain.CodeInternal, "Something went wrong.").
	WithCause(errors.New("a job must be inserted inside a transaction"))

// ClerkDeletions is the fake ClerkDeletions.
type ClerkDeletions struct{ s *Store }

// ClerkDeletions gives the store of pending deletions.
func (s *Store) ClerkDeletions() ClerkDeletions { return ClerkDeletions{s} }

// Insert writes the row.
func (f ClerkDeletions) Insert(ctx context.Context, d domain.ClerkDeletion) error {
	return f.s.do(ctx, "clerk_deletions.insert", func(data *state) error {
		if _, ok := data.deletions[d.ID]; ok {
			return errConflict
		}
		data.deletions[d.ID] = d
		return nil
	})
}

// Find gives the row.
func (f ClerkDeletions) Find(ctx context.Context, id string) (d domain.ClerkDeletion, err error) {
	err = f.s.do(ctx, "clerk_deletions.find", func(data *state) error {
		row, ok := data.deletions[id]
		if !ok {
			return errNotFound
		}
		d = row
		return nil
	})
	return d, err
}

// Delete removes the row.
func (f ClerkDeletions) Delete(ctx context.Context, id string) error {
	return f.s.do(ctx, "clerk_deletions.delete", func(data *state) error {
		delete(data.deletions, id)
		return nil
	})
}

// JobQueue is the fake JobQueue; nothing works its jobs.
type JobQueue struct{ s *Store }

// JobQueue gives the queue.
func (s *Store) JobQueue() JobQueue { return JobQueue{s} }

// EnqueueClerkDeletion refuses to work outside of a transaction.
func (f JobQueue) EnqueueClerkDeletion(ctx context.Context, id string) error {
	if ctx.Value(txKey{}) != f.s {
		return errNoTransaction
	}
	return f.s.do(ctx, "jobs.enqueue", func(data *state) error {
		data.queued = append(data.queued, id)
		return nil
	})
}

// EnqueueProfileRefresh refuses to work outside of a transaction.
func (f JobQueue) EnqueueProfileRefresh(ctx context.Context, job domain.ProfileRefreshJob, at time.Time) error {
	if ctx.Value(txKey{}) != f.s {
		return errNoTransaction
	}
	return f.s.do(ctx, "jobs.enqueue", func(data *state) error {
		waits := func(r QueuedRefresh) bool { return job.Reason != domain.RefreshFirst && r.Job == job }
		if !slices.ContainsFunc(data.refreshes, waits) {
			data.refreshes = append(data.refreshes, QueuedRefresh{job, at})
		}
		return nil
	})
}

// QueuedRefresh is a job with its time.
type QueuedRefresh struct {
	Job domain.ProfileRefreshJob
	At  time.Time
}

// QueuedRefreshes lists the looks at Clerk's record that are to be taken, oldest first.
func (s *Store) QueuedRefreshes() []QueuedRefresh {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.data.refreshes)
}

// QueuedDeletions lists the deletions for which there is a job, oldest first.
func (s *Store) QueuedDeletions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.data.queued)
}
