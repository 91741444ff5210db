package usecase

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// Activity shows people their own audit trail.
type Activity struct{ deps ProfilesDeps }

// NewActivity builds the use case.
func NewActivity(deps ProfilesDeps) *Activity { return &Activity{deps} }

// Own gives a page of what happened to the caller's profile, newest first, as
// its owner may see it. Size is 1 to [domain.MaxPageSize]. Error:
// malformed-request for a cursor that is not one of this list's.
func (s *Activity) Own(ctx context.Context, caller domain.Caller, cursor string, size int) (domain.Page[domain.AuditEvent], error) {
	if caller.ProfileID == "" { // would ask for everybody's
		return domain.Page[domain.AuditEvent]{}, errNoProfile
	}
	filter := domain.AuditFilter{ProfileID: caller.ProfileID}
	p, err := page(s.deps.Cursors, listActivity, filter, cursor, size, func(after *domain.AuditPosition, limit int) ([]domain.AuditEvent, error) {
		return s.deps.Audit.List(ctx, filter, after, limit)
	}, auditPosition)
	for i := range p.Items {
		p.Items[i] = p.Items[i].SeenByOwner()
	}
	return p, err
}
