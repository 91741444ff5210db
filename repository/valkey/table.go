package valkey

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/profile-api/profile-api/domain"
)

const (
	tableShards = 64 // a power of two
	// How many entries an insertion into a full shard looks at to find one to drop.
	evictionSample = 8
)

// tableKey names one caller under one policy.
type tableKey struct {
	policy domain.RatePolicy
	key    string
}

// table is a map of bounded size whose entries die of themselves: an entry
// past its time counts as absent. When a shard is full, an insertion drops a
// dead entry, or else the one of a sample that has the least time to live. For
// rate limits that is the caller nearest to a full quota, the one whose being
// forgotten matters least: somebody who floods the table from ever new
// addresses pushes out his own entries, not those that hold others back.
type table[V any] struct {
	seed   maphash.Seed
	shards [tableShards]shard[V]
}

type shard[V any] struct {
	mu      sync.Mutex
	entries map[tableKey]entry[V]
	limit   int
}

type entry[V any] struct {
	value V
	dies  time.Duration // on the table owner's time line
}

// newTable makes a table of at most limit entries, rounded up to a multiple of the shards.
func newTable[V any](limit int) *table[V] {
	t := &table[V]{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].entries = make(map[tableKey]entry[V])
		t.shards[i].limit = max(1, (limit+tableShards-1)/tableShards)
	}
	return t
}

// lock returns the key's shard, locked.
func (t *table[V]) lock(k tableKey) *shard[V] {
	s := &t.shards[maphash.Comparable(t.seed, k)%tableShards]
	s.mu.Lock()
	return s
}

// get finds a live entry. The shard is locked by the caller.
func (s *shard[V]) get(k tableKey, now time.Duration) (entry[V], bool) {
	e, ok := s.entries[k]
	return e, ok && e.dies > now
}

// put stores an entry, at the cost of another one when the shard is full. The
// shard is locked by the caller.
func (s *shard[V]) put(k tableKey, e entry[V], now time.Duration) {
	if _, known := s.entries[k]; !known && len(s.entries) >= s.limit {
		s.evict(now)
	}
	s.entries[k] = e
}

func (s *shard[V]) evict(now time.Duration) {
	var victim tableKey
	var soonest time.Duration
	seen := 0
	for k, e := range s.entries { // a map is walked from a random place
		if seen == 0 || e.dies < soonest {
			victim, soonest = k, e.dies
		}
		seen++
		if e.dies <= now || seen == evictionSample {
			break
		}
	}
	delete(s.entries, victim)
}

// sweep drops the dead entries, one shard's lock at a time.
func (t *table[V]) sweep(now time.Duration) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for k, e := range s.entries {
			if e.dies <= now {
				delete(s.entries, k)
			}
		}
		s.mu.Unlock()
	}
}

// len counts the entries, dead ones included.
func (t *table[V]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}
