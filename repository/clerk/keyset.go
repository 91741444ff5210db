package clerk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/domain"
)

// The ages and intervals of the key set (contract §5).
const (
	softAge       = 5 * time.Minute  // a refresh is due, the keys still serve
	hardAge       = time.Hour        // counted from the start of the last fetch that worked; then nothing serves
	tokenInterval = 30 * time.Second // between fetches that tokens cause
	freshFor      = 5 * time.Second  // a set just asked for is not asked for again because of a token
	fetchTimeout  = 5 * time.Second  // of one fetch
	waitForFetch  = 3 * time.Second  // how long a token waits for a fetch under way

	// Retries after failures double from the first to the last: quickly while
	// there is nothing to serve with, at leisure while old keys serve on.
	coldRetryFirst, coldRetryLast   = time.Second, 5 * time.Second
	staleRetryFirst, staleRetryLast = 10 * time.Second, 30 * time.Second
)

var (
	errNoKeySet   = errors.New("no key set was fetched yet or the last one is too old")
	errUnknownKey = errors.New("no such key")
)

// KeySetOptions says where the keys come from: from PEM alone, or from Clerk.
type KeySetOptions struct {
	PEM        string       // CLERK_JWT_KEY: one public key that counts for every kid; no network then
	APIURL     string       // CLERK_API_URL, base of the Backend API; empty is Clerk's own
	SecretKey  string       // CLERK_SECRET_KEY; required without PEM
	HTTPClient *http.Client // nil is a plain one; redirects are never followed
	Clock      Clock        // required
	Logger     *slog.Logger // required
	Spans      trace.Tracer // makes a span of each fetch; nil: none
}

// KeySet holds the keys that session tokens are signed with. Reading is one
// atomic load; fetching is one flight at a time. Run keeps it fresh under any
// traffic. A token with an unknown kid, or one that comes when there are no
// keys, may cause a fetch too, but only one per 30 s. That interval is also the
// memory of unknown kids: the time of the last fetch says of all of them at
// once that they were not there, and it cannot be flooded.
type KeySet struct {
	static *publicKey // PEM mode when not nil
	source *fetcher
	clock  Clock
	logger *slog.Logger

	current atomic.Pointer[snapshot]

	mu          sync.Mutex
	flight      chan struct{} // closed when the fetch under way ends; nil without one
	lastStart   time.Time     // of any fetch
	lastByToken time.Time     // of a fetch that a token caused
	failures    int           // in a row
}

// snapshot is a key set as fetched; immutable.
type snapshot struct {
	keys map[string]*publicKey
	asOf time.Time // when the fetch began: what was withdrawn later may still be in it
}

// NewKeySet makes a key set without keys (in PEM mode: with its key); Run fetches them.
func NewKeySet(opts KeySetOptions) (*KeySet, error) {
	if opts.Clock == nil || opts.Logger == nil {
		return nil, errors.New("clerk key set: clock and logger are required")
	}
	k := &KeySet{clock: opts.Clock, logger: opts.Logger}
	if opts.PEM != "" {
		key, err := publicKeyFromPEM(opts.PEM)
		if err != nil {
			return nil, fmt.Errorf("clerk key set: public key: %w", err)
		}
		k.static = key
		return k, nil
	}
	if opts.SecretKey == "" {
		return nil, errors.New("clerk key set: a secret key is required")
	}
	k.source = newFetcher(opts.APIURL, opts.SecretKey, traced(opts.HTTPClient, opts.Spans))
	return k, nil
}

// Run fetches the keys at once, refreshes them every five minutes and retries
// when that fails, until ctx ends. It returns nil then; in PEM mode it only waits.
func (k *KeySet) Run(ctx context.Context) error {
	if k.static != nil {
		<-ctx.Done()
		return nil
	}
	for {
		timer := time.NewTimer(k.untilDue())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if k.untilDue() > 0 { // a token caused a fetch meanwhile
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.refresh(ctx):
		}
	}
}

// untilDue is how long Run has to wait before its next fetch; zero is now.
func (k *KeySet) untilDue() time.Duration {
	now := k.clock.Now()
	usable := k.usable(now) != nil
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.lastStart.IsZero():
		return 0
	case k.failures > 0 && usable:
		return max(0, k.lastStart.Add(backoff(staleRetryFirst, staleRetryLast, k.failures)).Sub(now))
	case k.failures > 0:
		return max(0, k.lastStart.Add(backoff(coldRetryFirst, coldRetryLast, k.failures)).Sub(now))
	default:
		return max(0, k.lastStart.Add(softAge).Sub(now))
	}
}

