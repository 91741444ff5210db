package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/profile-api/profile-api/domain"
)

// Idempotency keeps the responses to requests that carry an Idempotency-Key.
type Idempotency struct{ db *DB }

// NewIdempotency makes the store.
func NewIdempotency(db *DB) *Idempotency { return &Idempotency{db} }

// TryLock takes an advisory lock for each hash until the transaction ends, or
// gives false when another transaction has one of them. The hashes come in the
// order of the keys everywhere, the current one first; since nobody waits, the
// order cannot matter for deadlocks either.
func (s *Idempotency) TryLock(ctx context.Context, keyHashes []string) (bool, error) {
	for _, h := range keyHashes {
		var locked bool
		err := s.db.conn(ctx).Raw("SELECT pg_try_advisory_xact_lock(?)", wideLockKey(h)).Scan(&locked).Error
		if err != nil || !locked {
			return false, translate(ctx, err)
		}
	}
	return true, nil
}

// wideLockKey is one of PostgreSQL's single-key locks: with 64 bits two keys
// never meet by chance, and so nobody is refused for a stranger's request.
func wideLockKey(value string) int64 {
	sum := sha256.Sum256([]byte(value))
	return int64(binary.BigEndian.Uint64(sum[:8])) // #nosec G115 -- any 64 bits will do
}

// Find gives the record that has not expired at that moment, the latest if a
// rotation of the keys left two, or an error of kind NotFound.
func (s *Idempotency) Find(ctx context.Context, keyHashes []string, at time.Time) (*domain.IdempotencyRecord, error) {
	var r domain.IdempotencyRecord
	err := s.db.read(ctx, func(q *gorm.DB) error {
		return q.Where("key_hash IN ? AND expires_at > ?", keyHashes, at).Order("created_at DESC").Take(&r).Error
	})
	if err != nil {
		return nil, err
	}
	r.CreatedAt, r.ExpiresAt = r.CreatedAt.UTC(), r.ExpiresAt.UTC()
	return &r, nil
}

// Put stores a record and replaces one that has expired when it was created.
// Error: kind Conflict when there is one that has not.
func (s *Idempotency) Put(ctx context.Context, r domain.IdempotencyRecord) error {
	res := s.db.conn(ctx).Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "key_hash"}},
		DoUpdates: clause.AssignmentColumns([]string{ // UpdateAll would leave created_at as it was
			"request_hash", "subject_profile_id", "status", "headers", "body", "created_at", "expires_at",
		}),
		Where: clause.Where{Exprs: []clause.Expression{gorm.Expr("idempotency_keys.expires_at <= excluded.created_at")}},
	}).Create(&r)
	if res.Error == nil && res.RowsAffected == 0 {
		return errConflict
	}
	return translate(ctx, res.Error)
}

// BySubject lists the responses that tell of the profile and have not expired at
// that moment, oldest first.
func (s *Idempotency) BySubject(ctx context.Context, profileID string, at time.Time) ([]domain.IdempotencyRecord, error) {
	var found []domain.IdempotencyRecord
	err := s.db.read(ctx, func(q *gorm.DB) error {
		return q.Where("subject_profile_id = ? AND expires_at > ?", profileID, at).Order("created_at, key_hash").Find(&found).Error
	})
	return found, err
}

// DeleteBySubject deletes every response that tells of the profile.
func (s *Idempotency) DeleteBySubject(ctx context.Context, profileID string) error {
	return translate(ctx, s.db.conn(ctx).Exec("DELETE FROM idempotency_keys WHERE subject_profile_id = ?", profileID).Error)
}

// PurgeExpired deletes up to limit records that have expired at that moment and
// tells how many. Rows that somebody works on, another replica's purge say, are
// left to them.
func (s *Idempotency) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	res := s.db.conn(ctx).Exec(`DELETE FROM idempotency_keys WHERE key_hash = ANY(ARRAY(
		SELECT key_hash FROM idempotency_keys WHERE expires_at <= ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))`, at, limit)
	return int(res.RowsAffected), translate(ctx, res.Error)
}
