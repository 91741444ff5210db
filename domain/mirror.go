package domain

import (
	"slices"
	"time"
)

// MirrorState is what a profile remembers of how it follows Clerk. It is no part
// of the profile as anybody sees it, and a change of it alone is no new version.
//
// Mirrored fields (e-mail, avatar, suspension) are those of the newest state that
// came. Display name and handle belong to the person, and Clerk only proposes
// the first ones: those of the oldest state that came, because in the order of
// events that is the one that would have made the profile. So the outcome does
// not hang on the order of arrival.
type MirrorState struct {
	Newest          string     `gorm:"column:clerk_mark"`            // of the newest state; empty before any
	HandleSeed      *string    `gorm:"column:handle_seed"`           // of the state that the handle is from; nil: of none yet; see [ownWord]
	DisplayNameSeed *string    `gorm:"column:display_name_seed"`     // likewise
	Suspended       bool       `gorm:"column:clerk_suspended"`       // banned or locked at Clerk
	AdminUntil      *time.Time `gorm:"column:admin_suspended_until"` // end of an admin's suspension while Clerk's is on top of it
}

// ownWord is the seed of a field that was edited here, by its owner or an admin.
// It sorts before every mark, so that no state of Clerk's is older.
var ownWord = ""

// seeds tells whether a state with that mark may set a field.
func seeds(seed *string, mark string) bool { return seed == nil || mark < *seed }

// settle makes fields the person's own.
func (m *MirrorState) settle(handle, displayName bool) {
	if handle && (m.HandleSeed == nil || *m.HandleSeed != ownWord) {
		m.HandleSeed = &ownWord
	}
	if displayName && (m.DisplayNameSeed == nil || *m.DisplayNameSeed != ownWord) {
		m.DisplayNameSeed = &ownWord
	}
}

// ProposedHandle is the username that the state proposes for the profile's
// handle, when it may and when that could be a handle; else empty. Whether it is
// free is for the caller to find out.
func (p *Profile) ProposedHandle(u ClerkUser, from MirrorSource) string {
	if HandleFault(u.Username) != "" || !seeds(p.Mirror.HandleSeed, u.mark(from)) {
		return ""
	}
	return u.Username
}

// Follows tells whether the state is newer than all that came before, so that
// the mirrored fields become its. What the API says counts, at the same updated_at,
// as newer: Clerk changes some things without dating them.
func (p *Profile) Follows(u ClerkUser, from MirrorSource) bool {
	if from == FromAPI {
		return len(p.Mirror.Newest) == 0 || u.instant() >= p.Mirror.Newest[:len(u.instant())]
	}
	return u.mark(from) > p.Mirror.Newest
}

// Knows tells whether this very state is the newest that came.
func (p *Profile) Knows(u ClerkUser, from MirrorSource) bool { return u.mark(from) == p.Mirror.Newest }

// TiesWith tells whether Clerk's API has said something else of the very moment
// that the state, which a webhook brought, is of.
func (p *Profile) TiesWith(u ClerkUser) bool {
	ours, api := p.Mirror.Newest, u.mark(FromAPI)
	fromAPI := len(u.instant()) + len("-1")
	return len(ours) == len(api) && ours[:fromAPI] == api[:fromAPI] && ours != api
}

// ApplyClerk takes over a state of the person at Clerk. The handle is what
// [Profile.ProposedHandle] gave, when it is free, else empty. It returns the JSON
// names of the fields that changed, with version and times as of [Profile.Apply],
// and whether anything must be stored: a state may leave nothing but its mark.
func (p *Profile) ApplyClerk(u ClerkUser, from MirrorSource, handle string, now time.Time) (changed []string, store bool) {
	var c changes
	next, mark := *p, u.mark(from)
	if p.Follows(u, from) {
		c.mirrored("email", &next.Email, u.Email)
		c.mirrored("avatar_url", &next.AvatarURL, u.AvatarURL)
		c.suspension(p, &next, nil, u.Suspended, now)
		at := u.UpdatedAt
		next.ClerkUpdatedAt, next.Mirror.Newest = &at, mark
	}
	if u.DisplayName != nil && seeds(p.Mirror.DisplayNameSeed, mark) {
		c.mirrored("display_name", &next.DisplayName, u.DisplayName)
		next.Mirror.DisplayNameSeed = &mark
	}
	if handle != "" {
		if handle != next.Handle {
			next.Handle, c.names = handle, append(c.names, "handle")
		}
		next.Mirror.HandleSeed = &mark
	}
	store = next.Mirror != p.Mirror
	if len(c.names) == 0 {
		*p = next
		return nil, store
	}
	changed, _ = c.commit(p, next, now) // nothing was refused
	return changed, true
}

// mirrored sets a field to Clerk's value, nil for none.
func (c *changes) mirrored(name string, field **string, value *string) {
	if (*field == nil) != (value == nil) || value != nil && **field != *value {
		*field, c.names = value, append(c.names, name)
	}
}

// BornFrom makes a new profile that of a person in that state. It is still the
// first version: what its first values are from is no change. Twice is once.
func (p *Profile) BornFrom(u ClerkUser, from MirrorSource, handle string) {
	p.ApplyClerk(u, from, handle, p.CreatedAt)
	p.Version, p.UpdatedAt = 1, p.CreatedAt
}

// ActionOfMirror names what a state of Clerk's did to the profile.
func ActionOfMirror(p *Profile, changed []string, now time.Time) AuditAction {
	switch {
	case !slices.Contains(changed, "status"):
		return ActionProfileUpdated
	case p.SuspendedAt(now):
		return ActionProfileSuspended
	}
	return ActionProfileReactivated
}
