package fakestore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Idempotency is the fake IdempotencyStore.
type Idempotency struct{ s *Store }

// TryLock always succeeds: transactions run one at a time.
func (f Idempotency) TryLock(ctx context.Context, _ []string) (bool, error) {
	err := f.s.do(ctx, "idempotency.lock", func(*state) error { return nil })
	return err == nil, err
}

// Find gives the latest record that has not expired.
func (f Idempotency) Find(ctx context.Context, keyHashes []string, at time.Time) (*domain.IdempotencyRecord, error) {
	var found *domain.IdempotencyRecord
	err := f.s.do(ctx, "idempotency.find", func(d *state) error {
		for _, h := range keyHashes {
			if r, ok := d.kept[h]; ok && r.ExpiresAt.After(at) && (found == nil || r.CreatedAt.After(found.CreatedAt)) {
				r.Body = slices.Clone(r.Body)
				found = &r
			}
		}
		if found == nil {
			return errNotFound
		}
		return nil
	})
	return found, err
}

// Put stores a record, unless there is one that has not expired.
func (f Idempotency) Put(ctx context.Context, r domain.IdempotencyRecord) error {
	return f.s.do(ctx, "idempotency.put", func(d *state) error {
		if old, ok := d.kept[r.KeyHash]; ok && old.ExpiresAt.After(r.CreatedAt) {
			return errConflict
		}
		d.kept[r.KeyHash] = r
		return nil
	})
}

// BySubject lists the responses that tell of the profile.
func (f Idempotency) BySubject(ctx context.Context, profileID string, at time.Time) ([]domain.IdempotencyRecord, error) {
	var found []domain.IdempotencyRecord
	err := f.s.do(ctx, "idempotency.by_subject", func(d *state) error {
		for _, r := range d.kept {
			if r.SubjectProfileID != nil && *r.SubjectProfileID == profileID && r.ExpiresAt.After(at) {
				found = append(found, r)
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b domain.IdempotencyRecord) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.KeyHash, b.KeyHash))
	})
	return found, err
}

// DeleteBySubject deletes every response that tells of the profile.
func (f Idempotency) DeleteBySubject(ctx context.Context, profileID string) error {
	return f.s.do(ctx, "idempotency.delete", func(d *state) error {
		for h, r := range d.kept {
			if r.SubjectProfileID != nil && *r.SubjectProfileID == profileID {
				delete(d.kept, h)
			}
		}
		return nil
	})
}

// PurgeExpired deletes up to limit expired records.
func (f Idempotency) PurgeExpired(ctx context.Context, at time.Time, limit int) (n int, err error) {
	err = f.s.do(ctx, "idempotency.purge", func(d *state) error {
		for h, r := range d.kept {
			if n < limit && !r.ExpiresAt.After(at) {
				delete(d.kept, h)
				n++
			}
		}
		return nil
	})
	return n, err
}

// Kept lists the stored responses.
func (s *Store) Kept() []domain.IdempotencyRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []domain.IdempotencyRecord
	for _, r := range s.data.kept {
		list = append(list, r)
	}
	return list
}
