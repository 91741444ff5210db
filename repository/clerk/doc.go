// Package clerk is our side of Clerk: the key set that signs session tokens and
// the gate that decides which tokens are accepted.
//
// The gate is ours because the SDK's own verification accepts too much: tokens
// without exp, sub or azp, pending sessions, other token categories and JWS JSON.
// The signature itself is still checked by the SDK's jwt.Verify.
package clerk

import "time"

// Clock tells the time; tests set it.
type Clock interface{ Now() time.Time }
