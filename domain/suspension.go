package domain

import (
	"strings"
	"time"
)

// A profile is suspended by an admin, by Clerk (banned or locked there), or by
// both, and each ends only its own. The row holds what follows from the two:
// status, reason and end as everybody must see them. Clerk's has no end, so while
// it lasts the end of an admin's is kept aside in Mirror.AdminUntil.

// Suspension is what an admin says when suspending somebody.
type Suspension struct {
	Reason string     // 1–500 characters after trimming; for admins, and in the person's export
	Until  *time.Time // when it ends by itself, after now; nil: until further notice
}

// adminSuspension is the part of a suspension that is an admin's.
type adminSuspension struct {
	reason *string
	until  *time.Time
}

// byAdmin is the admin's suspension that is in force at that moment; nil for none.
func (p *Profile) byAdmin(now time.Time) *adminSuspension {
	until := p.SuspendedUntil
	if p.Mirror.Suspended {
		until = p.Mirror.AdminUntil
	}
	if p.Status != StatusSuspended || p.Mirror.Suspended && p.SuspendedReason == nil || until != nil && !now.Before(*until) {
		return nil
	}
	return &adminSuspension{p.SuspendedReason, until}
}

// suspension makes next suspended by what is given: admin is the new suspension
// by an admin (nil: the one that p is under stays), byClerk says whether Clerk's is in force.
func (c *changes) suspension(p, next *Profile, admin *adminSuspension, byClerk bool, now time.Time) {
	if admin == nil && byClerk == p.Mirror.Suspended {
		return
	}
	if admin == nil {
		admin = p.byAdmin(now)
	}
	next.suspendedBy(admin, byClerk)
	c.suspensionNames(p, next, now)
}

// suspendedBy derives the row's fields; a nil admin is none.
func (p *Profile) suspendedBy(admin *adminSuspension, byClerk bool) {
	p.Status, p.SuspendedReason, p.SuspendedUntil = StatusActive, nil, nil
	p.Mirror.Suspended, p.Mirror.AdminUntil = byClerk, nil
	if admin != nil {
		p.Status, p.SuspendedReason, p.SuspendedUntil = StatusSuspended, admin.reason, admin.until
	}
	if byClerk {
		p.Status, p.SuspendedUntil, p.Mirror.AdminUntil = StatusSuspended, nil, p.SuspendedUntil
	}
}

func (c *changes) suspensionNames(p, next *Profile, now time.Time) {
	if p.SuspendedAt(now) != next.SuspendedAt(now) {
		c.names = append(c.names, "status")
	}
	if (p.SuspendedReason == nil) != (next.SuspendedReason == nil) || p.SuspendedReason != nil && *p.SuspendedReason != *next.SuspendedReason {
		c.names = append(c.names, "suspended_reason")
	}
	if !sameTime(p.SuspendedUntil, next.SuspendedUntil) || p.Mirror.Suspended == next.Mirror.Suspended && !sameTime(p.Mirror.AdminUntil, next.Mirror.AdminUntil) {
		c.names = append(c.names, "suspended_until")
	}
}

func sameTime(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// clerkReason stands where an admin's reason would.
const clerkReason = "Banned or locked at Clerk."

// ReasonShown is the suspension's reason as admins, and the person in the export, read it.
func (p *Profile) ReasonShown() *string {
	if p.SuspendedReason == nil && p.Mirror.Suspended {
		reason := clerkReason
		return &reason
	}
	return p.SuspendedReason
}

// Suspend makes the profile suspended. It returns the JSON names of the fields
// that changed; a suspension that is in force already, word for word, changes
// nothing. Errors and version as of [Profile.Apply].
func (p *Profile) Suspend(s Suspension, now time.Time) (changed []string, err error) {
	var c changes
	reason, f := cleanReason(s.Reason)
	if f != nil {
		c.refuse("/reason", f)
	}
	var until *time.Time
	if s.Until != nil {
		end := storedTime(*s.Until)
		until = &end
		if !end.After(now) {
			c.refuse("/until", &fault{FieldOutOfRange, "Must lie in the future."})
		}
		if end.Year() > 9999 {
			c.refuse("/until", &fault{FieldOutOfRange, "Must be before the year 10000."})
		}
	}
	next := *p
	c.suspension(p, &next, &adminSuspension{&reason, until}, p.Mirror.Suspended, now)
	return c.commit(p, next, now)
}

// Reactivate ends an admin's suspension. It changes nothing when none is in
// force; one by Clerk stays, and with it the status.
func (p *Profile) Reactivate(now time.Time) (changed []string, err error) {
	if p.byAdmin(now) == nil {
		return nil, nil
	}
	var c changes
	next := *p
	next.suspendedBy(nil, p.Mirror.Suspended)
	c.suspensionNames(p, &next, now)
	return c.commit(p, next, now)
}

// CheckReason applies the rule of a suspension's reason to the one that comes
// with a reactivation. That one is not kept: the audit trail holds no free text.
func CheckReason(reason string) error {
	if _, f := cleanReason(reason); f != nil {
		return ValidationFailed(FieldError{Pointer: "/reason", Code: f.code, Detail: f.detail})
	}
	return nil
}

func cleanReason(s string) (string, *fault) {
	if f := textFault(s); f != nil {
		return "", f
	}
	s = strings.TrimSpace(s)
	return s, lengthFault(s, 1, maxReason)
}
