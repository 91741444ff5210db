package postgres

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// AuditLog takes and lists audit events; the database lets nobody change them.
type AuditLog struct{ db *DB }

// NewAuditLog makes the log.
func NewAuditLog(db *DB) *AuditLog { return &AuditLog{db} }

// Append writes one event.
func (s *AuditLog) Append(ctx context.Context, e domain.AuditEvent) error {
	return translate(ctx, s.db.conn(ctx).Create(&e).Error)
}

// List gives up to limit events of the filter behind the position, newest first;
// after is nil for the first page.
func (s *AuditLog) List(ctx context.Context, f domain.AuditFilter, after *domain.AuditPosition, limit int) ([]domain.AuditEvent, error) {
	return list[domain.AuditEvent](ctx, s.db, auditQuery(f, after, limit))
}

func auditQuery(f domain.AuditFilter, after *domain.AuditPosition, limit int) query {
	var q query
	var where []string
	add := func(condition string, value any, sqlType string) {
		where = append(where, condition+" "+q.arg(value, sqlType))
	}
	if f.ProfileID != "" {
		add("profile_id =", f.ProfileID, "uuid")
	}
	if f.ActorID != "" {
		add("actor_id =", f.ActorID, "uuid")
	}
	if f.Action != "" {
		add("action =", string(f.Action), "text")
	}
	if f.Since != nil {
		add("occurred_at >=", *f.Since, "timestamptz")
	}
	if f.Until != nil {
		add("occurred_at <", *f.Until, "timestamptz")
	}
	if after != nil {
		where = append(where, "(occurred_at, id) < ("+q.arg(after.OccurredAt, "timestamptz")+", "+q.arg(after.ID, "uuid")+")")
	}
	q.sql = "SELECT " + auditColumns + " FROM audit_events" + whereAll(where) + " ORDER BY occurred_at DESC, id DESC LIMIT " + q.arg(limit, "bigint")
	return q
}
