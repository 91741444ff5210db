package clerk

import (
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/profile-api/profile-api/domain"
)

const (
	leeway       = 5 * time.Second
	maxUnixTime  = 253402300799 // the year 9999's last second
	maxSessionID = 128
	maxActorID   = 255
	maxFactorAge = 100 * 365 * 24 * 60 // minutes; nobody proved anything longer ago
)

var (
	userIDForm  = regexp.MustCompile(`^user_[A-Za-z0-9_-]{1,64}$`)
	visibleForm = regexp.MustCompile(`^[!-~]+$`)
)

// rules are what the settings ask of a token's claims.
type rules struct {
	issuer            string
	authorizedParties []string // empty asks for nothing
	allowMissingAZP   bool
	audience          []string // one of them must be in aud; empty asks for nothing
	roleClaim         []string // path
}

// judge checks every claim at now and reads the person from them. Expiry is
// looked at last, so that it is named only when nothing else is wrong.
func (r *rules) judge(claims object, now time.Time) (domain.Principal, Outcome) {
	p, outcome := identity(claims)
	if outcome != OutcomeOK {
		return domain.Principal{}, outcome
	}
	iat, exp, outcome := validity(claims, now)
	if outcome != OutcomeOK {
		return domain.Principal{}, outcome
	}
	if outcome := r.provenance(claims); outcome != OutcomeOK {
		return domain.Principal{}, outcome
	}
	switch sts, state := claims.text("sts"); {
	case state == wrong:
		return domain.Principal{}, OutcomeClaims
	case sts == "pending":
		return domain.Principal{}, OutcomePending
	}
	if !now.Before(exp.Add(leeway)) {
		return domain.Principal{}, OutcomeExpired
	}
	p.IssuedAt, p.ExpiresAt = iat, exp
	p.Role = textAt(claims, r.roleClaim)
	p.FactorAge = factorAge(claims["fva"])
	return p, OutcomeOK
}

// identity reads who it is: sub, sid and act.
func identity(claims object) (domain.Principal, Outcome) {
	var p domain.Principal
	sub, state := claims.text("sub")
	if state != present || !userIDForm.MatchString(sub) {
		return p, OutcomeClaims
	}
	sid, state := claims.text("sid")
	if state != present || len(sid) > maxSessionID || !visibleForm.MatchString(sid) {
		return p, OutcomeClaims
	}
	actor, ok := impersonator(claims["act"])
	if !ok {
		return p, OutcomeClaims
	}
	p.UserID, p.SessionID, p.Impersonator = sub, sid, actor
	return p, OutcomeOK
}

// impersonator reads act.sub (RFC 8693, section 4.1). An act that cannot be
// read refuses the token: somebody acts here and the audit trail could not say who.
func impersonator(act jsontext.Value) (string, bool) {
	if act == nil || act.Kind() == 'n' {
		return "", true
	}
	o, ok := members(act)
	if !ok {
		return "", false
	}
	sub, state := o.text("sub")
	return sub, state == present && len(sub) <= maxActorID && visibleForm.MatchString(sub)
}

// validity checks that exp and iat are there and that iat and nbf do not lie ahead.
func validity(claims object, now time.Time) (iat, exp time.Time, outcome Outcome) {
	exp, state := claims.time("exp")
	if state != present {
		return iat, exp, OutcomeClaims
	}
	iat, state = claims.time("iat")
	if state != present {
		return iat, exp, OutcomeClaims
	}
	nbf, state := claims.time("nbf")
	if state == wrong {
		return iat, exp, OutcomeClaims
	}
	if latest := now.Add(leeway); iat.After(latest) || (state == present && nbf.After(latest)) {
		return iat, exp, OutcomeNotYetValid
	}
	return iat, exp, OutcomeOK
}

// time reads a NumericDate (RFC 7519, section 2), fractions included.
func (o object) time(name string) (time.Time, state) {
	f, state := o.number(name)
	if state != present {
		return time.Time{}, state
	}
	if f < 0 || f > maxUnixTime {
		return time.Time{}, wrong
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(frac*1e9)).UTC(), present
}

// provenance checks whom the token is from and for: iss, azp and aud.
func (r *rules) provenance(claims object) Outcome {
	if iss, _ := claims.text("iss"); iss != r.issuer {
		return OutcomeIssuer
	}
	if len(r.authorizedParties) > 0 {
		azp, state := claims.text("azp")
		missing := state == absent && r.allowMissingAZP
		if !missing && (state != present || !slices.Contains(r.authorizedParties, azp)) {
			return OutcomeAuthorizedParty
		}
	}
	if len(r.audience) > 0 && !slices.ContainsFunc(texts(claims["aud"]), func(aud string) bool {
		return slices.Contains(r.audience, aud)
	}) {
		return OutcomeAudience
	}
	return OutcomeOK
}

// texts reads a string or an array of strings; anything else is nothing.
func texts(raw jsontext.Value) []string {
	if s, ok := text(raw); ok {
		return []string{s}
	}
	var list []string
	if raw.Kind() != '[' || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// textAt follows a path through nested objects; empty when it ends elsewhere
// than at a string.
func textAt(o object, path []string) string {
	for i, name := range path {
		if i == len(path)-1 {
			s, _ := o.text(name)
			return s
		}
		next, ok := members(o[name])
		if !ok {
			return ""
		}
		o = next
	}
	return ""
}

// factorAge reads the first number of fva: minutes since the first factor was
// proven, or -1 for never. Whatever else is there says nothing; what is no pair
// of whole numbers the SDK refuses together with its token.
func factorAge(fva jsontext.Value) *time.Duration {
	var ages []jsontext.Value
	if fva.Kind() != '[' || json.Unmarshal(fva, &ages) != nil || len(ages) == 0 {
		return nil
	}
	var minutes float64
	if ages[0].Kind() != '0' || json.Unmarshal(ages[0], &minutes) != nil || minutes < 0 || minutes > maxFactorAge {
		return nil
	}
	age := time.Duration(minutes) * time.Minute
	return &age
}
