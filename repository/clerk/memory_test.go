package clerk

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func (g *Gate) remembers(token string) bool {
	_, ok := g.recall(sha256.Sum256([]byte(token)))
	return ok
}

func TestRemembersForAMinuteAndNeverBeyondExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		lifetime time.Duration
		until    time.Duration
	}{
		"long-lived":  {time.Hour, time.Minute},
		"Clerk's own": {60 * time.Second, 60 * time.Second},
		"short-lived": {20 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newManualClock()
			f := newFixture(t, clock)
			token := f.clerk.Mint(clerkstandin.WithLifetime(c.lifetime))
			if got := f.verify(t, token); got != OutcomeOK || !f.gate.remembers(token) {
				t.Fatalf("%s, remembered %v", got, f.gate.remembers(token))
			}
			clock.Advance(c.until - time.Nanosecond)
			if !f.gate.remembers(token) {
				t.Error("forgotten too early")
			}
			clock.Advance(time.Nanosecond)
			if f.gate.remembers(token) {
				t.Error("remembered too long")
			}
		})
	}
}

// A token in its leeway is accepted each time by verification, never by memory.
func TestExpiredTokensAreNotRemembered(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock)
	token := f.clerk.Mint(clerkstandin.WithLifetime(10 * time.Second))
	for range 15 {
		if got := f.verify(t, token); got != OutcomeOK {
			t.Fatal(got)
		}
		clock.Advance(time.Second)
	}
	if got := f.verify(t, token); got != OutcomeExpired || f.gate.memory.size() != 0 {
		t.Errorf("%s with %d remembered", got, f.gate.memory.size())
	}
}

func TestMemoryDiesWithTheKey(t *testing.T) {
	clock := newManualClock()
	t.Run("withdrawn", func(t *testing.T) {
		f := newFixture(t, clock)
		token := f.clerk.Mint()
		if got := f.verify(t, token); got != OutcomeOK {
			t.Fatal(got)
		}
		kid, _ := f.clerk.CurrentKey()
		if _, err := f.clerk.Rotate(keyB()); err != nil {
			t.Fatal(err)
		}
		f.clerk.Withdraw(kid)
		f.refetch(t)
		if got := f.verify(t, token); got != OutcomeUnknownKey {
			t.Error(got)
		}
	})
	t.Run("replaced under its kid", func(t *testing.T) {
		f := newFixture(t, clock)
		token := f.clerk.Mint()
		if got := f.verify(t, token); got != OutcomeOK {
			t.Fatal(got)
		}
		kid, _ := f.clerk.CurrentKey()
		f.clerk.Withdraw(kid)
		f.clerk.PublishAlso(clerkstandin.PublicJWK(kid, &keyB().PublicKey))
		f.refetch(t)
		if got := f.verify(t, token); got != OutcomeSignature {
			t.Error(got)
		}
	})
	t.Run("refreshed, still there", func(t *testing.T) {
		f := newFixture(t, clock)
		token := f.clerk.Mint()
		if got := f.verify(t, token); got != OutcomeOK {
			t.Fatal(got)
		}
		f.refetch(t)
		if !f.gate.remembers(token) {
			t.Error("forgotten although its key is the same")
		}
	})
}

func TestCallersDoNotShareWhatIsRemembered(t *testing.T) {
	f := newFixture(t, newManualClock())
	token := f.clerk.Mint(clerkstandin.WithClaim("fva", []int{30, -1}))
	for range 3 {
		p, err := f.gate.Verify(t.Context(), token)
		if err != nil || *p.FactorAge != 30*time.Minute {
			t.Fatalf("%v, %v", p.FactorAge, err)
		}
		*p.FactorAge = 0
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m, now := newMemory(), newManualClock().Now()
	key := &publicKey{}
	var last tokenID
	for i := range 3 * memoryShards * memoryPerShard {
		last = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		m.put(last, domain.Principal{ExpiresAt: now.Add(time.Hour)}, key, now)
	}
	if got := m.size(); got != memoryShards*memoryPerShard {
		t.Errorf("%d entries, want %d", got, memoryShards*memoryPerShard)
	}
	if _, ok := m.get(last, now); !ok {
		t.Error("the newest entry was pushed out")
	}
}

// Whatever the order of calls: what is recalled was put, unchanged, under that
// id, less than a minute ago, and has not expired.
func TestMemoryProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type put struct {
			person domain.Principal
			at     time.Time
		}
		m, clock, puts, key := newMemory(), newManualClock(), map[tokenID]put{}, &publicKey{}
		id := rapid.Custom(func(t *rapid.T) tokenID { return tokenID{rapid.Byte().Draw(t, "id") % 4} })
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				who := id.Draw(t, "token")
				p := domain.Principal{
					UserID:    rapid.StringMatching(`user_[a-z]{3}`).Draw(t, "user"),
					ExpiresAt: clock.Now().Add(time.Duration(rapid.IntRange(-5, 120).Draw(t, "seconds")) * time.Second),
				}
				if p.ExpiresAt.After(clock.Now()) {
					puts[who] = put{p, clock.Now()}
				}
				m.put(who, p, key, clock.Now())
			},
			"wait": func(t *rapid.T) { clock.Advance(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second) },
			"get": func(t *rapid.T) {
				who, now := id.Draw(t, "token"), clock.Now()
				got, ok := m.get(who, now)
				was, known := puts[who]
				want := known && now.Before(was.person.ExpiresAt) && now.Sub(was.at) < time.Minute
				if ok != want || (ok && got.person != was.person) {
					t.Fatalf("recalled %v %+v, want %v %+v", ok, got.person, want, was.person)
				}
			},
		})
	})
}
