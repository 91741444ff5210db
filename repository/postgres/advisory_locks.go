package postgres

import (
	"crypto/sha256"
	"encoding/binary"
)

// The spaces of our advisory locks: the first of PostgreSQL's two keys. The
// single-key locks live elsewhere: goose's one, and those of the keys of
// idempotency, spread over 64 bits by a hash.
const (
	lockIdentities int32 = 0x70610001
	lockHandles    int32 = 0x70610002
)

// lockKey is the second key. Two values that meet only wait for each other
// without need; orders must therefore be kept by key, not by value.
func lockKey(value string) int32 {
	sum := sha256.Sum256([]byte(value))
	return int32(binary.BigEndian.Uint32(sum[:4])) // #nosec G115 -- any 32 bits will do
}
