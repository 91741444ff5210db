package valkey

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/domain"
)

const (
	// defaultBudget is what a request waits for the server at most, over all
	// its round trips. The contract grants 100 ms.
	defaultBudget    = 60 * time.Millisecond
	defaultLocalKeys = 100_000

	// redis_rate puts "rate:" before these. No braces: in a cluster each key
	// then hashes by the whole of it, and callers spread over the slots.
	keyPrefix = "rl:"
)

// LimiterOptions are the quotas, and what tests replace; other zero values take defaults.
type LimiterOptions struct {
	User, IP, Global domain.Rate // zero: off

	Clock         Clock
	Logger        *slog.Logger
	Budget        time.Duration // most that one Allow waits for the server; 60 ms
	MaxLocalKeys  int           // callers remembered in memory, for each of two tables; 100,000
	ProbeInterval time.Duration // between attempts to find the server again; 300 ms, ± a quarter
}

// Limiter counts requests under the caller's own quota and then under the
// global one, by GCRA, in counts that all replicas share; while those are away
// it counts by itself, under the same quotas. It is safe for concurrent use.
//
// The ordinary request costs one round trip, to its own quota's count; the
// global quota comes from a [lease]. A caller who is known to be refused costs none.
//
// Run must be running for the limiter to find an absent server again.
type Limiter struct {
	client   *redis.Client
	shared   *redis_rate.Limiter
	user, ip domain.Rate
	global   domain.Rate
	budget   time.Duration
	interval time.Duration
	clock    Clock
	log      *slog.Logger

	breaker  breaker
	local    *localLimiter
	refusals *refusals
	lease    *lease
}

