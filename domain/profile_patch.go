package domain

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// ProfilePatch is a merge patch (RFC 7396) of the fields that the owner may
// write. A null clears an optional field, makes links empty and metadata an
// empty object; handle and visibility cannot be removed.
type ProfilePatch struct {
	Handle      Opt[string]
	DisplayName Opt[string]
	Bio         Opt[string]
	BannerURL   Opt[string]
	Location    Opt[string]
	ThemeColor  Opt[string]
	Locale      Opt[string]
	TimeZone    Opt[string]
	Visibility  Opt[string]
	Links       Opt[[]Link]          // replaced as a whole
	Metadata    Opt[json.RawMessage] // itself a merge patch of the metadata object
}

// Apply checks every named field and, only when all keep their rules, sets
// them. It returns the JSON names of the fields whose value really changed, in
// the order of ProfilePatch; with at least one, Version grows by one and
// UpdatedAt becomes now. A broken rule gives an error of kind [Invalid] that
// lists every fault with its pointer, and p stays as it was.
func (p *Profile) Apply(patch ProfilePatch, now time.Time) (changed []string, err error) {
	return p.apply(AdminPatch{ProfilePatch: patch}, now)
}

// AdminPatch is a merge patch of what an admin may write: the owner's fields,
// and app_metadata, which the owner only reads.
type AdminPatch struct {
	ProfilePatch
	AppMetadata Opt[json.RawMessage] // itself a merge patch of the app_metadata object
}

// ApplyAdmin is [Profile.Apply] for an admin's patch.
func (p *Profile) ApplyAdmin(patch AdminPatch, now time.Time) (changed []string, err error) {
	return p.apply(patch, now)
}

func (p *Profile) apply(patch AdminPatch, now time.Time) (changed []string, err error) {
	next := *p // every setter replaces whole values, so p shares nothing that is written
	var c changes
	c.handle(&next.Handle, patch.Handle)
	c.text("display_name", &next.DisplayName, patch.DisplayName, cleanDisplayName)
	c.text("bio", &next.Bio, patch.Bio, cleanBio)
	c.text("banner_url", &next.BannerURL, patch.BannerURL, cleanURL)
	c.text("location", &next.Location, patch.Location, cleanLocation)
	c.text("theme_color", &next.ThemeColor, patch.ThemeColor, cleanThemeColor)
	c.text("locale", &next.Locale, patch.Locale, cleanLocale)
	c.text("time_zone", &next.TimeZone, patch.TimeZone, cleanTimeZone)
	c.visibility(&next.Visibility, patch.Visibility)
	c.links(&next.Links, patch.Links)
	c.object("metadata", &next.Metadata, patch.Metadata)
	c.object("app_metadata", &next.AppMetadata, patch.AppMetadata)
	changed, err = c.commit(p, next, now)
	if err == nil { // also where the value stays: who names it wants it so
		p.Mirror.settle(patch.Handle.Set, patch.DisplayName.Set)
	}
	return changed, err
}

// commit makes next the profile when something changed and nothing is wrong.
func (c *changes) commit(p *Profile, next Profile, now time.Time) ([]string, error) {
	if len(c.faults) > 0 {
		return nil, ValidationFailed(c.faults...)
	}
	if len(c.names) == 0 {
		return nil, nil
	}
	next.Version++
	next.UpdatedAt = p.NotBefore(now)
	*p = next
	return c.names, nil
}

// changes gathers what a patch changes and what is wrong with it.
type changes struct {
	names  []string
	faults []FieldError
}

// fault is a broken rule before its place is known; nil is none.
type fault struct{ code, detail string }

func (c *changes) refuse(pointer string, f *fault) {
	c.faults = append(c.faults, FieldError{Pointer: pointer, Code: f.code, Detail: f.detail})
}

var errRemoved = &fault{FieldRequired, "This field cannot be removed."}

// text sets an optional field to what clean makes of the value.
func (c *changes) text(name string, field **string, in Opt[string], clean func(string) (string, *fault)) {
	if !in.Set {
		return
	}
	if in.Null {
		if *field != nil {
			*field, c.names = nil, append(c.names, name)
		}
		return
	}
	value, f := clean(in.Value)
	switch {
	case f != nil:
		c.refuse("/"+name, f)
	case *field == nil || **field != value:
		*field, c.names = &value, append(c.names, name)
	}
}

func (c *changes) handle(field *string, in Opt[string]) {
	switch {
	case !in.Set:
	case in.Null:
		c.refuse("/handle", errRemoved)
	case in.Value == *field: // also a handle from before it was reserved
	default:
		if f := handleFault(in.Value, *field); f != nil {
			c.refuse("/handle", f)
			return
		}
		*field, c.names = in.Value, append(c.names, "handle")
	}
}

func (c *changes) visibility(field *Visibility, in Opt[string]) {
	v := Visibility(in.Value)
	switch {
	case !in.Set:
	case in.Null:
		c.refuse("/visibility", errRemoved)
	case v != VisibilityPublic && v != VisibilityPrivate:
		c.refuse("/visibility", &fault{FieldUnknown, "Must be public or private."})
	case v != *field:
		*field, c.names = v, append(c.names, "visibility")
	}
}

func (c *changes) links(field *[]Link, in Opt[[]Link]) {
	if !in.Set {
		return
	}
	if len(in.Value) > maxLinks {
		c.refuse("/links", &fault{FieldTooMany, "At most 10 links."})
		return // 10,000 faults help nobody
	}
	before := len(c.faults)
	links := make([]Link, len(in.Value)) // null and [] alike: stored as []
	for i, l := range in.Value {
		at := "/links/" + strconv.Itoa(i)
		var f *fault
		if links[i].Label, f = cleanLabel(l.Label); f != nil {
			c.refuse(at+"/label", f)
		}
		if links[i].URL, f = cleanURL(l.URL); f != nil {
			c.refuse(at+"/url", f)
		}
	}
	if len(c.faults) == before && !slices.Equal(links, *field) {
		*field, c.names = links, append(c.names, "links")
	}
}

// object merges a patch into a stored JSON object.
func (c *changes) object(name string, field *json.RawMessage, in Opt[json.RawMessage]) {
	if !in.Set {
		return
	}
	patch := in.Value
	if in.Null {
		patch = nil
	}
	merged, changed, faults := mergeObject(*field, patch, "/"+name)
	c.faults = append(c.faults, faults...)
	if len(faults) == 0 && changed {
		*field, c.names = merged, append(c.names, name)
	}
}
