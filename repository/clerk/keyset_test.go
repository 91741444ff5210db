package clerk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// together runs n calls at once and returns how often each outcome came.
func together(n int, call func(i int) Outcome) map[Outcome]int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	counts := map[Outcome]int{}
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			o := call(i)
			mu.Lock()
			defer mu.Unlock()
			counts[o]++
		})
	}
	close(start)
	wg.Wait()
	return counts
}

// unknownKid is a token that costs no signing: no key is found for it to be checked with.
func (f *fixture) unknownKid(kid string) string {
	return f.clerk.Mint(clerkstandin.WithHeader("kid", kid),
		clerkstandin.WithSigner(func([]byte) []byte { return make([]byte, 256) }))
}

func TestManyColdRequestsCauseOneFetch(t *testing.T) {
	f := newFixture(t, newManualClock())
	got := together(200, func(i int) Outcome {
		return f.verify(t, f.clerk.Mint(clerkstandin.WithUser(fmt.Sprintf("user_2cold%d", i))))
	})
	if got[OutcomeOK] != 200 || f.clerk.KeyFetches() != 1 {
		t.Errorf("%v with %d fetches, want 200 accepted with 1", got, f.clerk.KeyFetches())
	}
}

func TestUnknownKidsCauseOneFetchPerInterval(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock)
	f.refetch(t)
	storm := func(round int) int {
		before := f.clerk.KeyFetches()
		got := together(1000, func(i int) Outcome {
			return f.verify(t, f.unknownKid(fmt.Sprintf("ins_2no%d-%d", round, i)))
		})
		if got[OutcomeUnknownKey] != 1000 {
			t.Errorf("round %d: %v, want 1,000 unknown", round, got)
		}
		return f.clerk.KeyFetches() - before
	}
	for round, c := range []struct {
		advance time.Duration
		want    int
	}{
		{0, 0}, // the set was asked for this moment
		{freshFor, 1},
		{0, 0},
		{30*time.Second - time.Nanosecond, 0},
		{time.Nanosecond, 1},
		{time.Second, 0},
	} {
		clock.Advance(c.advance)
		if got := storm(round); got != c.want {
			t.Errorf("round %d: %d fetches, want %d", round, got, c.want)
		}
	}
	if got := f.verify(t, f.clerk.Mint()); got != OutcomeOK {
		t.Errorf("a good token after the storm: %s", got)
	}
}

// inBubble runs a test in fake time with the key set's own loop.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	keyA() // made outside, where it may take its time
	keyB()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, wallClock{})
		test(t, f)
	})
}

func (f *fixture) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.keys.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	synctest.Wait()
}

func TestSoftRefreshKeepsKeysYoungWithoutTraffic(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.run(t)
		for range 180 { // three hours
			time.Sleep(time.Minute)
			if age, ok := f.keys.Age(); !ok || age > 5*time.Minute+time.Second {
				t.Fatalf("age %v, %v", age, ok)
			}
		}
		if got := f.clerk.KeyFetches(); got < 36 || got > 37 {
			t.Errorf("%d fetches in three hours, want one per five minutes", got)
		}
	})
}

func TestNewKeyWorksWithin30SecondsEvenDuringAStorm(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.run(t)
		time.Sleep(time.Minute)
		storm := func(i int) {
			if got := f.verify(t, f.unknownKid(fmt.Sprintf("ins_2no%d", i))); got != OutcomeUnknownKey {
				t.Fatal(got)
			}
		}
		storm(0) // uses up the interval just before the rotation
		if _, err := f.clerk.Rotate(keyB()); err != nil {
			t.Fatal(err)
		}
		before, rotated := f.clerk.KeyFetches(), time.Now()
		token := f.clerk.Mint()
		for i := 1; f.verify(t, token) != OutcomeOK; i++ {
			storm(i)
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(rotated); took > 30*time.Second {
			t.Errorf("the new key worked after %v", took)
		}
		if got := f.clerk.KeyFetches() - before; got != 1 {
			t.Errorf("%d fetches, want 1", got)
		}
	})
}

func TestWithdrawnKeyStopsWorking(t *testing.T) {
	for name, c := range map[string]struct {
		fault   *clerkstandin.Fault
		traffic time.Duration // between tokens; zero is none but the last
		within  time.Duration
		after   Outcome
	}{
		"clerk well, no traffic":       {nil, 0, 5*time.Minute + time.Second, OutcomeUnknownKey},
		"clerk well, steady traffic":   {nil, time.Second, 5*time.Minute + time.Second, OutcomeUnknownKey},
		"clerk fails, no traffic":      {&clerkstandin.Fault{Status: 500}, 0, time.Hour, OutcomeUnavailable},
		"clerk fails, steady traffic":  {&clerkstandin.Fault{Status: 500}, time.Second, time.Hour, OutcomeUnavailable},
		"clerk hangs, steady traffic":  {&clerkstandin.Fault{Hang: true}, time.Second, time.Hour, OutcomeUnavailable},
		"clerk babbles":                {&clerkstandin.Fault{Body: []byte("<html>")}, time.Minute, time.Hour, OutcomeUnavailable},
		"clerk says there are no keys": {&clerkstandin.Fault{Body: []byte(`{"keys":[]}`)}, time.Minute, time.Hour, OutcomeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fixture) {
				f.run(t)
				kid, key := f.clerk.CurrentKey()
				token := f.clerk.Mint(clerkstandin.WithLifetime(24 * time.Hour)) // one that is remembered
				if got := f.verify(t, token); got != OutcomeOK {
					t.Fatal(got)
				}
				if _, err := f.clerk.Rotate(keyB()); err != nil {
					t.Fatal(err)
				}
				f.clerk.Withdraw(kid)
				if c.fault != nil {
					f.clerk.Break(*c.fault)
				}
				withdrawn := time.Now()
				for c.traffic > 0 && time.Since(withdrawn)+c.traffic < c.within {
					_ = f.verify(t, token)
					time.Sleep(c.traffic)
				}
				time.Sleep(c.within - time.Since(withdrawn))
				synctest.Wait()
				if got := f.verify(t, token); got != c.after {
					t.Errorf("the same token: %s, want %s", got, c.after)
				}
				if got := f.verify(t, f.clerk.Mint(clerkstandin.WithKey(kid, key))); got != c.after {
					t.Errorf("a fresh token: %s, want %s", got, c.after)
				}
				f.clerk.Heal()
			})
		})
	}
}

