package domain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// Pseudonymizer replaces identifiers by keyed hashes (HMAC-SHA-256), for logs,
// rate-limit keys, audit events and the marks that erasure leaves. Without the
// key a hash cannot be tied to a person, nor can ids be tried against it.
type Pseudonymizer struct{ keys [][]byte }

// NewPseudonymizer takes the current key and older ones that must still be recognised.
func NewPseudonymizer(key string, fallbacks ...string) Pseudonymizer {
	p := Pseudonymizer{keys: [][]byte{[]byte(key)}}
	for _, f := range fallbacks {
		p.keys = append(p.keys, []byte(f))
	}
	return p
}

// Hash returns 43 characters of unpadded base64url under the current key. The
// purpose keeps hashes of one value for different uses unlinkable.
func (p Pseudonymizer) Hash(purpose, value string) string {
	return hash(p.keys[0], purpose, value)
}

// Candidates returns the hashes of value under every key, the current one
// first: what a look-up must try after the key was rotated.
func (p Pseudonymizer) Candidates(purpose, value string) []string {
	out := make([]string, len(p.keys))
	for i, k := range p.keys {
		out[i] = hash(k, purpose, value)
	}
	return out
}

func hash(key []byte, purpose, value string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0}) // a purpose never holds a NUL, so no two pairs collide
	mac.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
