package domain

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Sealer encrypts and authenticates what leaves the program and must come back
// unchanged and unread: cursors in a client's hands, and a Clerk id that a job
// still needs after its person was erased. AES-256-GCM (NIST SP 800-38D) under a
// key that HKDF (RFC 5869) derives from SECRET_KEY for each purpose, so that
// what was sealed for one use opens for no other.
type Sealer struct{ keys []string }

// NewSealer takes the current key, which seals, and older ones, which only open.
func NewSealer(key string, fallbacks ...string) Sealer {
	return Sealer{keys: append([]string{key}, fallbacks...)}
}

// errNotSealed is why Open refuses; it never tells which of the reasons it was.
var errNotSealed = errors.New("not sealed by us for this purpose")

// Seal gives unpadded base64url, 28 bytes longer than the text before encoding.
// The same text sealed twice looks different.
func (s Sealer) Seal(purpose string, text []byte) (string, error) {
	aead, err := sealingKey(s.keys[0], purpose)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, text, nil)), nil
}

// Open gives the text back, or an error for what was not sealed for the purpose
// under one of the keys, or was changed since.
func (s Sealer) Open(purpose, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || strings.ContainsAny(sealed, "\r\n") { // the decoder skips line breaks, strict or not
		return nil, errNotSealed
	}
	for _, key := range s.keys {
		aead, err := sealingKey(key, purpose)
		if err != nil {
			return nil, err
		}
		if len(raw) < aead.NonceSize() {
			return nil, errNotSealed
		}
		if text, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], nil); err == nil {
			return text, nil
		}
	}
	return nil, errNotSealed
}

func sealingKey(secret, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "profile-api sealer "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a sealing key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make an AEAD: %w", err)
	}
	return aead, nil
}
