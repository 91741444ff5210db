package rest

import (
	"encoding/json"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// publicProfile is what anyone may read of a profile. It is written out field by
// field, so that a new column never publishes itself.
type publicProfile struct {
	ID          string        `json:"id"`
	Handle      string        `json:"handle"`
	DisplayName *string       `json:"display_name"`
	Bio         *string       `json:"bio"`
	AvatarURL   *string       `json:"avatar_url"`
	BannerURL   *string       `json:"banner_url"`
	Location    *string       `json:"location"`
	Links       []domain.Link `json:"links"`
	ThemeColor  *string       `json:"theme_color"`
	CreatedAt   time.Time     `json:"created_at"`
	UpdatedAt   time.Time     `json:"updated_at"`
}

func publicView(p *domain.Profile) publicProfile {
	return publicProfile{
		ID: p.ID, Handle: p.Handle, DisplayName: p.DisplayName, Bio: p.Bio, AvatarURL: p.AvatarURL, BannerURL: p.BannerURL,
		Location: p.Location, Links: linksOf(p), ThemeColor: p.ThemeColor,
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
	}
}

// ownProfile is what its owner reads of a profile.
type ownProfile struct {
	ID          string            `json:"id"`
	ClerkUserID string            `json:"clerk_user_id"`
	Email       *string           `json:"email"`
	Handle      string            `json:"handle"`
	DisplayName *string           `json:"display_name"`
	Bio         *string           `json:"bio"`
	AvatarURL   *string           `json:"avatar_url"`
	BannerURL   *string           `json:"banner_url"`
	Location    *string           `json:"location"`
	Links       []domain.Link     `json:"links"`
	ThemeColor  *string           `json:"theme_color"`
	Locale      *string           `json:"locale"`
	TimeZone    *string           `json:"time_zone"`
	Visibility  domain.Visibility `json:"visibility"`
	Status      domain.Status     `json:"status"`
	Metadata    json.RawMessage   `json:"metadata"`
	AppMetadata json.RawMessage   `json:"app_metadata"`
	Version     int64             `json:"version"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
}

func ownView(p *domain.Profile, now time.Time) ownProfile {
	return ownProfile{
		ID: p.ID, ClerkUserID: p.ClerkUserID, Email: p.Email, Handle: p.Handle, DisplayName: p.DisplayName, Bio: p.Bio,
		AvatarURL: p.AvatarURL, BannerURL: p.BannerURL, Location: p.Location, Links: linksOf(p), ThemeColor: p.ThemeColor,
		Locale: p.Locale, TimeZone: p.TimeZone, Visibility: p.Visibility, Status: p.StatusAt(now),
		Metadata: p.Metadata, AppMetadata: p.AppMetadata, Version: p.Version,
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
	}
}

// adminProfile is what admins read of any profile.
type adminProfile struct {
	ownProfile
	SuspendedReason *string    `json:"suspended_reason"`
	SuspendedUntil  *time.Time `json:"suspended_until"`
}

func adminView(p *domain.Profile, now time.Time) adminProfile {
	return adminProfile{ownProfile: ownView(p, now), SuspendedReason: p.ReasonShown(), SuspendedUntil: utc(p.SuspendedUntil)}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func linksOf(p *domain.Profile) []domain.Link {
	if p.Links == nil {
		return []domain.Link{}
	}
	return p.Links
}
