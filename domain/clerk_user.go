package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxEmail is more than RFC 5321 lets an address be (254), so that no address
// that Clerk could verify is lost, and less than what an index row can hold.
const maxEmail = 320

// ClerkUser is one state of a person at Clerk: what of it is mirrored here.
// Two states of one person are ordered by UpdatedAt, however they came.
type ClerkUser struct {
	ID        string    // user_…
	UpdatedAt time.Time // Clerk's own, to the millisecond

	Email         *string       // the primary address, when it is verified
	AvatarURL     *string       // https
	DisplayName   *string       // first and last name, as a display name may be
	Username      string        // empty for none; need not be a valid handle
	Suspended     bool          // banned or locked
	LockoutEndsIn time.Duration // from when Clerk was asked; zero: not locked, or for good
}

// ParseClerkUser reads a user object as Clerk's Backend API and its webhooks
// have it (https://clerk.com/docs/reference/backend-api/tag/users). Members that
// are not mirrored are not looked at, and a mirrored value that breaks our rules
// (an address too long, a URL that is not https) is as good as none. The error,
// of kind [Invalid], names the member that cannot be read and never a value.
func ParseClerkUser(data []byte) (ClerkUser, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return ClerkUser{}, unreadableUser("the user is no JSON object")
	}
	r := userReader{members: members}
	u := ClerkUser{ID: r.text("id"), UpdatedAt: r.milliseconds("updated_at")}
	u.Email, u.AvatarURL, u.DisplayName = r.email(), r.avatar(), r.displayName()
	u.Username = r.text("username")
	locked := r.flag("locked")
	u.Suspended = r.flag("banned") || locked
	if locked {
		u.LockoutEndsIn = time.Duration(min(max(r.number("lockout_expires_in_seconds"), 0), 1<<31)) * time.Second
	}
	switch {
	case r.fault != "":
		return ClerkUser{}, unreadableUser(r.fault)
	case !ValidClerkUserID(u.ID):
		return ClerkUser{}, unreadableUser("id is no id of a user")
	case u.UpdatedAt.IsZero():
		return ClerkUser{}, unreadableUser("updated_at is missing or no time")
	}
	return u, nil
}

func unreadableUser(what string) error {
	return NewError(Invalid, CodeValidationFailed, "Clerk's record of the person cannot be used: "+what+".")
}

// ValidClerkUserID tells whether s has the form of a user's id at Clerk: user_ and
// up to 64 letters, digits, hyphens and underscores. It becomes a part of paths.
func ValidClerkUserID(s string) bool {
	rest, ok := strings.CutPrefix(s, "user_")
	if !ok || rest == "" || len(rest) > 64 {
		return false
	}
	for i := range len(rest) {
		if !isAlphanum(rest[i]) && rest[i] != '_' && rest[i] != '-' {
			return false
		}
	}
	return true
}

// userReader reads members of a user object and remembers the first that it
// could not read.
type userReader struct {
	members map[string]json.RawMessage
	fault   string
}

// into decodes a member; absent and null leave v as it is.
func (r *userReader) into(name string, v any) {
	raw, ok := r.members[name]
	if !ok || bytes.Equal(raw, []byte("null")) || r.fault != "" {
		return
	}
	if json.Unmarshal(raw, v) != nil {
		r.fault = name + " is of another type than expected"
	}
}

func (r *userReader) text(name string) (s string) { r.into(name, &s); return s }
func (r *userReader) flag(name string) (b bool)   { r.into(name, &b); return b }
func (r *userReader) number(name string) (n int64) {
	r.into(name, &n)
	return n
}

// milliseconds reads a time; the zero time is none.
func (r *userReader) milliseconds(name string) time.Time {
	n := r.number(name)
	if n <= 0 || n > maxMilliseconds {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

const maxMilliseconds = 253402300799999 // the end of the year 9999

func (r *userReader) email() *string {
	var addresses []struct {
		ID           string `json:"id"`
		EmailAddress string `json:"email_address"`
		Verification *struct {
			Status string `json:"status"`
		} `json:"verification"`
	}
	r.into("email_addresses", &addresses)
	primary := r.text("primary_email_address_id")
	for _, a := range addresses {
		if primary == "" || a.ID != primary || a.Verification == nil || a.Verification.Status != "verified" {
			continue
		}
		if plausibleEmail(a.EmailAddress) {
			return &a.EmailAddress
		}
	}
	return nil
}

// plausibleEmail does not check the address, which Clerk has verified by writing
// to it: it keeps out what must not get into the database and the indexes.
func plausibleEmail(s string) bool {
	return textFault(s) == nil && strings.Contains(s, "@") && strings.IndexFunc(s, unicode.IsSpace) < 0 && utf8.RuneCountInString(s) <= maxEmail
}

func (r *userReader) avatar() *string {
	url, f := cleanURL(r.text("image_url"))
	if f != nil {
		return nil
	}
	return &url
}

// displayName makes a display name of first and last name, cut where it is too long.
func (r *userReader) displayName() *string {
	name := strings.TrimSpace(r.text("first_name") + " " + r.text("last_name"))
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(name, ""))
	if runes := []rune(name); len(runes) > maxDisplayName {
		name = string(runes[:maxDisplayName])
	}
	name, f := cleanDisplayName(name)
	if f != nil {
		return nil
	}
	return &name
}

// MirrorSource says how a state of a person came here.
type MirrorSource int

// The sources. What the API says was true when it was asked; what a webhook says
// was true when it was written.
const (
	FromWebhook MirrorSource = iota
	FromAPI
)

// mark orders states of one person: by Clerk's updated_at, then the API before
// webhooks, then by content, so that of two that are different and of the same
// millisecond the same one wins everywhere. It is compared as text.
func (u ClerkUser) mark(from MirrorSource) string {
	content, err := json.Marshal([]any{u.Email, u.AvatarURL, u.DisplayName, u.Username, u.Suspended, u.LockoutEndsIn > 0})
	if err != nil { // strings and booleans
		panic("domain: " + err.Error())
	}
	sum := sha256.Sum256(content)
	return fmt.Sprintf("%s-%d-%s", u.instant(), from, hex.EncodeToString(sum[:8]))
}

// instant is the first part of a mark.
func (u ClerkUser) instant() string { return fmt.Sprintf("%015d", u.UpdatedAt.UnixMilli()) }
