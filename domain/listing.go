package domain

import "time"

// The size of a page on every list.
const (
	DefaultPageSize = 50
	MaxPageSize     = 200
)

// Page is one page of a list. Next is the cursor of the page after it; empty on the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// ProfileSort is an order of the admins' listing.
type ProfileSort string

// The orders of the contract. Each is total: equal times are told apart by the id.
const (
	SortNewestFirst ProfileSort = "-created_at"
	SortOldestFirst ProfileSort = "created_at"
	SortHandle      ProfileSort = "handle" // whatever the case
)

// ProfileFilter says which profiles an admin looks for. The zero value asks for
// all, newest first.
type ProfileFilter struct {
	Text          string     // prefix of handle, display name or e-mail whatever the case, or a whole Clerk id; empty: any
	Status        Status     // as the outside sees it, see [Profile.StatusAt]; empty: any
	CreatedAfter  *time.Time // inclusive
	CreatedBefore *time.Time // exclusive
	Sort          ProfileSort
}

// ProfilePosition is where a page of profiles ended: its last row's place in
// every order.
type ProfilePosition struct {
	CreatedAt time.Time
	ID        string
	HandleKey string
}

// PositionOf is the profile's own place.
func PositionOf(p *Profile) ProfilePosition {
	return ProfilePosition{CreatedAt: p.CreatedAt, ID: p.ID, HandleKey: HandleKey(p.Handle)}
}

// AuditFilter says which audit events are looked for; the zero value asks for
// all. They come newest first.
type AuditFilter struct {
	ProfileID string      // whom it happened to; empty: anybody
	ActorID   string      // profile id of who did it; empty: anybody
	Action    AuditAction // empty: any
	Since     *time.Time  // inclusive
	Until     *time.Time  // exclusive
}

// AuditPosition is where a page of audit events ended.
type AuditPosition struct {
	OccurredAt time.Time
	ID         string
}
