package usecase

import "github.com/profile-api/profile-api/domain"

// The names of the lists, to which cursors are bound.
const (
	listProfiles = "admin-profiles"
	listAudit    = "admin-audit-events"
	listActivity = "activity"
)

// page reads the cursor, fetches one row more than the page holds, which tells
// whether there is another page, and makes the cursor of that one.
func page[T, P any](
	cursors domain.Cursors, list string, filter any, cursor string, size int,
	fetch func(after *P, limit int) ([]T, error), position func(*T) P,
) (domain.Page[T], error) {
	var after *P
	if cursor != "" {
		after = new(P)
		if err := cursors.Open(list, filter, cursor, after); err != nil {
			return domain.Page[T]{}, err
		}
	}
	rows, err := fetch(after, size+1)
	if err != nil || len(rows) <= size {
		return domain.Page[T]{Items: rows}, err
	}
	next, err := cursors.Seal(list, filter, position(&rows[size-1]))
	return domain.Page[T]{Items: rows[:size], Next: next}, err
}

func auditPosition(e *domain.AuditEvent) domain.AuditPosition {
	return domain.AuditPosition{OccurredAt: e.OccurredAt, ID: e.ID}
}
