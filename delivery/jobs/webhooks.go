package jobs

import (
	"context"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// webhookDeliveries applies Clerk's deliveries. How a run failed is noted in the
// inbox too, where an operator looks, and not in River's table alone.
func webhookDeliveries(common *shared, inbox *usecase.Inbox) *worker[domain.WebhookDeliveryJob] {
	return &worker[domain.WebhookDeliveryJob]{
		shared: common,
		run:    func(ctx context.Context, job domain.WebhookDeliveryJob) error { return inbox.Run(ctx, job.ID) },
		failed: func(ctx context.Context, job domain.WebhookDeliveryJob, v verdict) error {
			final := v.outcome == discarded || v.outcome == cancelled
			return inbox.Failed(ctx, job.ID, usecase.FailedRun{Reason: v.reason, Counted: v.outcome != snoozed, Final: final})
		},
	}
}
