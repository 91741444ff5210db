package domain

import (
	"strconv"
	"time"
)

// RatePolicy names a quota of the contract.
type RatePolicy string

// The policies: per signed-in person, per client address, and for everybody together.
const (
	PolicyUser   RatePolicy = "user"
	PolicyIP     RatePolicy = "ip"
	PolicyGlobal RatePolicy = "global"
)

// Rate is a quota: Quota requests at once, refilled evenly over Period (GCRA).
// The zero value means that no limit applies.
type Rate struct {
	Quota  int
	Period time.Duration
}

// Unlimited tells whether the limit is switched off.
func (r Rate) Unlimited() bool { return r.Quota == 0 }

// String renders the form of the settings, such as 100/1m0s or off.
func (r Rate) String() string {
	if r.Unlimited() {
		return "off"
	}
	return strconv.Itoa(r.Quota) + "/" + r.Period.String()
}

// RateDecision is what a limiter says of one request.
type RateDecision struct {
	Allowed    bool
	Policy     RatePolicy    // the policy that decided: the one that refused, else the caller's own
	Rate       Rate          // that policy's quota
	Remaining  int           // requests left at once
	ResetAfter time.Duration // until the full quota is back
	RetryAfter time.Duration // until one request would be let through; zero when Allowed
	Local      bool          // decided by this replica alone because the shared counts are away
}
