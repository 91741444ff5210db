package valkey

import "time"

// refusals remembers who was refused and until when, so that somebody who
// keeps knocking costs no round trip. What was learnt under one epoch of the
// breaker is void under another: a server that was away may have come back
// empty, and while it is away its word does not count.
type refusals struct {
	clock Clock
	base  time.Time
	table *table[refusal]
}

type refusal struct {
	epoch   uint64
	resetAt time.Duration
}

func newRefusals(clock Clock, maxKeys int) *refusals {
	return &refusals{clock: clock, base: clock.Now(), table: newTable[refusal](maxKeys)}
}

func (r *refusals) now() time.Duration { return r.clock.Now().Sub(r.base) }

// remember keeps a refusal that the server gave to a question sent at the
// time. Counting from the sending ends it a round trip early rather than late.
func (r *refusals) remember(k tableKey, epoch uint64, sent time.Time, o outcome) {
	at := sent.Sub(r.base)
	s := r.table.lock(k)
	defer s.mu.Unlock()
	s.put(k, entry[refusal]{
		value: refusal{epoch: epoch, resetAt: at + o.resetAfter},
		dies:  at + o.retryAfter,
	}, r.now())
}

// find returns the refusal that still holds for the key.
func (r *refusals) find(k tableKey, epoch uint64) (outcome, bool) {
	s := r.table.lock(k)
	defer s.mu.Unlock()
	now := r.now()
	e, ok := s.get(k, now)
	if !ok || e.value.epoch != epoch {
		return outcome{}, false
	}
	return outcome{resetAfter: e.value.resetAt - now, retryAfter: e.dies - now}, true
}

func (r *refusals) sweep() { r.table.sweep(r.now()) }
