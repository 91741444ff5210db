package usecase

import (
	"context"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// orphanAfter is longer than any pause between two tries of a delivery's job.
const orphanAfter = 3 * time.Hour

// reasonOrphan is why a delivery is dead whose job is gone.
const reasonOrphan = "its job is gone: the process was killed in the last attempt, or somebody removed the job"

// InboxOrphans buries deliveries that nothing will apply any more, so that they
// are seen where dead ones are. It is a [Purger] of their open state.
type InboxOrphans struct{ inbox *Inbox }

// NewInboxOrphans builds the use case.
func NewInboxOrphans(inbox *Inbox) InboxOrphans { return InboxOrphans{inbox} }

// PurgeExpired turns at most limit of them dead.
func (s InboxOrphans) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	deps := s.inbox.deps
	found, err := deps.Deliveries.Orphans(ctx, at.Add(-orphanAfter), limit)
	if err != nil {
		return 0, err
	}
	buried := 0
	for _, d := range found {
		noted, err := deps.Deliveries.Update(ctx, d.Dead(reasonOrphan, false, at), domain.WebhookReceived, domain.WebhookFailed)
		if err != nil {
			return buried, err
		}
		if noted {
			buried++
			deps.Observer.Delivery(ctx, d.ID, d.Type, domain.OutcomeDead, reasonOrphan)
		}
	}
	return buried, nil
}
