package domain

import (
	"encoding/json"
	"time"
)

// Visibility says who may read a profile.
type Visibility string

// The visibilities of the contract.
const (
	VisibilityPublic  Visibility = "public"  // anyone
	VisibilityPrivate Visibility = "private" // its owner and admins
)

// Status says whether a profile may be used.
type Status string

// The statuses of the contract.
const (
	StatusActive    Status = "active"
	StatusSuspended Status = "suspended" // see SuspendedUntil: it may have ended by itself
)

// Link is one of the links that a person shows.
type Link struct {
	Label string `json:"label"` // 1–50 characters
	URL   string `json:"url"`   // absolute https, at most 2,048 characters
}

// Profile is a person's profile, and its row. Optional fields are nil when
// absent. It is never written to the outside as it is: the edge has one
// response type per view.
type Profile struct {
	ID              string          `gorm:"column:id;primaryKey"` // UUID v7
	ClerkUserID     string          `gorm:"column:clerk_user_id"`
	Email           *string         `gorm:"column:email"` // mirrored from Clerk
	Handle          string          `gorm:"column:handle"`
	DisplayName     *string         `gorm:"column:display_name"`
	Bio             *string         `gorm:"column:bio"`
	AvatarURL       *string         `gorm:"column:avatar_url"` // mirrored from Clerk
	BannerURL       *string         `gorm:"column:banner_url"`
	Location        *string         `gorm:"column:location"`
	Links           []Link          `gorm:"column:links;serializer:json"` // never nil
	ThemeColor      *string         `gorm:"column:theme_color"`           // #rrggbb
	Locale          *string         `gorm:"column:locale"`                // BCP 47
	TimeZone        *string         `gorm:"column:time_zone"`             // IANA
	Visibility      Visibility      `gorm:"column:visibility"`
	Status          Status          `gorm:"column:status"`
	SuspendedReason *string         `gorm:"column:suspended_reason"`
	SuspendedUntil  *time.Time      `gorm:"column:suspended_until"`              // nil: until further notice
	Metadata        json.RawMessage `gorm:"column:metadata;serializer:json"`     // a JSON object, the front end's
	AppMetadata     json.RawMessage `gorm:"column:app_metadata;serializer:json"` // a JSON object, the admins'
	Version         int64           `gorm:"column:version"`                      // from 1, +1 with each change
	ClerkUpdatedAt  *time.Time      `gorm:"column:clerk_updated_at"`             // Clerk's updated_at of what is mirrored
	Mirror          MirrorState     `gorm:"embedded"`
	CreatedAt       time.Time       `gorm:"column:created_at;autoCreateTime:false"`
	UpdatedAt       time.Time       `gorm:"column:updated_at;autoUpdateTime:false"`
}

// TableName tells GORM the table.
func (Profile) TableName() string { return "profiles" }

// NewProfile makes the profile of a person who has none yet: active, public,
// empty, version 1. The handle must tell nothing of the Clerk id; see [NewHandle].
func NewProfile(clerkUserID, handle string, now time.Time) *Profile {
	now = storedTime(now)
	return &Profile{
		ID: NewID(now), ClerkUserID: clerkUserID, Handle: handle,
		Links: []Link{}, Visibility: VisibilityPublic, Status: StatusActive,
		Metadata: json.RawMessage(`{}`), AppMetadata: json.RawMessage(`{}`),
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

// SuspendedAt tells whether the profile is suspended at that moment: a
// suspension ends by itself when SuspendedUntil has come.
func (p *Profile) SuspendedAt(now time.Time) bool {
	return p.Status == StatusSuspended && (p.SuspendedUntil == nil || now.Before(*p.SuspendedUntil))
}

// StatusAt is the status as the outside should see it at that moment.
func (p *Profile) StatusAt(now time.Time) Status {
	if p.SuspendedAt(now) {
		return StatusSuspended
	}
	return StatusActive
}

// OwnedBy tells whether the viewer is the person the profile belongs to.
func (p *Profile) OwnedBy(viewer Principal) bool {
	return viewer.SignedIn() && viewer.UserID == p.ClerkUserID
}

// VisibleTo tells whether the viewer may read the public view: anyone when the
// profile is public and not suspended, else its owner alone.
func (p *Profile) VisibleTo(viewer Principal, now time.Time) bool {
	if p.OwnedBy(viewer) {
		return true
	}
	return p.Visibility == VisibilityPublic && !p.SuspendedAt(now)
}

// NotBefore is now, or the profile's last change when that is later: the clocks
// of replicas differ, and what comes later must not be dated earlier.
func (p *Profile) NotBefore(now time.Time) time.Time { return latest(storedTime(now), p.UpdatedAt) }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// storedTime is what PostgreSQL gives back for t: UTC, whole microseconds.
func storedTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
