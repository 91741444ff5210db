package clerk

import (
	"crypto/rsa"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// Keys are made once: making one takes longer than most tests.
var (
	keyA     = sync.OnceValue(mustKey)
	keyB     = sync.OnceValue(mustKey)
	theParty = "https://app.example.com"
)

func mustKey() *rsa.PrivateKey {
	key, err := clerkstandin.GenerateKey()
	if err != nil {
		panic(err)
	}
	return key
}

// manualClock stands still until it is told to move.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func newManualClock() *manualClock {
	return &manualClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// wallClock is the real time, which is fake inside a synctest bubble.
type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// direct lets a client reach a handler without a network, so that synctest
// sees every wait.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

type fixture struct {
	clerk *clerkstandin.Server
	keys  *KeySet
	gate  *Gate
	opts  GateOptions
}

// newFixture is a gate whose keys come from a stand-in. Change alters the gate's options.
func newFixture(t testing.TB, clock Clock, change ...func(*GateOptions)) *fixture {
	t.Helper()
	clerk, err := clerkstandin.New(clerkstandin.Options{Key: keyA(), Clock: clock, AuthorizedParty: theParty})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clerk: clerk, opts: GateOptions{
		Issuer: clerk.Issuer(), AuthorizedParties: []string{"https://other.example.com", theParty}, Clock: clock,
	}}
	for _, c := range change {
		c(&f.opts)
	}
	f.keys, err = NewKeySet(KeySetOptions{
		APIURL: "http://clerk.test/v1", SecretKey: clerk.SecretKey(), Clock: clock,
		HTTPClient: &http.Client{Transport: direct{clerk}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.gate, err = NewGate(f.keys, f.opts); err != nil {
		t.Fatal(err)
	}
	return f
}

// verify returns the outcome alone.
func (f *fixture) verify(t testing.TB, token string) Outcome {
	t.Helper()
	_, err := f.gate.Verify(t.Context(), token)
	return OutcomeOf(err)
}

// refetch has the key set asked for now, and waits.
func (f *fixture) refetch(t testing.TB) { <-f.keys.refresh(t.Context()) }
