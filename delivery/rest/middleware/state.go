// Package middleware holds the layers that every request passes before its
// handler, one file each. The chain itself, with the reason for each position,
// is in package rest (server.go).
package middleware

import (
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// State is what the layers learn of one request and hand inwards. It belongs to
// the request's goroutine.
type State struct {
	RequestID string
	Trace     TraceContext
	Route     Route  // of the matched route; Template is "unmatched" without one
	ClientIP  string // peer, or what a trusted proxy says; without port
	Status    int    // of the answer, as the log has it; 0 until it is known

	// Principal is the verified caller; the zero value for an anonymous one.
	Principal domain.Principal
	// AuthError is why a presented token, or a webhook, was not accepted; nil without a token.
	AuthError error
	// Delivery is a webhook whose signature was verified; nil for any other request.
	Delivery *SignedDelivery
	// Profile is the caller's own profile; set on routes that ask for an account,
	// and on public ones when the caller has one.
	Profile *domain.Profile
	// SubjectProfileID is the profile that the answer tells of. A handler of an
	// idempotent route must set it when the answer holds personal data, and then
	// must have the profile's row locked: an erasure deletes the answers it finds.
	SubjectProfileID string
}

const stateKey = "profile-api.state"

// StateOf returns the state of the request; it is there from the outermost layer on.
func StateOf(c echo.Context) *State {
	if s, ok := c.Get(stateKey).(*State); ok {
		return s
	}
	s := &State{Route: Route{Template: unmatched}}
	c.Set(stateKey, s)
	return s
}

// Caller is who asks, as use cases want to know it.
func (s *State) Caller() domain.Caller {
	c := domain.Caller{Principal: s.Principal, RequestID: s.RequestID, Network: Network(s.ClientIP)}
	if s.Profile != nil {
		c.ProfileID = s.Profile.ID
	}
	return c
}
