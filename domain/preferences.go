package domain

import "time"

// Theme is how the front end looks.
type Theme string

// The themes of the contract.
const (
	ThemeSystem Theme = "system" // as the device says
	ThemeLight  Theme = "light"
	ThemeDark   Theme = "dark"
)

// EmailNotifications says which kinds of e-mail a person wants.
type EmailNotifications struct {
	Product  bool `gorm:"column:product" json:"product"`   // news about the product
	Security bool `gorm:"column:security" json:"security"` // sign-ins and changes of the account
	Digest   bool `gorm:"column:digest" json:"digest"`     // a regular summary
}

// Preferences are a person's settings, one row beside each profile.
type Preferences struct {
	ProfileID          string             `gorm:"column:profile_id;primaryKey"`
	Theme              Theme              `gorm:"column:theme"`
	EmailNotifications EmailNotifications `gorm:"embedded;embeddedPrefix:email_"`
	ContentLanguage    *string            `gorm:"column:content_language"` // BCP 47; nil: as the profile's locale
	ReducedMotion      bool               `gorm:"column:reduced_motion"`
	Version            int64              `gorm:"column:version"` // from 1, +1 with each change
	CreatedAt          time.Time          `gorm:"column:created_at;autoCreateTime:false"`
	UpdatedAt          time.Time          `gorm:"column:updated_at;autoUpdateTime:false"`
}

// TableName tells GORM the table.
func (Preferences) TableName() string { return "preferences" }

// DefaultPreferences are those of a new profile. Only the e-mails that protect
// the account are on: the others ask for consent.
func DefaultPreferences(profileID string, now time.Time) *Preferences {
	now = storedTime(now)
	return &Preferences{
		ProfileID: profileID, Theme: ThemeSystem,
		EmailNotifications: EmailNotifications{Security: true},
		Version:            1, CreatedAt: now, UpdatedAt: now,
	}
}
