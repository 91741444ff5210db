package clerkstandin

import (
	"crypto/subtle"
	"slices"
	"sync"
)

// secretKeys are those that are valid now: Clerk's dashboard lets an instance
// have several at once, so that one can be replaced with overlap.
type secretKeys struct {
	mu   sync.Mutex
	list []string
}

func (k *secretKeys) set(keys ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = slices.Clone(keys)
}

func (k *secretKeys) valid(got string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.list, func(key string) bool {
		return subtle.ConstantTimeCompare([]byte(got), []byte(key)) == 1
	})
}

// SetSecretKeys says which secret keys the Backend API takes from now on.
func (s *Server) SetSecretKeys(keys ...string) { s.secrets.set(keys...) }
