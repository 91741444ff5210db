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
	faults map[string]*counts
}

type counts struct {
	taken int // in the running minute
	held  int // since the last event that left
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
	key := strings.Join(fingerprint, "\n")
	c := l.faults[key]
	if c == nil {
		if len(l.faults) >= mostFaultsKept {
			return 0, false
		}
		c = &counts{}
		l.faults[key] = c
	}
	if c.taken >= perFault || l.total >= perMinute {
		c.held++
		return 0, false
	}
	held, c.held = c.held, 0
	c.taken++
	l.total++
	return held, true
}
