package clerk

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
)

// What a key must be like to count. Above the upper bound a verification costs
// so much that a key set could be used to slow us down.
const (
	algorithm  = "RS256"
	minKeyBits = 2048
	maxKeyBits = 8192
	minKeyE    = 3
	maxKeyE    = 1<<31 - 1
)

// publicKey is a key that tokens are verified with.
type publicKey struct {
	kid   string
	print [sha256.Size]byte // of modulus and exponent: tells a key from another under the same kid
	jwk   *clerksdk.JSONWebKey
}

var errUnfitKey = errors.New("not an RSA key for RS256 signatures")

// newPublicKey takes RSA keys of 2,048 to 8,192 bits whose use and alg are
// absent or sig and RS256.
func newPublicKey(jwk *clerksdk.JSONWebKey) (*publicKey, error) {
	key, ok := jwk.Key.(*rsa.PublicKey)
	if !ok || key.N == nil || (jwk.Use != "" && jwk.Use != "sig") || (jwk.Algorithm != "" && jwk.Algorithm != algorithm) {
		return nil, errUnfitKey
	}
	if bits := key.N.BitLen(); bits < minKeyBits || bits > maxKeyBits || key.N.Bit(0) == 0 {
		return nil, fmt.Errorf("%w: modulus of %d bits", errUnfitKey, bits)
	}
	if key.E < minKeyE || key.E > maxKeyE || key.E%2 == 0 {
		return nil, fmt.Errorf("%w: public exponent", errUnfitKey)
	}
	return &publicKey{
		kid:   jwk.KeyID,
		print: sha256.Sum256(fmt.Appendf(nil, "%x:%x", key.N, key.E)),
		jwk:   &clerksdk.JSONWebKey{Key: key, KeyID: jwk.KeyID, Algorithm: algorithm},
	}, nil
}

// publicKeyFromPEM reads the value of CLERK_JWT_KEY, in which line breaks may
// be written as \n.
func publicKeyFromPEM(pem string) (*publicKey, error) {
	jwk, err := clerksdk.JSONWebKeyFromPEM(strings.ReplaceAll(pem, `\n`, "\n"))
	if err != nil {
		return nil, err
	}
	return newPublicKey(jwk)
}

// usableKeys reads a key set's entries by kid and leaves out what is not for
// us: other kinds of keys, short ones, those without a kid. Two different keys
// under one kid are both left out, since a token could not say which it means.
func usableKeys(entries []json.RawMessage) map[string]*publicKey {
	keys := make(map[string]*publicKey, len(entries))
	ambiguous := map[string]bool{}
	for _, entry := range entries {
		var jwk clerksdk.JSONWebKey
		if json.Unmarshal(entry, &jwk) != nil || jwk.KeyID == "" {
			continue
		}
		key, err := newPublicKey(&jwk)
		if err != nil {
			continue
		}
		if other, taken := keys[key.kid]; taken && other.print != key.print {
			ambiguous[key.kid] = true
		}
		keys[key.kid] = key
	}
	for kid := range ambiguous {
		delete(keys, kid)
	}
	return keys
}
