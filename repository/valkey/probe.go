package valkey

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

const (
	defaultProbeInterval = 300 * time.Millisecond
	// A server that is present is looked at as well, at leisure: a replica
	// without traffic notices an absence, too.
	presentFactor = 4

	probeTimeout  = 250 * time.Millisecond
	checkTimeout  = time.Second
	sweepInterval = 15 * time.Second

	probeKey = keyPrefix + "probe"
)

// Check asks the server itself whether it answers, within a second or the
// context's deadline, whatever the limiter thinks of it.
func (l *Limiter) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return l.client.WithTimeout(checkTimeout).Ping(ctx).Err()
}

// Run watches the server until the context ends: it notices when the server is
// away and when it is back, and clears away what the limiter remembers in vain.
// Beginning with a look at once, it warms the connections and the server's
// script cache before the first request. It returns nil.
func (l *Limiter) Run(ctx context.Context) error {
	nextSweep := l.clock.Now().Add(sweepInterval)
	for {
		l.probe(ctx)
		if now := l.clock.Now(); !now.Before(nextSweep) {
			l.local.sweep()
			l.refusals.sweep()
			nextSweep = now.Add(sweepInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(l.pause()):
		}
	}
}

// pause is the time to the next look, spread so that replicas do not look in step.
func (l *Limiter) pause() time.Duration {
	d := l.interval
	if !l.Degraded() {
		d *= presentFactor
	}
	return d*3/4 + rand.N(d/2+1) // #nosec G404 -- spreads load, guards nothing
}

// probe does what requests do, both scripts on a key of its own, rather than
// a PING: a server that answers but refuses to write or to run scripts is of
// no use, and one that comes back empty needs the scripts again.
func (l *Limiter) probe(ctx context.Context) {
	epoch, present := l.breaker.enter()
	err := l.tryScripts(ctx)
	if ctx.Err() != nil {
		return // told to stop: that says nothing of the server
	}
	if present {
		l.report(ctx, epoch, err)
		return
	}
	if err == nil && l.breaker.recovered(epoch) {
		l.log.LogAttrs(ctx, slog.LevelInfo, "valkey is back, limiting by shared counts")
	}
}

func (l *Limiter) tryScripts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	shared := redis_rate.NewLimiter(l.client.WithTimeout(probeTimeout))
	limit := redis_rate.PerSecond(1000)
	if _, err := shared.Allow(ctx, probeKey, limit); err != nil {
		return err
	}
	_, err := shared.AllowAtMost(ctx, probeKey, limit, 1)
	return err
}
