package clerkstandin

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const keyBits = 2048

// GenerateKey makes an RSA key of 2048 bits.
func GenerateKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("stand-in for Clerk: make a key: %w", err)
	}
	return key, nil
}

// LoadOrCreateKey reads the PEM (PKCS #8) key at path, or makes one there with
// mode 0600, so that tokens survive a restart. A file that exists and cannot be
// read as an RSA key is an error and is left alone.
func LoadOrCreateKey(path string) (*rsa.PrivateKey, error) {
	data, err := os.ReadFile(path) // #nosec G304 -- the operator's own path
	switch {
	case err == nil:
		return parseKey(path, data)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("stand-in for Clerk: read the key: %w", err)
	}
	key, err := GenerateKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("stand-in for Clerk: encode the key: %w", err)
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was faster: its key counts
			return LoadOrCreateKey(path)
		}
		return nil, fmt.Errorf("stand-in for Clerk: write the key: %w", err)
	}
	return key, nil
}

func parseKey(path string, data []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("stand-in for Clerk: %s holds no PEM key; delete it to get a new one", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("stand-in for Clerk: %s: %w", path, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < keyBits {
		return nil, fmt.Errorf("stand-in for Clerk: %s is not an RSA key of %d bits or more", path, keyBits)
	}
	return key, nil
}

// writeNew puts data at path as a whole or not at all, and never over a file
// that is there: a link fails when the name is taken.
func writeNew(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // CreateTemp's mode is 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}

// KeyID derives a key id in the shape of Clerk's (ins_ and 27 letters and
// digits) from the key itself, so that a kept key keeps its id.
func KeyID(key *rsa.PublicKey) string {
	sum := sha256.Sum256(key.N.Bytes())
	return "ins_" + base62(sum[:], 27)
}

// base62 renders the first n digits of a hash in letters and digits.
func base62(sum []byte, n int) string {
	s := new(big.Int).SetBytes(sum).Text(62)
	return (strings.Repeat("0", n) + s)[len(s):][:n]
}

type ringKey struct {
	id  string
	key *rsa.PrivateKey
}

// keyring holds the published keys; the last one added signs.
type keyring struct {
	mu     sync.Mutex
	keys   []ringKey
	signer ringKey
	extra  []any // further entries of the key set, as tests give them
}

func (k *keyring) add(key *rsa.PrivateKey) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	rk := ringKey{KeyID(&key.PublicKey), key}
	k.keys = append(k.keys, rk)
	k.signer = rk
	return rk.id
}

func (k *keyring) current() ringKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.signer
}

// Rotate publishes key (nil makes a fresh one) beside the others, signs with
// it from now on and returns its id.
func (s *Server) Rotate(key *rsa.PrivateKey) (string, error) {
	if key == nil {
		var err error
		if key, err = GenerateKey(); err != nil {
			return "", err
		}
	}
	return s.keys.add(key), nil
}

// Withdraw takes the key off the published set. Tokens can still be signed with it.
func (s *Server) Withdraw(kid string) {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	kept := s.keys.keys[:0:0]
	for _, k := range s.keys.keys {
		if k.id != kid {
			kept = append(kept, k)
		}
	}
	s.keys.keys = kept
}

// PublishAlso adds raw entries (anything that marshals to a JSON Web Key) to
// the set, replacing those of an earlier call.
func (s *Server) PublishAlso(jwks ...any) {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	s.keys.extra = jwks
}

// CurrentKey is the key that signs, with its id.
func (s *Server) CurrentKey() (kid string, key *rsa.PrivateKey) {
	k := s.keys.current()
	return k.id, k.key
}

// PublicKeyPEM is the signing key's public half as CLERK_JWT_KEY takes it.
func (s *Server) PublicKeyPEM() string {
	der, err := x509.MarshalPKIXPublicKey(&s.keys.current().key.PublicKey)
	if err != nil { // cannot happen with an RSA key
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// JWK is a public RSA key as RFC 7517 writes it.
type JWK struct {
	Use string `json:"use,omitempty"`
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Alg string `json:"alg,omitempty"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// PublicJWK renders a key as Clerk publishes it.
func PublicJWK(kid string, key *rsa.PublicKey) JWK {
	b64 := base64.RawURLEncoding
	return JWK{
		Use: "sig", Kty: "RSA", Kid: kid, Alg: "RS256",
		N: b64.EncodeToString(key.N.Bytes()),
		E: b64.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
}

func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	s.keys.mu.Lock()
	set := make([]any, 0, len(s.keys.keys)+len(s.keys.extra))
	for _, k := range s.keys.keys {
		set = append(set, PublicJWK(k.id, &k.key.PublicKey))
	}
	set = append(set, s.keys.extra...)
	s.keys.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"keys": set})
}
