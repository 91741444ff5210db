package domain

import (
	"regexp"
	"strings"
	"time"
)

// RoleAdmin is the role that opens /v1/admin and lifts the rate limits.
const RoleAdmin = "admin"

// Principal is the signed-in person of a request, as the verified session
// token tells. The zero value is nobody.
type Principal struct {
	UserID       string // Clerk's user id, user_…
	SessionID    string // Clerk's session id, sess_…
	Role         string // value of the configured role claim; empty without one
	Impersonator string // Clerk id of the person acting as UserID (claim act.sub); empty when nobody is
	// FactorAge is how long ago the person last proved a first factor (claim
	// fva, whole minutes as Clerk gives it). Nil when the token does not say,
	// which is never taken for fresh.
	FactorAge *time.Duration
	IssuedAt  time.Time // when FactorAge was measured
	ExpiresAt time.Time
}

// SignedIn tells whether there is a person at all.
func (p Principal) SignedIn() bool { return p.UserID != "" }

// IsAdmin tells whether the person holds the admin role.
func (p Principal) IsAdmin() bool { return p.SignedIn() && p.Role == RoleAdmin }

// RecentSignIn is how old the proof of a first factor may be where a recent
// sign-in is asked for.
const RecentSignIn = 10 * time.Minute

// RecentlySignedIn tells whether the person proved a first factor at most
// [RecentSignIn] ago, in whole minutes as Clerk counts: the age when the token
// was made and the time since.
func (p Principal) RecentlySignedIn(now time.Time) bool {
	if p.FactorAge == nil {
		return false
	}
	sinceIssued := max(now.Sub(p.IssuedAt), 0).Truncate(time.Minute)
	return *p.FactorAge+sinceIssued <= RecentSignIn
}

// Caller is who asks and by which request: what an audit event needs to know.
type Caller struct {
	Principal
	ProfileID string // the caller's own profile; empty where none was looked for
	RequestID string // the request's X-Request-ID
	Network   string // client network, IPv4 /24 or IPv6 /48 in CIDR form; empty when unknown
}

// clerkIDForm finds what may be a Clerk id, whoever's.
var clerkIDForm = regexp.MustCompile(`(?i)user_[a-z0-9]{8}`)

// Unnamed is the caller with a request id that an audit event may keep for ever.
// A client may choose that id, and one that holds a Clerk id (of the form, or
// the caller's or one named here without its prefix) would outlive an erasure: it
// is left out.
func (c Caller) Unnamed(clerkUserIDs ...string) Caller {
	names := clerkIDForm.MatchString(c.RequestID)
	for _, id := range append(clerkUserIDs, c.UserID) {
		bare := strings.ToLower(strings.TrimPrefix(id, "user_"))
		names = names || len(bare) >= 8 && strings.Contains(strings.ToLower(c.RequestID), bare)
	}
	if names {
		c.RequestID = ""
	}
	return c
}
