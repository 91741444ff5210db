package domain

import "time"

// HandleReservation keeps a released handle for its last owner. It is its row.
type HandleReservation struct {
	HandleHash    string    `gorm:"column:handle_hash;primaryKey"` // keyed, see PurposeReleasedHandle
	ProfileID     string    `gorm:"column:profile_id"`
	ReservedUntil time.Time `gorm:"column:reserved_until"`
}

// TableName tells GORM the table.
func (HandleReservation) TableName() string { return "handle_reservations" }
