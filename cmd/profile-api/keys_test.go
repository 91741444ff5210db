package main_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// A rotation at Clerk's is followed, and Clerk may go away afterwards.
func TestKeyRotationAndClerkAway(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t)
	old, id := s.person(t)
	if r := p.get(t, "/v1/profiles/me", old); r.status != http.StatusOK {
		t.Fatalf("me is %d", r.status)
	}
	if _, err := s.clerk.Rotate(nil); err != nil {
		t.Fatal(err)
	}
	fresh := s.clerk.Mint(clerkstandin.WithUser(id))
	eventually(t, "the new key works", func() bool {
		r := p.get(t, "/v1/profiles/me", fresh)
		if r.status != http.StatusOK {
			r.wantProblem(t, http.StatusUnauthorized, "unauthenticated")
		}
		return r.status == http.StatusOK
	})
	if r := p.get(t, "/v1/profiles/me", old); r.status != http.StatusOK {
		t.Errorf("a token of the old key, still published, gets %d", r.status)
	}

	stopClerk(t, s.running)
	for range 20 {
		token := s.clerk.Mint(clerkstandin.WithUser(newUserID())) // never seen, so that no memory of tokens helps
		if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
			t.Fatalf("with Clerk away, me is %d: %s", r.status, r.body)
		}
	}
	unknown := s.clerk.Mint(clerkstandin.WithHeader("kid", "ins_nobody"))
	p.get(t, "/v1/profiles/me", unknown).wantProblem(t, http.StatusUnauthorized, "unauthenticated")
	if n := p.metrics(t).value(`dependency_up{dependency="clerk"}`); n != 1 {
		t.Errorf("while the cached keys serve, dependency_up is %v", n)
	}
}

// A thousand tokens with unknown kids cost Clerk one request, not a thousand.
func TestUnknownKidsCauseOneFetch(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t)
	kid := 0
	ask := func() {
		kid++
		token := s.clerk.Mint(clerkstandin.WithHeader("kid", "ins_"+strconv.Itoa(kid)))
		if r, err := p.try(http.MethodGet, "/v1/profiles/me", token, ""); err != nil || r.status != http.StatusUnauthorized {
			t.Errorf("an unknown kid gets %d, %v", r.status, err)
		}
	}
	// At first the keys are too fresh to be asked for again. The fetch that is allowed comes a little later.
	before := s.clerk.KeyFetches()
	eventually(t, "an unknown kid makes it ask Clerk", func() bool { ask(); return s.clerk.KeyFetches() > before })
	begin, counted := time.Now(), s.clerk.KeyFetches()
	tokens := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for token := range tokens {
				if r, err := p.try(http.MethodGet, "/v1/profiles/me", token, ""); err != nil || r.status != http.StatusUnauthorized {
					t.Errorf("an unknown kid gets %d, %v", r.status, err)
				}
			}
		})
	}
	// Each with a kid of its own.
	template := s.clerk.Mint()
	for i := range 1000 {
		tokens <- withKid(template, fmt.Sprintf("ins_flood_%d", i))
	}
	close(tokens)
	wg.Wait()
	if n, most := s.clerk.KeyFetches()-counted, int(time.Since(begin)/(30*time.Second)); n > most {
		t.Errorf("1,000 unknown kids caused %d further fetches in %s, want at most %d", n, time.Since(begin), most)
	}
	if n := p.metrics(t).value(`auth_token_verifications_total{outcome="unknown_key"}`); n != float64(1000+kid) {
		t.Errorf("%v tokens were judged to have an unknown key, want %d", n, 1000+kid)
	}
	token, _ := s.person(t)
	if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
		t.Errorf("after that a good token gets %d", r.status)
	}
}

// withKid replaces a token's header, which spares a signature for each of a
// thousand tokens that are refused before their signatures count.
func withKid(token, kid string) string {
	_, rest, _ := strings.Cut(token, ".")
	header := fmt.Sprintf(`{"alg":"RS256","typ":"JWT","kid":%q}`, kid)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}
