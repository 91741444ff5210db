package domain

import (
	"encoding/json"
	"time"
)

// ClerkUser is a person as Clerk knows them.
type ClerkUser struct {
	ID        string
	UpdatedAt time.Time
}

// MirrorSource says where a state of Clerk's came from.
type MirrorSource int

// The sources.
const (
	FromWebhook MirrorSource = iota
	FromAPI
)

// ParseClerkUser reads the JSON object of a user as the Backend API and webhooks
// have it. The error is of kind [Invalid] and names the member, never a value.
func ParseClerkUser(data []byte) (ClerkUser, error) {
	members, _ := jsonMembers(data)
	id, ok := jsonString(members["id"])
	if !ok || !clerkUserIDForm.MatchString(id) {
		return ClerkUser{}, NewError(Invalid, CodeValidationFailed, "The member id is not the id of a user.")
	}
	var updated *int64
	if json.Unmarshal(members["updated_at"], &updated) != nil || updated == nil || *updated <= 0 {
		return ClerkUser{}, NewError(Invalid, CodeValidationFailed, "The member updated_at is not a time in milliseconds.")
	}
	return ClerkUser{ID: id, UpdatedAt: time.UnixMilli(*updated).UTC()}, nil
}
