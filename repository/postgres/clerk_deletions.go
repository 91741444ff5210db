package postgres

import (
	"context"

	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// ClerkDeletions keeps the people who must still be deleted at Clerk.
type ClerkDeletions struct{ db *DB }

// NewClerkDeletions makes the store.
func NewClerkDeletions(db *DB) *ClerkDeletions { return &ClerkDeletions{db} }

// Insert writes the row.
func (s *ClerkDeletions) Insert(ctx context.Context, d domain.ClerkDeletion) error {
	return translate(ctx, s.db.conn(ctx).Create(&d).Error)
}

// Find returns an error of kind NotFound when there is no such row.
func (s *ClerkDeletions) Find(ctx context.Context, id string) (domain.ClerkDeletion, error) {
	var d domain.ClerkDeletion
	err := s.db.read(ctx, func(tx *gorm.DB) error { return tx.Where("id = ?", id).Take(&d).Error })
	return d, err
}

// Delete removes the row; one that is gone already is no error.
func (s *ClerkDeletions) Delete(ctx context.Context, id string) error {
	return translate(ctx, s.db.conn(ctx).Where("id = ?", id).Delete(&domain.ClerkDeletion{}).Error)
}