func TestCachedKeysServeWhileClerkIsAwayThenItRecoversByItself(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.run(t)
		start := time.Now()
		f.clerk.Break(clerkstandin.Fault{Hang: true})
		for time.Since(start) < time.Hour-time.Minute {
			time.Sleep(time.Minute)
			if got := f.verify(t, f.clerk.Mint()); got != OutcomeOK {
				t.Fatalf("after %v: %s", time.Since(start), got)
			}
		}
		if err := f.keys.Check(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		if got := f.verify(t, f.clerk.Mint()); got != OutcomeUnavailable {
			t.Fatalf("after the hour: %s", got)
		}
		if f.keys.Check(t.Context()) == nil {
			t.Error("the check says all is well without usable keys")
		}
		f.clerk.Heal()
		time.Sleep(coldRetryLast + fetchTimeout)
		before := f.clerk.KeyFetches()
		if got := f.verify(t, f.clerk.Mint()); got != OutcomeOK || f.clerk.KeyFetches() != before {
			t.Errorf("after the recovery: %s with %d fetches of its own", got, f.clerk.KeyFetches()-before)
		}
	})
}

func TestStartsWithoutClerkAndBecomesReadyByItself(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.clerk.Break(clerkstandin.Fault{Status: http.StatusServiceUnavailable})
		f.run(t)
		if _, ok := f.keys.Age(); ok || f.keys.Check(t.Context()) == nil {
			t.Error("keys of unknown origin")
		}
		for range 20 * 60 { // a minute of traffic
			_, err := f.gate.Verify(t.Context(), f.clerk.Mint())
			if got := OutcomeOf(err); got != OutcomeUnavailable || !errors.Is(err, domain.Unavailable) {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if got := f.clerk.KeyFetches(); got < 12 || got > 20 {
			t.Errorf("%d fetches in the first minute, want one per 5 s or so", got)
		}
		f.clerk.Heal()
		time.Sleep(coldRetryLast)
		synctest.Wait()
		if err := f.keys.Check(t.Context()); err != nil {
			t.Errorf("not ready by itself: %v", err)
		}
		if got := f.verify(t, f.clerk.Mint()); got != OutcomeOK {
			t.Error(got)
		}
	})
}

// Tokens never wait long for a Clerk that hangs, and one that is known not at all.
func TestTokensDoNotWaitForARefresh(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.run(t)
		f.clerk.Break(clerkstandin.Fault{Hang: true})
		time.Sleep(5*time.Minute + time.Second) // the refresh hangs now
		start := time.Now()
		if got := f.verify(t, f.clerk.Mint()); got != OutcomeOK || time.Since(start) != 0 {
			t.Errorf("known key: %s after %v", got, time.Since(start))
		}
		if got := f.verify(t, f.clerk.Mint(clerkstandin.WithHeader("kid", "ins_2no"))); got != OutcomeUnknownKey || time.Since(start) > waitForFetch {
			t.Errorf("unknown kid: %s after %v", got, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(time.Minute)
		f.clerk.Heal()
		if _, err := f.gate.Verify(ctx, f.clerk.Mint()); err != nil {
			t.Errorf("a known key needs no live context: %v", err)
		}
	})
}

// One caller that leaves must not take the fetch away from the others.
func TestAFetchOutlivesItsFirstCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.clerk.Break(clerkstandin.Fault{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan Outcome)
		second := make(chan Outcome)
		go func() {
			_, err := f.gate.Verify(ctx, f.clerk.Mint())
			first <- OutcomeOf(err)
		}()
		synctest.Wait()
		go func() { second <- f.verify(t, f.clerk.Mint()) }()
		synctest.Wait()
		cancel()
		if got := <-first; got != OutcomeUnavailable {
			t.Errorf("who left: %s", got)
		}
		f.clerk.Heal()
		if got := <-second; got != OutcomeOK || f.clerk.KeyFetches() != 1 {
			t.Errorf("who stayed: %s after %d fetches", got, f.clerk.KeyFetches())
		}
	})
}

// What goes wrong is logged, but neither Clerk's answer nor our secret key.
func TestLogsHoldNoSecret(t *testing.T) {
	clerk, err := clerkstandin.New(clerkstandin.Options{Key: keyA()})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	keys, err := NewKeySet(KeySetOptions{
		APIURL: "http://clerk.test/v1", SecretKey: clerk.SecretKey(), Clock: newManualClock(),
		HTTPClient: &http.Client{Transport: direct{clerk}}, Logger: slog.New(slog.NewJSONHandler(&out, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{200, 302, 403, 500} {
		clerk.Break(clerkstandin.Fault{Status: status, Body: []byte("canary-7f3a " + clerk.SecretKey())})
		<-keys.refresh(t.Context())
	}
	if n := strings.Count(out.String(), "could not be fetched"); n != 4 {
		t.Errorf("%d warnings, want 4:\n%s", n, out.String())
	}
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), clerk.SecretKey()) {
		t.Errorf("the log repeats the answer:\n%s", out.String())
	}
}
