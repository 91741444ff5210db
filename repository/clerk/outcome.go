package clerk

import (
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Outcome is the bounded label of auth_token_verifications_total. The cause of
// every error of [Gate.Verify] tells its own by a method Outcome() string.
type Outcome string

// The outcomes: ok, why a token was refused, and that nothing could be said.
const (
	OutcomeOK              Outcome = "ok"
	OutcomeMalformed       Outcome = "malformed"        // not a strict compact JWS with a JSON header and JSON claims
	OutcomeAlgorithm       Outcome = "algorithm"        // alg is not RS256
	OutcomeType            Outcome = "type"             // typ is not JWT, or the header asks for what we don't do
	OutcomeCategory        Outcome = "category"         // cat is not a session's
	OutcomeUnknownKey      Outcome = "unknown_key"      // no such kid
	OutcomeSignature       Outcome = "signature"        //
	OutcomeExpired         Outcome = "expired"          // and nothing else is wrong
	OutcomeNotYetValid     Outcome = "not_yet_valid"    // nbf or iat lies ahead
	OutcomeIssuer          Outcome = "issuer"           //
	OutcomeAuthorizedParty Outcome = "authorized_party" //
	OutcomeAudience        Outcome = "audience"         //
	OutcomeClaims          Outcome = "claims"           // a claim is missing, of the wrong type or shape
	OutcomePending         Outcome = "pending"          // the session has tasks left to do
	OutcomeUnavailable     Outcome = "unavailable"      // no key set to judge by
)

// Outcomes lists them all, so that a counter of each can begin at zero.
func Outcomes() []string {
	return []string{
		string(OutcomeOK), string(OutcomeMalformed), string(OutcomeAlgorithm), string(OutcomeType), string(OutcomeCategory), string(OutcomeUnknownKey),
		string(OutcomeSignature), string(OutcomeExpired), string(OutcomeNotYetValid), string(OutcomeIssuer), string(OutcomeAuthorizedParty),
		string(OutcomeAudience), string(OutcomeClaims), string(OutcomePending), string(OutcomeUnavailable),
	}
}

// unavailableRetry is what clients are told to wait: the key set is asked for
// at least this often while there is none.
const unavailableRetry = 5 * time.Second

// refusal is the cause of a gate's error. It never holds a token's content.
type refusal struct{ outcome Outcome }

func (r refusal) Error() string   { return string(r.outcome) }
func (r refusal) Outcome() string { return string(r.outcome) }

// OutcomeOf tells the outcome of a verification by its error; nil is ok and an
// error from elsewhere is unavailable.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeOK
	}
	var r interface{ Outcome() string }
	if errors.As(err, &r) {
		return Outcome(r.Outcome())
	}
	return OutcomeUnavailable
}

// refused makes the 401 of an outcome. Only expiry is told apart to the
// client, which can act on it; what else is wrong is for the metric and the log.
func refused(o Outcome) error {
	if o == OutcomeExpired {
		return domain.NewError(domain.Unauthenticated, domain.CodeTokenExpired,
			"The session token has expired.").WithCause(refusal{o})
	}
	return domain.NewError(domain.Unauthenticated, domain.CodeUnauthenticated,
		"The session token is not accepted.").WithCause(refusal{o})
}

func unavailable(cause error) error {
	return domain.UnavailableError(errors.Join(refusal{OutcomeUnavailable}, cause), unavailableRetry)
}
