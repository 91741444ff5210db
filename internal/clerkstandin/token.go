package clerkstandin

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"
)

// Token categories of the header cat, as Clerk writes them.
const (
	CategorySession  = "cl_B7d4PD111AAA"
	CategoryTemplate = "cl_B7d4PD222AAA"
	CategoryMachine  = "cl_B7d4PD333AAA"
	// CategoryIgnore is put on every kind of token by instances that opted out of categories.
	CategoryIgnore = "cl_I7d4PD111III"
)

// mint is a token in the making.
type mint struct {
	header, claims         map[string]any
	rawHeader, rawClaims   []byte
	key                    *rsa.PrivateKey
	sign                   func(input []byte) []byte
	lifetime               time.Duration
	dropHeader, dropClaims []string
}

// MintOption changes a token away from what Clerk would issue.
type MintOption func(*mint)

// WithUser makes the token somebody's, known to the directory or not.
func WithUser(id string) MintOption { return WithClaim("sub", id) }

// WithClaim sets a claim, also one that Clerk knows.
func WithClaim(name string, value any) MintOption {
	return func(m *mint) { m.claims[name] = value }
}

// WithoutClaims leaves claims out.
func WithoutClaims(names ...string) MintOption {
	return func(m *mint) { m.dropClaims = append(m.dropClaims, names...) }
}

// WithHeader sets a header parameter.
func WithHeader(name string, value any) MintOption {
	return func(m *mint) { m.header[name] = value }
}

// WithoutHeaders leaves header parameters out.
func WithoutHeaders(names ...string) MintOption {
	return func(m *mint) { m.dropHeader = append(m.dropHeader, names...) }
}

// WithRole sets the claim metadata.role.
func WithRole(role string) MintOption {
	return WithClaim("metadata", map[string]any{"role": role})
}

// WithLifetime sets how long from now the token lives; a negative one makes an expired token.
func WithLifetime(d time.Duration) MintOption { return func(m *mint) { m.lifetime = d } }

// WithKey signs with key (RS256) while the header names the kid given.
func WithKey(kid string, key *rsa.PrivateKey) MintOption {
	return func(m *mint) { m.header["kid"], m.key = kid, key }
}

// WithRawHeader replaces the header's JSON by the bytes given.
func WithRawHeader(raw []byte) MintOption { return func(m *mint) { m.rawHeader = raw } }

// WithRawClaims replaces the claims' JSON by the bytes given.
func WithRawClaims(raw []byte) MintOption { return func(m *mint) { m.rawClaims = raw } }

// WithSigner makes the signature by a function of the signing input
// (header and claims in base64url with a dot between).
func WithSigner(sign func(input []byte) []byte) MintOption { return func(m *mint) { m.sign = sign } }

// Token mints a fresh session token for somebody of the directory, named by
// user name or id.
func (s *Server) Token(person string, opts ...MintOption) (string, error) {
	p, ok := s.people.find(person)
	if !ok {
		return "", fmt.Errorf("stand-in for Clerk: nobody is called %q", person)
	}
	meta := p.PublicMetadata
	if meta == nil {
		meta = map[string]any{}
	}
	return s.Mint(append([]MintOption{WithUser(p.ID), WithClaim("metadata", meta)}, opts...)...), nil
}

// Mint makes a session token in Clerk's v2 format for a made-up person,
// changed by the options in their order.
func (s *Server) Mint(opts ...MintOption) string {
	signer := s.keys.current()
	m := &mint{
		header: map[string]any{"alg": "RS256", "typ": "JWT", "cat": CategorySession, "kid": signer.id},
		claims: map[string]any{
			"azp": s.opts.AuthorizedParty, "iss": s.opts.Issuer, "fva": []int{0, -1},
			"sid": "sess_2" + randomID(26), "sts": "active", "sub": UserID("somebody"),
			"jti": randomHex(10), "v": 2,
		},
		key: signer.key, lifetime: s.opts.Lifetime,
	}
	now := s.opts.Clock.Now()
	m.claims["iat"] = now.Unix()
	m.claims["nbf"] = now.Unix() - 10
	for _, opt := range opts {
		opt(m)
	}
	if _, set := m.claims["exp"]; !set {
		m.claims["exp"] = now.Add(m.lifetime).Unix()
	}
	return m.encode()
}

func (m *mint) encode() string {
	for _, name := range m.dropHeader {
		delete(m.header, name)
	}
	for _, name := range m.dropClaims {
		delete(m.claims, name)
	}
	header, claims := m.rawHeader, m.rawClaims
	if header == nil {
		header = marshal(m.header)
	}
	if claims == nil {
		claims = marshal(m.claims)
	}
	sign := m.sign
	if sign == nil {
		sign = func(input []byte) []byte { return SignRS256(m.key, input) }
	}
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString(header) + "." + b64.EncodeToString(claims)
	return input + "." + b64.EncodeToString(sign([]byte(input)))
}

// SignRS256 is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
func SignRS256(key *rsa.PrivateKey, input []byte) []byte {
	sum := sha256.Sum256(input)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil { // a key of 2048 bits can always sign a SHA-256
		panic("clerkstandin: " + err.Error())
	}
	return sig
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

func randomID(n int) string  { return base62(randomBytes(32), n) }
func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }
