package sentry

import (
	"strings"
	"sync"
	"time"
)

// limit bounds how many events leave, of one fault and in all: a storm of errors
// is one thing to look at, and is counted in the metrics.
type limit struct {
	clock interface{ Now() time.Time }

	mu     sync.Mutex
	window time.Time // when the running minute began
	total  int
	asked  uint64 // how often take was called
	faults map[string]*counts
}

type counts struct {
	taken int    // in the running minute
	held  int    // since the last event that left
	seen  uint64 // what asked was when it last came
}

func newLimit(clock interface{ Now() time.Time }) *limit {
	return &limit{clock: clock, faults: map[string]*counts{}}
}

// take tells whether an event may leave, and how many like it were held back
// since the last one that did.
func (l *limit) take(fingerprint []string) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.clock.Now(); now.Sub(l.window) >= time.Minute || now.Before(l.window) {
		l.window, l.total = now, 0
		for name, c := range l.faults {
			c.taken = 0
			if c.held == 0 {
				delete(l.faults, name)
			}
		}
	}
	l.asked++
	c := l.known(strings.Join(fingerprint, "\n"))
	if c == nil {
		return 0, false
	}
	c.seen = l.asked
	if c.taken >= perFault || l.total >= perMinute {
		c.held++
		return 0, false
	}
	held, c.held = c.held, 0
	c.taken++
	l.total++
	return held, true
}

// known finds the counts of a fault. When there are as many as are kept, a new
// one takes the place of the one that has not come for longest, whose number held
// back is then told by the metric alone: what is held of yesterday's faults must
// not silence today's. It is nil for a new one that may not leave in this minute
// anyway.
func (l *limit) known(key string) *counts {
	if c := l.faults[key]; c != nil {
		return c
	}
	if len(l.faults) >= mostFaultsKept {
		if l.total >= perMinute {
			return nil
		}
		oldest, since := "", l.asked
		for name, c := range l.faults {
			if c.seen < since {
				oldest, since = name, c.seen
			}
		}
		delete(l.faults, oldest)
	}
	c := &counts{}
	l.faults[key] = c
	return c
}
