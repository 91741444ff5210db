package usecase

import (
	"context"

	"github.com/profile-api/profile-api/domain"
)

// record writes what happened to a profile, in the transaction of the change: the
// audit event and, where other services hear of it, the event for them. The
// profile is as the change left it; for an erasure, as it was last.
func (d ProfilesDeps) record(ctx context.Context, e domain.AuditEvent, p *domain.Profile) error {
	if err := d.Audit.Append(ctx, e); err != nil {
		return err
	}
	event, ok := domain.NewEvent(e, p)
	if !ok {
		return nil
	}
	return d.Events.Append(ctx, event)
}
