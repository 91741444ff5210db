package postgres

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/profile-api/profile-api/domain"
)

// HandleReservations keeps released handles from others for a while.
type HandleReservations struct{ db *DB }

// NewHandleReservations makes the store.
func NewHandleReservations(db *DB) *HandleReservations { return &HandleReservations{db} }

// Lock makes other changes of these handles wait until the transaction ends.
// Two people who swap handles would otherwise wait for each other on the unique
// index. The locks are taken in one order, whatever the arguments'.
func (s *HandleReservations) Lock(ctx context.Context, handles ...string) error {
	var keys []int32
	for _, h := range handles {
		keys = append(keys, lockKey(domain.HandleKey(h)))
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		if err := s.db.conn(ctx).Exec("SELECT pg_advisory_xact_lock(?, ?)", lockHandles, k).Error; err != nil {
			return translate(ctx, err)
		}
	}
	return nil
}

// HeldFromOthers tells whether one of the hashes is reserved at that moment for
// somebody else than the profile.
func (s *HandleReservations) HeldFromOthers(ctx context.Context, hashes []string, profileID string, at time.Time) (bool, error) {
	var n int64
	err := s.db.conn(ctx).Model(&domain.HandleReservation{}).
		Where("handle_hash IN ? AND profile_id <> ? AND reserved_until > ?", hashes, profileID, at).Count(&n).Error
	return n > 0, translate(ctx, err)
}

// Reserve keeps the handle for the profile until then, and replaces an earlier
// reservation of the same handle.
func (s *HandleReservations) Reserve(ctx context.Context, hash, profileID string, until time.Time) error {
	row := domain.HandleReservation{HandleHash: hash, ProfileID: profileID, ReservedUntil: until}
	return translate(ctx, s.db.conn(ctx).Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error)
}

// OfProfile lists the profile's reservations that hold at that moment.
func (s *HandleReservations) OfProfile(ctx context.Context, profileID string, at time.Time) ([]domain.HandleReservation, error) {
	var found []domain.HandleReservation
	err := s.db.read(ctx, func(q *gorm.DB) error {
		return q.Where("profile_id = ? AND reserved_until > ?", profileID, at).Order("reserved_until, handle_hash").Find(&found).Error
	})
	return found, err
}

// PurgeExpired removes at most limit reservations that were over at that moment,
// the oldest first. One that is being renewed is passed over.
func (s *HandleReservations) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	result := s.db.conn(ctx).Exec(`DELETE FROM handle_reservations WHERE handle_hash IN (
		SELECT handle_hash FROM handle_reservations WHERE reserved_until <= ? ORDER BY reserved_until LIMIT ? FOR UPDATE SKIP LOCKED)`, at, limit)
	return int(result.RowsAffected), translate(ctx, result.Error)
}