// NewLimiter makes a limiter over the client, as [NewClient] gives it. The
// error is about the quotas: each must be zero, or of a positive quota and a
// period of at least a nanosecond for each of it.
func NewLimiter(client *redis.Client, opts LimiterOptions) (*Limiter, error) {
	for policy, r := range map[domain.RatePolicy]domain.Rate{
		domain.PolicyUser: opts.User, domain.PolicyIP: opts.IP, domain.PolicyGlobal: opts.Global,
	} {
		if r != (domain.Rate{}) && (r.Quota <= 0 || r.Period < time.Duration(r.Quota)) {
			return nil, fmt.Errorf("valkey: the %s quota %d per %s is no rate", policy, r.Quota, r.Period)
		}
	}
	l := &Limiter{
		client: client, shared: redis_rate.NewLimiter(client),
		user: opts.User, ip: opts.IP, global: opts.Global,
		budget: orDefault(opts.Budget, defaultBudget), interval: orDefault(opts.ProbeInterval, defaultProbeInterval),
		clock: opts.Clock, log: opts.Logger,
	}
	if l.clock == nil {
		l.clock = systemClock{}
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	keys := orDefault(opts.MaxLocalKeys, defaultLocalKeys)
	l.local = newLocalLimiter(l.clock, keys)
	l.refusals = newRefusals(l.clock, keys)
	if !l.global.Unlimited() {
		l.lease = newLease(l.global, l.clock, l.takeGlobal)
	}
	return l, nil
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// Allow counts one request of the caller that key names (a pseudonym; it
// becomes part of a key on the server) under the policy's quota, and when that
// lets it through under the global one. What its own quota refuses does not
// count under the global one. When the global quota refuses, the request has counted under its own.
//
// It never fails, and waits for the server no longer than the budget, however
// the context stands: a request that its client gave up is counted like any
// other, so that giving up is no way around the limit and no sign of a server in trouble.
// The context's values go along, for traces.
func (l *Limiter) Allow(ctx context.Context, policy domain.RatePolicy, key string) domain.RateDecision {
	caller := tableKey{policy: policy, key: key}
	own := l.rate(policy)
	epoch, present := l.breaker.enter()
	if !present {
		return l.allowLocally(caller, own)
	}
	if o, known := l.refusals.find(caller, epoch); known {
		return decide(policy, own, o)
	}
	if l.lease != nil {
		if o, known := l.lease.refusal(epoch); known {
			return decide(domain.PolicyGlobal, l.global, o)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.budget)
	defer cancel()
	if l.lease != nil {
		l.lease.prepare(ctx, epoch)
	}
	d := unlimited(policy)
	if !own.Unlimited() {
		o, err := l.allowShared(ctx, epoch, caller, own)
		if err != nil {
			return l.allowLocally(caller, own)
		}
		d = decide(policy, own, o)
	}
	if !d.Allowed || l.lease == nil {
		return d
	}
	o, err := l.lease.take(ctx, epoch)
	if err != nil {
		return l.underLocalGlobal(d)
	}
	if !o.allowed {
		return decide(domain.PolicyGlobal, l.global, o)
	}
	return d
}

// Degraded tells whether the shared counts are away, so that this replica limits by itself.
func (l *Limiter) Degraded() bool {
	_, present := l.breaker.enter()
	return !present
}

// rate returns a policy's quota. A policy that nobody knows is held to the
// addresses' quota rather than to none.
func (l *Limiter) rate(policy domain.RatePolicy) domain.Rate {
	if policy == domain.PolicyUser {
		return l.user
	}
	return l.ip
}

// allowShared counts under the caller's own quota on the server.
func (l *Limiter) allowShared(ctx context.Context, epoch uint64, caller tableKey, rate domain.Rate) (outcome, error) {
	sent := l.clock.Now()
	res, err := l.shared.Allow(ctx, keyPrefix+string(caller.policy)+":"+caller.key, toLimit(rate))
	l.report(ctx, epoch, err)
	if err != nil {
		return outcome{}, err
	}
	o := toOutcome(res)
	if !o.allowed {
		l.refusals.remember(caller, epoch, sent, o)
	}
	return o, nil
}

// takeGlobal is the lease's way to the server.
func (l *Limiter) takeGlobal(ctx context.Context, epoch uint64, n int) (*redis_rate.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.budget)
	defer cancel()
	res, err := l.shared.AllowAtMost(ctx, keyPrefix+string(domain.PolicyGlobal), toLimit(l.global), n)
	l.report(ctx, epoch, err)
	return res, err
}

// report tells the breaker how a call ended, and logs when that changed its mind.
func (l *Limiter) report(ctx context.Context, epoch uint64, err error) {
	if err == nil {
		l.breaker.succeeded(epoch)
		return
	}
	if l.breaker.failed(epoch, err) {
		l.log.LogAttrs(ctx, slog.LevelWarn, "valkey is away, limiting by this replica alone",
			slog.String("error", err.Error()))
	}
}

// allowLocally decides without the server, the global quota included.
func (l *Limiter) allowLocally(caller tableKey, own domain.Rate) domain.RateDecision {
	d := unlimited(caller.policy)
	if !own.Unlimited() {
		d = decide(caller.policy, own, l.local.allow(caller, own))
	}
	d.Local = true
	if !d.Allowed || l.global.Unlimited() {
		return d
	}
	return l.underLocalGlobal(d)
}

// underLocalGlobal counts what its own quota let through under this replica's global count.
func (l *Limiter) underLocalGlobal(d domain.RateDecision) domain.RateDecision {
	if o := l.local.allow(tableKey{policy: domain.PolicyGlobal}, l.global); !o.allowed {
		d = decide(domain.PolicyGlobal, l.global, o)
	}
	d.Local = true
	return d
}

func unlimited(policy domain.RatePolicy) domain.RateDecision {
	return domain.RateDecision{Allowed: true, Policy: policy}
}

func decide(policy domain.RatePolicy, rate domain.Rate, o outcome) domain.RateDecision {
	return domain.RateDecision{
		Allowed: o.allowed, Policy: policy, Rate: rate,
		Remaining: o.remaining, ResetAfter: o.resetAfter, RetryAfter: o.retryAfter,
	}
}

func toLimit(r domain.Rate) redis_rate.Limit {
	return redis_rate.Limit{Rate: r.Quota, Burst: r.Quota, Period: r.Period}
}

// remaining counts the whole requests that are left at once. redis_rate's own
// number is one too low for many quotas (98 after the first of 100 a minute): its
// script rounds down what its floating-point seconds have made a hair too small.
func remaining(r *redis_rate.Result) int {
	const hair = time.Microsecond // more than the error, less than the server's clock can tell
	interval := float64(r.Limit.Period) / float64(r.Limit.Rate)
	left := float64(r.Limit.Burst) - float64(r.ResetAfter-hair)/interval
	return min(max(int(math.Floor(left)), 0), r.Limit.Burst)
}

func toOutcome(r *redis_rate.Result) outcome {
	return outcome{
		allowed: r.Allowed > 0, remaining: remaining(r),
		resetAfter: r.ResetAfter, retryAfter: max(r.RetryAfter, 0), // -1 when allowed
	}
}
