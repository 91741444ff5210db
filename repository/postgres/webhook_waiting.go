package postgres

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// OldestWaitingDelivery tells when the oldest delivery came that is still to be
// applied, or to be tried again; nil when there is none. Dead ones wait for an
// operator and do not count. One look into an index for each of the two states.
func (db *DB) OldestWaitingDelivery(ctx context.Context) (*time.Time, error) {
	var row struct{ Oldest *time.Time }
	err := db.read(ctx, func(tx *gorm.DB) error {
		return tx.Raw(`SELECT least(
			(SELECT min(received_at) FROM webhook_deliveries WHERE state = ?),
			(SELECT min(received_at) FROM webhook_deliveries WHERE state = ?)) AS oldest`,
			domain.WebhookReceived, domain.WebhookFailed).Scan(&row).Error
	})
	return row.Oldest, err
}
