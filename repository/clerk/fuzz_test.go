package clerk

import (
	"errors"
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// FuzzGate: no bytes make the gate panic, and none but the token that was
// really signed are accepted. Refusals are of the two kinds promised.
func FuzzGate(f *testing.F) {
	fix := newFixture(f, newManualClock())
	token := fix.clerk.Mint()
	h, c, s := split(token)
	for _, seed := range []string{
		token, "", ".", "..", "...", h, h + "." + c, h + "." + c + ".", c + "." + h + "." + s, token + "=", "{}", `{"payload":"` + c + `"}`,
		fix.clerk.Mint(clerkstandin.WithHeader("alg", "none")), fix.clerk.Mint(clerkstandin.WithClaim("exp", 1e300))[1:],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, candidate string) {
		p, err := fix.gate.Verify(t.Context(), candidate)
		switch {
		case err == nil && candidate != token:
			t.Fatalf("accepted a token that nobody signed: %+v", p)
		case err != nil && candidate == token:
			t.Fatal("refused the signed token:", err)
		case err != nil && !errors.Is(err, domain.Unauthenticated) && !errors.Is(err, domain.Unavailable):
			t.Fatal("an error of another kind:", err)
		case err != nil && p != (domain.Principal{}):
			t.Fatalf("a person with the refusal: %+v", p)
		}
	})
}

// FuzzClaims: whatever Clerk might sign as header and claims, nothing panics,
// and who is let in has an id and an expiry.
func FuzzClaims(f *testing.F) {
	fix := newFixture(f, newManualClock(), func(o *GateOptions) { o.Audience = []string{"a"} })
	kid, _ := fix.clerk.CurrentKey()
	header := `{"alg":"RS256","typ":"JWT","kid":"` + kid + `"}`
	claims := `{"iss":"` + fix.clerk.Issuer() + `","azp":"` + theParty + `","aud":["a"],"sub":"user_2a","sid":"sess_2a","exp":1772370000,` +
		`"iat":1772366400,"fva":[0,-1],"act":{"sub":"x"},"metadata":{"role":"admin"}}`
	f.Add([]byte(header), []byte(claims))
	f.Add([]byte(header), []byte(`{"exp":1e999,"fva":[null],"act":null,"aud":{}}`))
	f.Add([]byte(`{"alg":"RS256","kid":1}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		token := fix.clerk.Mint(clerkstandin.WithRawHeader(header), clerkstandin.WithRawClaims(claims))
		p, err := fix.gate.Verify(t.Context(), token)
		if err == nil && (!userIDForm.MatchString(p.UserID) || p.SessionID == "" || p.ExpiresAt.IsZero()) {
			t.Fatalf("let in: %+v", p)
		}
	})
}
