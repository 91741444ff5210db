package postgres

import (
	"context"

	"gorm.io/gorm"

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

// ByProfileID gives a profile's preferences, or an error of kind NotFound.
func (s *Preferences) ByProfileID(ctx context.Context, profileID string) (*domain.Preferences, error) {
	var p domain.Preferences
	if err := s.db.read(ctx, func(q *gorm.DB) error { return q.Where("profile_id = ?", profileID).Take(&p).Error }); err != nil {
		return nil, err
	}
	return &p, nil
}

// Update writes every setting where the stored version is p.Version-1. Errors:
// kind Conflict when that version is gone.
func (s *Preferences) Update(ctx context.Context, p *domain.Preferences) error {
	res := s.db.conn(ctx).Model(&domain.Preferences{}).Where("profile_id = ? AND version = ?", p.ProfileID, p.Version-1).
		Updates(map[string]any{
			"theme": p.Theme, "email_product": p.EmailNotifications.Product, "email_security": p.EmailNotifications.Security,
			"email_digest": p.EmailNotifications.Digest, "content_language": p.ContentLanguage,
			"reduced_motion": p.ReducedMotion, "version": p.Version, "updated_at": p.UpdatedAt,
		})
	if res.Error != nil {
		return translate(ctx, res.Error)
	}
	if res.RowsAffected == 0 {
		return errConflict
	}
	return nil
}