// backoff doubles from first to last; up to a tenth is taken off at random, so
// that replicas that started together don't stay together.
func backoff(first, last time.Duration, failures int) time.Duration {
	d := last
	if n := failures - 1; n < 16 {
		d = min(last, first<<n)
	}
	return d - rand.N(d/10) // #nosec G404 -- spreads load, guards nothing
}

// refresh starts a fetch, or joins the one under way, and returns what is closed at its end.
func (k *KeySet) refresh(ctx context.Context) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.startLocked(ctx)
}

// askForToken is refresh for a token that found no key; nil when the interval
// forbids another fetch and none is under way.
func (k *KeySet) askForToken(ctx context.Context) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	now := k.clock.Now()
	if within(now, k.lastByToken, tokenInterval) || within(now, k.lastStart, freshFor) {
		return nil
	}
	k.lastByToken = now
	return k.startLocked(ctx)
}

func within(now, last time.Time, d time.Duration) bool {
	return !last.IsZero() && now.Sub(last) < d
}

func (k *KeySet) startLocked(ctx context.Context) <-chan struct{} {
	if k.flight != nil {
		return k.flight
	}
	k.lastStart = k.clock.Now()
	k.flight = make(chan struct{})
	// The caller may leave; the others who wait for this fetch may not.
	go k.fly(context.WithoutCancel(ctx), k.lastStart, k.flight)
	return k.flight
}

func (k *KeySet) fly(ctx context.Context, asOf time.Time, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var keys map[string]*publicKey
	err := domain.Guard(func() (err error) { // nobody else would catch a panic here
		keys, err = k.source.fetch(ctx)
		return err
	})

	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(done)
	k.flight = nil
	if err != nil {
		k.failures++
		k.logger.LogAttrs(ctx, slog.LevelWarn, "clerk key set could not be fetched",
			slog.Int("failures_in_a_row", k.failures), slog.String("error", err.Error()), domain.PanicAttr(err))
		return
	}
	k.failures = 0
	if before := k.current.Swap(&snapshot{keys: keys, asOf: asOf}); before == nil || !sameKeys(before.keys, keys) {
		k.logger.InfoContext(ctx, "clerk key set changed", slog.Int("keys", len(keys)))
	}
}

func sameKeys(a, b map[string]*publicKey) bool {
	if len(a) != len(b) {
		return false
	}
	for kid, key := range a {
		if other := b[kid]; other == nil || other.print != key.print {
			return false
		}
	}
	return true
}

// usable is the set when it is there and not beyond its hard age, else nil.
func (k *KeySet) usable(now time.Time) *snapshot {
	s := k.current.Load()
	if s == nil || now.Sub(s.asOf) >= hardAge {
		return nil
	}
	return s
}

// find returns the key of a kid: errUnknownKey when the set has none, or
// errNoKeySet when there is no set to judge by. It may wait up to three
// seconds for a fetch under way.
func (k *KeySet) find(ctx context.Context, kid string) (*publicKey, error) {
	if k.static != nil {
		return k.static, nil
	}
	if key, err := k.lookUp(kid); err == nil {
		return key, nil
	}
	done := k.askForToken(ctx)
	if done == nil {
		return k.lookUp(kid) // once more: a fetch may have ended since
	}
	timer := time.NewTimer(waitForFetch)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
	return k.lookUp(kid)
}

func (k *KeySet) lookUp(kid string) (*publicKey, error) {
	set := k.usable(k.clock.Now())
	if set == nil {
		return nil, errNoKeySet
	}
	if key, ok := set.keys[kid]; ok {
		return key, nil
	}
	return nil, errUnknownKey
}

// holds tells whether the very key still counts, at now.
func (k *KeySet) holds(key *publicKey, now time.Time) bool {
	if k.static != nil {
		return key == k.static
	}
	set := k.usable(now)
	if set == nil {
		return false
	}
	held := set.keys[key.kid]
	return held != nil && held.print == key.print
}

// Age is how long ago the keys at hand were asked for; false while there are
// none. In PEM mode it is always zero.
func (k *KeySet) Age() (time.Duration, bool) {
	if k.static != nil {
		return 0, true
	}
	s := k.current.Load()
	if s == nil {
		return 0, false
	}
	return max(0, k.clock.Now().Sub(s.asOf)), true
}

// Check fails while tokens cannot be judged. It asks nobody.
func (k *KeySet) Check(context.Context) error {
	if k.static == nil && k.usable(k.clock.Now()) == nil {
		return errNoKeySet
	}
	return nil
}
