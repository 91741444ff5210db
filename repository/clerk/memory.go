package clerk

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/profile-api/profile-api/domain"
)

const (
	rememberFor     = time.Minute
	memoryShards    = 16
	memoryPerShard  = 640 // 10,240 tokens in all, a few megabytes
	evictionSamples = 8
)

type tokenID [sha256.Size]byte

// remembered is a verified token. It counts until its time is over or its key is gone.
type remembered struct {
	person domain.Principal
	key    *publicKey
	until  time.Time
}

// memory holds verified tokens by hash. Only tokens that passed the gate get
// in, so nobody without Clerk's signature can fill it.
type memory struct {
	shards [memoryShards]memoryShard
}

type memoryShard struct {
	mu      sync.Mutex
	entries map[tokenID]remembered
}

func newMemory() *memory {
	m := &memory{}
	for i := range m.shards {
		m.shards[i].entries = make(map[tokenID]remembered)
	}
	return m
}

func (m *memory) shard(id tokenID) *memoryShard { return &m.shards[id[0]%memoryShards] }

func (m *memory) get(id tokenID, now time.Time) (remembered, bool) {
	s := m.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	if ok && !now.Before(e.until) {
		delete(s.entries, id)
		return remembered{}, false
	}
	return e, ok
}

func (m *memory) drop(id tokenID) {
	s := m.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, id)
}

// put remembers for a minute at most and never beyond the token's expiry.
func (m *memory) put(id tokenID, p domain.Principal, key *publicKey, now time.Time) {
	until := now.Add(rememberFor)
	if p.ExpiresAt.Before(until) {
		until = p.ExpiresAt
	}
	if !now.Before(until) {
		return
	}
	s := m.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) >= memoryPerShard {
		s.makeRoom()
	}
	s.entries[id] = remembered{person: p, key: key, until: until}
}

// makeRoom drops the entry that ends first of a few; map order picks them at random.
func (s *memoryShard) makeRoom() {
	var victim tokenID
	var earliest time.Time
	seen := 0
	for id, e := range s.entries {
		if seen == 0 || e.until.Before(earliest) {
			victim, earliest = id, e.until
		}
		if seen++; seen == evictionSamples {
			break
		}
	}
	delete(s.entries, victim)
}

func (m *memory) size() int {
	n := 0
	for i := range m.shards {
		m.shards[i].mu.Lock()
		n += len(m.shards[i].entries)
		m.shards[i].mu.Unlock()
	}
	return n
}
