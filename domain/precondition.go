package domain

import "slices"

// IfMatch is the If-Match precondition of a request (RFC 9110, section 13.1.1)
// after the entity tags were read back into versions. The zero value demands nothing.
type IfMatch struct {
	Present  bool    // the header was sent
	Any      bool    // it was *: any existing version will do
	Versions []int64 // the versions it named; tags that are not ours (or weak) name none
}

// Allows tells whether the precondition holds for the current version.
func (m IfMatch) Allows(version int64) bool {
	return !m.Present || m.Any || slices.Contains(m.Versions, version)
}
