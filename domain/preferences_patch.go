package domain

import "time"

// PreferencesPatch is a merge patch of preferences. Only content_language can be
// removed.
type PreferencesPatch struct {
	Theme              Opt[string]
	EmailNotifications Opt[EmailNotificationsPatch]
	ContentLanguage    Opt[string]
	ReducedMotion      Opt[bool]
}

// EmailNotificationsPatch is the patch of the object inside.
type EmailNotificationsPatch struct{ Product, Security, Digest Opt[bool] }

// Apply is [Profile.Apply] for preferences; the names it returns are those of
// the outer fields.
func (p *Preferences) Apply(patch PreferencesPatch, now time.Time) (changed []string, err error) {
	next := *p
	var c changes
	c.theme(&next.Theme, patch.Theme)
	c.emailNotifications(&next.EmailNotifications, patch.EmailNotifications)
	c.text("content_language", &next.ContentLanguage, patch.ContentLanguage, cleanLocale)
	if c.flag("/reduced_motion", &next.ReducedMotion, patch.ReducedMotion) {
		c.names = append(c.names, "reduced_motion")
	}
	if len(c.faults) > 0 {
		return nil, ValidationFailed(c.faults...)
	}
	if len(c.names) == 0 {
		return nil, nil
	}
	next.Version++
	next.UpdatedAt = latest(storedTime(now), p.UpdatedAt)
	*p = next
	return c.names, nil
}

func (c *changes) theme(field *Theme, in Opt[string]) {
	v := Theme(in.Value)
	switch {
	case !in.Set:
	case in.Null:
		c.refuse("/theme", errRemoved)
	case v != ThemeSystem && v != ThemeLight && v != ThemeDark:
		c.refuse("/theme", &fault{FieldUnknown, "Must be system, light or dark."})
	case v != *field:
		*field, c.names = v, append(c.names, "theme")
	}
}

func (c *changes) emailNotifications(field *EmailNotifications, in Opt[EmailNotificationsPatch]) {
	const at = "/email_notifications"
	if !in.Set {
		return
	}
	if in.Null {
		c.refuse(at, errRemoved)
		return
	}
	changed := c.flag(at+"/product", &field.Product, in.Value.Product)
	changed = c.flag(at+"/security", &field.Security, in.Value.Security) || changed
	changed = c.flag(at+"/digest", &field.Digest, in.Value.Digest) || changed
	if changed {
		c.names = append(c.names, "email_notifications")
	}
}

// flag tells whether it changed the field.
func (c *changes) flag(pointer string, field *bool, in Opt[bool]) bool {
	if in.Null {
		c.refuse(pointer, errRemoved)
		return false
	}
	if !in.Set || in.Value == *field {
		return false
	}
	*field = in.Value
	return true
}
