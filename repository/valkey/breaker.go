package valkey

import (
	"errors"
	"sync/atomic"
	"syscall"
)

// Failures in a row, with no success between them, after which the server counts as away.
const failuresToTrip = 3

// breaker knows whether the server is present or away. Only the prober brings
// it back: no request is ever sent ahead to find out.
//
// Each change begins a new epoch. Work notes the epoch it began under, and its
// result counts only while that lasts: a call that was sent before the server
// went away says nothing about the server that came back.
type breaker struct {
	epoch    atomic.Uint64 // even: present; odd: away
	failures atomic.Int32
}

// enter returns the current epoch and whether the server is present.
func (b *breaker) enter() (epoch uint64, present bool) {
	epoch = b.epoch.Load()
	return epoch, epoch%2 == 0
}

// succeeded ends a row of failures.
func (b *breaker) succeeded(epoch uint64) {
	if b.failures.Load() != 0 && b.epoch.Load() == epoch {
		b.failures.Store(0)
	}
}

// failed counts a failure and tells whether it was the one that made the
// server count as away.
func (b *breaker) failed(epoch uint64, err error) (tripped bool) {
	if epoch%2 != 0 || b.epoch.Load() != epoch {
		return false
	}
	// Nobody listens there: no need to be told three times.
	if b.failures.Add(1) < failuresToTrip && !errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	return b.epoch.CompareAndSwap(epoch, epoch+1)
}

// recovered ends an absence and tells whether there was one.
func (b *breaker) recovered(epoch uint64) bool {
	if epoch%2 == 0 {
		return false
	}
	b.failures.Store(0)
	return b.epoch.CompareAndSwap(epoch, epoch+1)
}
