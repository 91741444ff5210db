package domain

import (
	"encoding/json"
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
	return nil, nil // the rules follow
}
