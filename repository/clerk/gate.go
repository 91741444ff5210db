package clerk

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/go-jose/go-jose/v3"
	josejwt "github.com/go-jose/go-jose/v3/jwt"

	"github.com/profile-api/profile-api/domain"
)

// DefaultRoleClaim is where the role is read when the settings say nothing.
const DefaultRoleClaim = "metadata.role"

// GateOptions says which tokens are accepted.
type GateOptions struct {
	Issuer            string               // CLERK_ISSUER; required, compared byte by byte
	AuthorizedParties []string             // CLERK_AUTHORIZED_PARTIES; empty accepts any azp
	AllowMissingAZP   bool                 // CLERK_ALLOW_MISSING_AZP
	Audience          []string             // CLERK_AUDIENCE; aud must contain one of them; empty accepts any
	RoleClaim         string               // CLERK_ROLE_CLAIM, dotted path; empty is DefaultRoleClaim
	Clock             Clock                // required
	Observe           func(outcome string) // told of every verification, for the metric; may be nil
}

// Gate decides which session tokens are accepted and whose they are. It
// satisfies usecase.TokenVerifier and is safe for concurrent use.
type Gate struct {
	keys    *KeySet
	rules   rules
	clock   Clock
	observe func(string)
	memory  *memory
}

// NewGate makes a gate that judges by the keys given.
func NewGate(keys *KeySet, opts GateOptions) (*Gate, error) {
	if keys == nil || opts.Issuer == "" || opts.Clock == nil {
		return nil, errors.New("clerk gate: keys, issuer and clock are required")
	}
	if opts.RoleClaim == "" {
		opts.RoleClaim = DefaultRoleClaim
	}
	path := strings.Split(opts.RoleClaim, ".")
	if slices.Contains(path, "") {
		return nil, errors.New("clerk gate: the role claim's path has an empty part")
	}
	if opts.Observe == nil {
		opts.Observe = func(string) {}
	}
	return &Gate{
		keys: keys,
		rules: rules{
			issuer: opts.Issuer, authorizedParties: slices.Clone(opts.AuthorizedParties),
			allowMissingAZP: opts.AllowMissingAZP, audience: slices.Clone(opts.Audience), roleClaim: path,
		},
		clock: opts.Clock, observe: opts.Observe, memory: newMemory(),
	}, nil
}

// Verify returns the person a session token stands for. A token that is not
// accepted gives an error of kind domain.Unauthenticated, with the code
// token-expired when expiry is its only fault; without keys to judge by the
// kind is domain.Unavailable. [OutcomeOf] tells the reason.
func (g *Gate) Verify(ctx context.Context, token string) (domain.Principal, error) {
	p, err := g.verify(ctx, token)
	g.observe(string(OutcomeOf(err)))
	return p, err
}

func (g *Gate) verify(ctx context.Context, token string) (domain.Principal, error) {
	if len(token) > maxTokenBytes {
		return domain.Principal{}, refused(OutcomeMalformed)
	}
	id := tokenID(sha256.Sum256([]byte(token)))
	if p, ok := g.recall(id); ok {
		return p, nil
	}
	t, outcome := parse(token)
	if outcome != OutcomeOK {
		return domain.Principal{}, refused(outcome)
	}
	key, err := g.key(ctx, t.kid)
	if err != nil {
		return domain.Principal{}, err
	}
	now := g.clock.Now() // read after the wait for keys that may have been
	p, outcome := g.rules.judge(t.claims, now)
	outcome = g.confirm(ctx, token, key, now, outcome)
	if outcome != OutcomeOK {
		return domain.Principal{}, refused(outcome)
	}
	g.memory.put(id, p, key, now)
	return withOwnFactorAge(p), nil
}

// recall returns the person of a token that was verified within the last
// minute, unless its key has gone since.
func (g *Gate) recall(id tokenID) (domain.Principal, bool) {
	now := g.clock.Now()
	e, ok := g.memory.get(id, now)
	if !ok {
		return domain.Principal{}, false
	}
	if !g.keys.holds(e.key, now) {
		g.memory.drop(id)
		return domain.Principal{}, false
	}
	return withOwnFactorAge(e.person), true
}

// withOwnFactorAge keeps callers from sharing the remembered value by its pointer.
func withOwnFactorAge(p domain.Principal) domain.Principal {
	if p.FactorAge != nil {
		age := *p.FactorAge
		p.FactorAge = &age
	}
	return p
}

func (g *Gate) key(ctx context.Context, kid string) (*publicKey, error) {
	if kid == "" && g.keys.static == nil {
		return nil, refused(OutcomeUnknownKey)
	}
	key, err := g.keys.find(ctx, kid)
	switch {
	case err == nil:
		return key, nil
	case errors.Is(err, errUnknownKey):
		return nil, refused(OutcomeUnknownKey)
	default:
		return nil, unavailable(errors.Join(err, ctx.Err()))
	}
}

// confirm has the SDK verify the signature, and the times and the issuer once
// more. The outcome of our own rules stands when the signature is right.
func (g *Gate) confirm(ctx context.Context, token string, key *publicKey, now time.Time, judged Outcome) Outcome {
	_, err := jwt.Verify(ctx, &jwt.VerifyParams{
		Token: token, JWK: key.jwk, Leeway: leeway, Clock: instant(now),
		ProxyURL: clerksdk.String(g.rules.issuer), // makes the SDK's issuer check exact
	})
	signed := err == nil || errors.Is(err, josejwt.ErrExpired) // the SDK looks at times after the signature
	switch {
	case errors.Is(err, jose.ErrCryptoFailure):
		return OutcomeSignature
	case judged == OutcomeExpired && !signed:
		return OutcomeClaims
	case judged != OutcomeOK:
		return judged
	case err != nil: // it minds something that we do not
		return OutcomeClaims
	}
	return OutcomeOK
}

// instant is a clock that stands still, so that one verification has one time.
type instant time.Time

func (i instant) Now() time.Time { return time.Time(i) }
