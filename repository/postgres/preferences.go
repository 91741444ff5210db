package postgres

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// Preferences keeps preferences.
type Preferences struct{ db *DB }

// NewPreferences makes the store.
func NewPreferences(db *DB) *Preferences { return &Preferences{db} }

// Insert writes the preferences of a new profile.
func (s *Preferences) Insert(ctx context.Context, p *domain.Preferences) error {
	return translate(ctx, s.db.conn(ctx).Create(p).Error)
}
