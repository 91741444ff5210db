package domain

import (
	"strings"
	"time"
)

// Suspension is what an admin says when suspending somebody.
type Suspension struct {
	Reason string     // 1–500 characters after trimming; for admins, and in the person's export
	Until  *time.Time // when it ends by itself, after now; nil: until further notice
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
	if !p.SuspendedAt(now) {
		c.names = append(c.names, "status")
	}
	if p.SuspendedReason == nil || *p.SuspendedReason != reason {
		c.names = append(c.names, "suspended_reason")
	}
	if (p.SuspendedUntil == nil) != (until == nil) || until != nil && !p.SuspendedUntil.Equal(*until) {
		c.names = append(c.names, "suspended_until")
	}
	next.Status, next.SuspendedReason, next.SuspendedUntil = StatusSuspended, &reason, until
	return c.commit(p, next, now)
}

// Reactivate ends a suspension. It changes nothing when none is in force.
func (p *Profile) Reactivate(now time.Time) (changed []string, err error) {
	if !p.SuspendedAt(now) {
		return nil, nil
	}
	c := changes{names: []string{"status"}}
	next := *p
	next.Status = StatusActive
	if p.SuspendedReason != nil {
		next.SuspendedReason, c.names = nil, append(c.names, "suspended_reason")
	}
	if p.SuspendedUntil != nil {
		next.SuspendedUntil, c.names = nil, append(c.names, "suspended_until")
	}
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
