package valkey

import (
	"time"

	"github.com/profile-api/profile-api/domain"
)

// outcome is what one quota says of one request.
type outcome struct {
	allowed    bool
	remaining  int
	resetAfter time.Duration
	retryAfter time.Duration // zero when allowed
}

// localLimiter counts in this process alone, for the time that the shared
// counts are away. It is the generic cell rate algorithm (ITU-T I.371) as
// redis_rate computes it: one number per caller, the theoretical arrival time,
// at which the full quota would be back.
type localLimiter struct {
	clock Clock
	base  time.Time
	table *table[struct{}] // an entry dies at its theoretical arrival time
}

func newLocalLimiter(clock Clock, maxKeys int) *localLimiter {
	return &localLimiter{clock: clock, base: clock.Now(), table: newTable[struct{}](maxKeys)}
}

// now is the time since the limiter was made: monotonic, and small enough to count in.
func (l *localLimiter) now() time.Duration { return l.clock.Now().Sub(l.base) }

// allow counts one request under a rate that is not unlimited.
func (l *localLimiter) allow(k tableKey, rate domain.Rate) outcome {
	interval := rate.Period / time.Duration(rate.Quota)
	s := l.table.lock(k)
	defer s.mu.Unlock()
	now := l.now() // read under the lock, so that a key's time never runs backwards
	arrival := now
	if e, ok := s.get(k, now); ok {
		arrival = e.dies
	}
	next := arrival + interval
	room := now - (next - interval*time.Duration(rate.Quota))
	if room < 0 {
		return outcome{resetAfter: arrival - now, retryAfter: -room}
	}
	s.put(k, entry[struct{}]{dies: next}, now)
	return outcome{allowed: true, remaining: int(room / interval), resetAfter: next - now}
}

func (l *localLimiter) sweep() { l.table.sweep(l.now()) }
