package domain

import (
	"encoding/json"
	"strings"
	"time"
)

// MirrorSource says where a state of a person at Clerk comes from.
type MirrorSource int

// The sources.
const (
	FromWebhook MirrorSource = iota // as it was when the delivery was made
	FromAPI                         // as it is now
)

// ClerkUser is what is mirrored of a person at Clerk.
type ClerkUser struct {
	ID            string
	UpdatedAt     time.Time
	Email         *string // the primary one, when it is verified
	AvatarURL     *string
	DisplayName   *string // first and last name
	Username      string
	Suspended     bool          // banned or locked
	LockoutEndsIn time.Duration // zero when it does not end by itself
}

type clerkUserDocument struct {
	ID             *string `json:"id"`
	UpdatedAt      *int64  `json:"updated_at"`
	EmailAddresses []struct {
		ID           string `json:"id"`
		EmailAddress string `json:"email_address"`
		Verification *struct {
			Status string `json:"status"`
		} `json:"verification"`
	} `json:"email_addresses"`
	PrimaryEmailAddressID *string `json:"primary_email_address_id"`
	ImageURL              *string `json:"image_url"`
	FirstName             *string `json:"first_name"`
	LastName              *string `json:"last_name"`
	Username              *string `json:"username"`
	Banned                bool    `json:"banned"`
	Locked                bool    `json:"locked"`
	LockoutExpiresIn      *int64  `json:"lockout_expires_in_seconds"`
}

// ParseClerkUser reads a user as the Backend API and the webhooks have it. The
// error is an [Error] of kind Invalid that names the member, never a value.
func ParseClerkUser(data []byte) (ClerkUser, error) {
	var doc clerkUserDocument
	if json.Unmarshal(data, &doc) != nil {
		return ClerkUser{}, NewError(Invalid, CodeValidationFailed, "What Clerk says of a user cannot be read.")
	}
	if doc.ID == nil || !strings.HasPrefix(*doc.ID, "user_") {
		return ClerkUser{}, NewError(Invalid, CodeValidationFailed, "What Clerk says of a user has no usable id.")
	}
	if doc.UpdatedAt == nil || *doc.UpdatedAt <= 0 {
		return ClerkUser{}, NewError(Invalid, CodeValidationFailed, "What Clerk says of a user has no usable updated_at.")
	}
	u := ClerkUser{ID: *doc.ID, UpdatedAt: time.UnixMilli(*doc.UpdatedAt).UTC(), Suspended: doc.Banned || doc.Locked}
	for _, e := range doc.EmailAddresses {
		if doc.PrimaryEmailAddressID != nil && e.ID == *doc.PrimaryEmailAddressID && e.Verification != nil && e.Verification.Status == "verified" {
			u.Email = &e.EmailAddress
		}
	}
	if doc.ImageURL != nil && *doc.ImageURL != "" {
		u.AvatarURL = doc.ImageURL
	}
	var names []string
	for _, n := range []*string{doc.FirstName, doc.LastName} {
		if n != nil && *n != "" {
			names = append(names, *n)
		}
	}
	if name := strings.Join(names, " "); name != "" {
		u.DisplayName = &name
	}
	if doc.Username != nil {
		u.Username = *doc.Username
	}
	if doc.Locked && !doc.Banned && doc.LockoutExpiresIn != nil {
		u.LockoutEndsIn = time.Duration(*doc.LockoutExpiresIn) * time.Second
	}
	return u, nil
}
