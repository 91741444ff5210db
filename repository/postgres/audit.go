package postgres

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// AuditLog takes audit events; the database lets nobody change them.
type AuditLog struct{ db *DB }

// NewAuditLog makes the log.
func NewAuditLog(db *DB) *AuditLog { return &AuditLog{db} }

// Append writes one event.
func (s *AuditLog) Append(ctx context.Context, e domain.AuditEvent) error {
	return translate(ctx, s.db.conn(ctx).Create(&e).Error)
}
