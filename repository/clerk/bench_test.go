package clerk

import (
	"crypto/sha256"
	"testing"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// BenchmarkVerify measures one token: cold is a full verification, remembered
// is what the same token costs within a minute.
func BenchmarkVerify(b *testing.B) {
	f := newFixture(b, newManualClock())
	token := f.clerk.Mint()
	forged := f.clerk.Mint(clerkstandin.WithKey(clerkstandin.KeyID(&keyA().PublicKey), keyB()))
	unknown := f.clerk.Mint(clerkstandin.WithHeader("kid", "ins_2unknown"))
	id := tokenID(sha256.Sum256([]byte(token)))
	if got := f.verify(b, token); got != OutcomeOK {
		b.Fatal(got)
	}
	for name, c := range map[string]struct {
		token  string
		forget bool
		want   Outcome
	}{
		"cold": {token, true, OutcomeOK}, "remembered": {token, false, OutcomeOK},
		"forged": {forged, false, OutcomeSignature}, "unknown_kid": {unknown, false, OutcomeUnknownKey},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.forget {
					f.gate.memory.drop(id)
				}
				if _, err := f.gate.Verify(b.Context(), c.token); OutcomeOf(err) != c.want {
					b.Fatal(err)
				}
			}
		})
	}
}
