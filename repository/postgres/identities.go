package postgres

import (
	"context"
	"time"
)

// Identities remembers by keyed hash who was erased, and orders first requests
// against erasures.
type Identities struct{ db *DB }

// NewIdentities makes the register.
func NewIdentities(db *DB) *Identities { return &Identities{db} }

// erasedIdentity is a row of erased_identities.
type erasedIdentity struct {
	IdentityHash string `gorm:"primaryKey"`
	ErasedAt     time.Time
}

// TableName tells GORM the table.
func (erasedIdentity) TableName() string { return "erased_identities" }

// LockForCreation waits for an erasure of the person that is going on, and
// keeps a new one waiting until the transaction ends. Creations share it, so
// that a hundred first requests at once do not queue one behind the other.
func (s *Identities) LockForCreation(ctx context.Context, clerkUserID string) error {
	return translate(ctx, s.db.conn(ctx).
		Exec("SELECT pg_advisory_xact_lock_shared(?, ?)", lockIdentities, lockKey(clerkUserID)).Error)
}

// LockForErasure keeps everybody from creating the person's profile until the
// transaction ends. An erasure takes it before any other lock.
func (s *Identities) LockForErasure(ctx context.Context, clerkUserID string) error {
	return translate(ctx, s.db.conn(ctx).
		Exec("SELECT pg_advisory_xact_lock(?, ?)", lockIdentities, lockKey(clerkUserID)).Error)
}

// Erased tells whether one of the hashes is marked.
func (s *Identities) Erased(ctx context.Context, hashes []string) (bool, error) {
	var n int64
	err := s.db.conn(ctx).Model(&erasedIdentity{}).Where("identity_hash IN ?", hashes).Count(&n).Error
	return n > 0, translate(ctx, err)
}

// MarkErased remembers the hash for ever; twice is once.
func (s *Identities) MarkErased(ctx context.Context, hash string, at time.Time) error {
	return translate(ctx, s.db.conn(ctx).
		Exec("INSERT INTO erased_identities (identity_hash, erased_at) VALUES (?, ?) ON CONFLICT DO NOTHING", hash, at).Error)
}
