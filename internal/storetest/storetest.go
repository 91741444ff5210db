// Package storetest holds the contracts of the store ports and the behaviour of
// the profile use case as tests that run against any implementation: the fake
// in memory and PostgreSQL.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Now is the first moment of every suite.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Hashes is the pseudonymizer of the suites, with one older key.
var Hashes = domain.NewPseudonymizer("storetest-key", "storetest-older-key")

// Stores is an empty store under test, with what no port offers.
type Stores struct {
	Deps       usecase.ProfilesDeps // Clock, Hashes and NewHandle may be empty
	Put        func(*testing.T, domain.Profile)
	MarkErased func(t *testing.T, hash string)
	Events     func(*testing.T) []domain.AuditEvent
	Counts     func(*testing.T) (profiles, preferences, events int)
	Refreshes  func(*testing.T) []Refresh // looks at Clerk's record that are to be taken, oldest first
}

// Refresh is a job with its time.
type Refresh struct {
	Job domain.ProfileRefreshJob
	At  time.Time
}

// Open makes an empty store.
type Open func(t *testing.T) Stores

// Clock is a clock that tests set.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock starts at Now.
func NewClock() *Clock { return &Clock{t: Now} }

// Now tells the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Advance moves the time on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// Profile makes a profile of somebody nobody else has.
func Profile(handle string) *domain.Profile {
	return domain.NewProfile("user_"+rand.Text(), handle, Now)
}

// Handle makes a handle nobody else has.
func Handle() string { return "h_" + strings.ToLower(rand.Text()[:16]) }

func wantKind(t *testing.T, err error, kind domain.Kind, code domain.Code) {
	t.Helper()
	if !errors.Is(err, kind) || !domain.HasCode(err, code) {
		t.Errorf("got %v, want %s %s", err, kind, code)
	}
}

// text is the text, or nothing.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
