package postgres

import (
	"context"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/profile-api/profile-api/domain"
)

// WebhookDeliveries is the inbox of Clerk's webhooks.
type WebhookDeliveries struct{ db *DB }

// NewWebhookDeliveries makes the store.
func NewWebhookDeliveries(db *DB) *WebhookDeliveries { return &WebhookDeliveries{db} }

// Receive stores a delivery, or replaces one that has failed or is dead. Of any
// other it changes nothing and gives false. Whoever inserts the same id at the
// same time waits for the first one's commit.
func (s *WebhookDeliveries) Receive(ctx context.Context, d domain.WebhookDelivery) (bool, error) {
	res := s.db.conn(ctx).Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "id"}},
		DoUpdates: clause.AssignmentColumns([]string{
			"type", "state", "reason", "attempts", "subject_hash", "sealed_data", "received_at", "updated_at", "expires_at",
		}),
		Where: clause.Where{Exprs: []clause.Expression{
			gorm.Expr("webhook_deliveries.state IN ?", []domain.WebhookState{domain.WebhookFailed, domain.WebhookDead}),
		}},
	}).Create(&d)
	return res.RowsAffected == 1, translate(ctx, res.Error)
}

// Find returns an error of kind NotFound when there is no such row.
func (s *WebhookDeliveries) Find(ctx context.Context, id string) (domain.WebhookDelivery, error) {
	var d domain.WebhookDelivery
	err := s.db.read(ctx, func(tx *gorm.DB) error { return tx.Where("id = ?", id).Take(&d).Error })
	return inUTC(d), err
}

// Update writes how far the delivery has come, when the row is in one of the
// states and holds what d was read with; else it gives false. The data is never
// written, only cleared, when d is done with: d need not have been read with it.
func (s *WebhookDeliveries) Update(ctx context.Context, d domain.WebhookDelivery, from ...domain.WebhookState) (bool, error) {
	columns := map[string]any{
		"state": d.State, "reason": d.Reason, "attempts": d.Attempts, "updated_at": d.UpdatedAt, "expires_at": d.ExpiresAt,
	}
	if d.State.Done() {
		columns["sealed_data"], columns["subject_hash"] = nil, nil
	}
	res := s.db.conn(ctx).Model(&domain.WebhookDelivery{}).
		Where("id = ? AND received_at = ? AND state IN ?", d.ID, d.ReceivedAt, from).Updates(columns)
	return res.RowsAffected == 1, translate(ctx, res.Error)
}

// List gives deliveries without their data, those received last first.
func (s *WebhookDeliveries) List(ctx context.Context, states []domain.WebhookState, limit int) ([]domain.WebhookDelivery, error) {
	var found []domain.WebhookDelivery
	err := s.db.read(ctx, func(tx *gorm.DB) error {
		return tx.Omit("sealed_data").Where("state IN ?", states).Order("received_at DESC, id").Limit(limit).Find(&found).Error
	})
	for i := range found {
		found[i] = inUTC(found[i])
	}
	return found, err
}

// Orphans gives up to limit deliveries that a job should apply, that nobody has
// touched since then, and for which there is no unfinished job, without their
// data: River gives up a job whose process was killed in its last attempt without
// asking us.
//
// EXCEPT looks at each delivery and each job once, whatever the planner believes of
// their numbers. Of an anti-join it made a loop over all pairs while the statistics
// were old, and fifty thousand deliveries did not end within the statement's time.
func (s *WebhookDeliveries) Orphans(ctx context.Context, since time.Time, limit int) ([]domain.WebhookDelivery, error) {
	var found []domain.WebhookDelivery
	err := s.db.read(ctx, func(tx *gorm.DB) error {
		return tx.Omit("sealed_data").Where(`id = ANY (ARRAY(
				SELECT id FROM webhook_deliveries WHERE state IN ('received', 'failed') AND updated_at < ?
				EXCEPT SELECT args->>'id' FROM river_job WHERE kind = ? AND state = ANY (CAST(? AS river_job_state[]))))`,
			since, domain.WebhookDeliveryJob{}.Kind(), "{"+strings.Join(unfinishedStates(), ",")+"}").
			Order("received_at, id").Limit(limit).Find(&found).Error
	})
	for i := range found {
		found[i] = inUTC(found[i])
	}
	return found, err
}

// OfSubject lists the deliveries that hold data and have one of the hashes, those
// received last first, [domain.MaxSubjectDeliveries] at most.
func (s *WebhookDeliveries) OfSubject(ctx context.Context, subjectHashes []string) ([]domain.WebhookDelivery, error) {
	var found []domain.WebhookDelivery
	err := s.db.read(ctx, func(tx *gorm.DB) error {
		return tx.Where("subject_hash IN ? AND sealed_data IS NOT NULL", subjectHashes).
			Order("received_at DESC, id").Limit(domain.MaxSubjectDeliveries).Find(&found).Error
	})
	for i := range found {
		found[i] = inUTC(found[i])
	}
	return found, err
}

// Forget clears the data of every delivery that has one of the hashes.
func (s *WebhookDeliveries) Forget(ctx context.Context, subjectHashes []string, at time.Time) error {
	ignored := domain.WebhookDelivery{}.Settled(domain.WebhookIgnored, domain.WebhookReasonErased, at)
	return translate(ctx, s.db.conn(ctx).Model(&domain.WebhookDelivery{}).
		Where("subject_hash IN ? AND sealed_data IS NOT NULL", subjectHashes).
		Updates(map[string]any{
			"state": ignored.State, "reason": ignored.Reason, "sealed_data": nil, "subject_hash": nil, "updated_at": ignored.UpdatedAt, "expires_at": ignored.ExpiresAt,
		}).Error)
}

// PurgeExpired removes at most limit deliveries whose retention was over at that
// moment, the oldest first. One that is being revived is passed over.
func (s *WebhookDeliveries) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	res := s.db.conn(ctx).Exec(`DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(
		SELECT id FROM webhook_deliveries WHERE expires_at <= ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))`, at, limit)
	return int(res.RowsAffected), translate(ctx, res.Error)
}

// OpenDeliveries counts the deliveries that are not done with, by state; each of
// the states is there.
func (db *DB) OpenDeliveries(ctx context.Context) (map[domain.WebhookState]int64, error) {
	var rows []struct {
		State      domain.WebhookState
		Deliveries int64
	}
	err := db.read(ctx, func(tx *gorm.DB) error {
		return tx.Model(&domain.WebhookDelivery{}).Select("state, count(*) AS deliveries").
			Where("state IN ?", domain.OpenWebhookStates()).Group("state").Scan(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	counts := map[domain.WebhookState]int64{}
	for _, state := range domain.OpenWebhookStates() {
		counts[state] = 0
	}
	for _, r := range rows {
		counts[r.State] = r.Deliveries
	}
	return counts, nil
}

func inUTC(d domain.WebhookDelivery) domain.WebhookDelivery {
	d.ReceivedAt, d.UpdatedAt = d.ReceivedAt.UTC(), d.UpdatedAt.UTC()
	if d.ExpiresAt != nil {
		end := d.ExpiresAt.UTC()
		d.ExpiresAt = &end
	}
	return d
}
