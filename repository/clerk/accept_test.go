package clerk

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func minutes(n int) *time.Duration { d := time.Duration(n) * time.Minute; return &d }

func TestAccepts(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock)
	claim, header := clerkstandin.WithClaim, clerkstandin.WithHeader
	opt := func(opts ...clerkstandin.MintOption) []clerkstandin.MintOption { return opts }
	base := func(change func(*domain.Principal)) domain.Principal {
		p := domain.Principal{
			UserID: "user_2a", SessionID: "sess_2a", FactorAge: minutes(0), IssuedAt: clock.Now(), ExpiresAt: clock.Now().Add(time.Hour),
		}
		if change != nil {
			change(&p)
		}
		return p
	}
	role := func(r string) domain.Principal { return base(func(p *domain.Principal) { p.Role = r }) }
	age := func(a *time.Duration) domain.Principal { return base(func(p *domain.Principal) { p.FactorAge = a }) }
	expires := func(at time.Time) domain.Principal {
		return base(func(p *domain.Principal) { p.ExpiresAt = at })
	}
	for name, c := range map[string]struct {
		opts []clerkstandin.MintOption
		want domain.Principal
	}{
		"version 2":                     {nil, base(nil)},
		"older, without category":       {opt(clerkstandin.WithoutHeaders("cat"), clerkstandin.WithoutClaims("v", "sts")), base(nil)},
		"instance without categories":   {opt(header("cat", clerkstandin.CategoryIgnore)), base(nil)},
		"without typ":                   {opt(clerkstandin.WithoutHeaders("typ")), base(nil)},
		"unknown header, unknown claim": {opt(header("x", 1), claim("y", []int{1})), base(nil)},
		"without nbf, jti":              {opt(clerkstandin.WithoutClaims("nbf", "jti")), base(nil)},
		"with an organization":          {opt(claim("o", map[string]any{"id": "org_2", "rol": "admin"})), base(nil)},
		"any audience when none is set": {opt(claim("aud", []string{"x"})), base(nil)},
		"second authorized party":       {opt(claim("azp", "https://other.example.com")), base(nil)},

		"expired within the leeway": {opt(claim("exp", clock.Now().Unix()-4)), expires(clock.Now().Add(-4 * time.Second))},
		"nbf, iat ahead by 5 s": {opt(claim("nbf", clock.Now().Unix()+5), claim("iat", clock.Now().Unix()+5)),
			base(func(p *domain.Principal) { p.IssuedAt = clock.Now().Add(5 * time.Second) })},
		"fractions of seconds": {
			opt(claim("exp", float64(clock.Now().Unix())+60.5), claim("iat", float64(clock.Now().Unix())+0.25)),
			base(func(p *domain.Principal) {
				p.IssuedAt, p.ExpiresAt = clock.Now().Add(250*time.Millisecond), clock.Now().Add(60*time.Second+500*time.Millisecond)
			}),
		},

		"role":                     {opt(clerkstandin.WithRole("admin")), role("admin")},
		"role of another type":     {opt(claim("metadata", map[string]any{"role": []string{"admin"}})), base(nil)},
		"role true":                {opt(claim("metadata", map[string]any{"role": true})), base(nil)},
		"metadata of another type": {opt(claim("metadata", "admin")), base(nil)},
		"role elsewhere":           {opt(claim("role", "admin")), base(nil)},
		"dotted name is no path":   {opt(claim("metadata.role", "admin")), base(nil)},
		"role name in other case":  {opt(claim("metadata", map[string]any{"Role": "admin"})), base(nil)},

		"first factor 12 minutes ago": {opt(claim("fva", []int{12, 3})), age(minutes(12))},
		"first factor never":          {opt(claim("fva", []int{-1, -1})), age(nil)},
		"without fva":                 {opt(clerkstandin.WithoutClaims("fva")), age(nil)},
		"fva null":                    {opt(claim("fva", nil)), age(nil)},
		"fva empty":                   {opt(claim("fva", []int{})), age(nil)},
		"fva beyond reason":           {opt(claim("fva", []int64{1 << 40, -1})), age(nil)},
		"fva of nulls":                {opt(claim("fva", []any{nil, nil})), age(nil)},

		"impersonated": {opt(claim("act", map[string]any{"sub": "user_2boss", "iss": "https://dashboard.clerk.com"})),
			base(func(p *domain.Principal) { p.Impersonator = "user_2boss" })},
		"act null": {opt(claim("act", nil)), base(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			token := f.clerk.Mint(append(opt(clerkstandin.WithUser("user_2a"), claim("sid", "sess_2a")), c.opts...)...)
			for _, how := range []string{"verified", "remembered"} {
				got, err := f.gate.Verify(t.Context(), token)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				comparePrincipals(t, how, got, c.want)
			}
		})
	}
}

func comparePrincipals(t *testing.T, how string, got, want domain.Principal) {
	t.Helper()
	switch {
	case (got.FactorAge == nil) != (want.FactorAge == nil):
		t.Errorf("%s: factor age %v, want %v", how, got.FactorAge, want.FactorAge)
	case got.FactorAge != nil && *got.FactorAge != *want.FactorAge:
		t.Errorf("%s: factor age %v, want %v", how, *got.FactorAge, *want.FactorAge)
	}
	if !got.IssuedAt.Equal(want.IssuedAt) {
		t.Errorf("%s: issued %v, want %v", how, got.IssuedAt, want.IssuedAt)
	}
	if !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("%s: expires %v, want %v", how, got.ExpiresAt, want.ExpiresAt)
	}
	got.FactorAge, want.FactorAge, got.ExpiresAt, want.ExpiresAt = nil, nil, time.Time{}, time.Time{}
	got.IssuedAt, want.IssuedAt = time.Time{}, time.Time{}
	if got != want {
		t.Errorf("%s: %+v, want %+v", how, got, want)
	}
}

func TestSettingsOfTheGate(t *testing.T) {
	clock := newManualClock()
	claim := clerkstandin.WithClaim
	for name, c := range map[string]struct {
		change func(*GateOptions)
		mint   clerkstandin.MintOption
		want   Outcome
		role   string
	}{
		"missing azp allowed":            {func(o *GateOptions) { o.AllowMissingAZP = true }, clerkstandin.WithoutClaims("azp"), OutcomeOK, ""},
		"wrong azp though missing is ok": {func(o *GateOptions) { o.AllowMissingAZP = true }, claim("azp", "https://evil.example"), OutcomeAuthorizedParty, ""},
		"no list: any azp":               {func(o *GateOptions) { o.AuthorizedParties = nil }, claim("azp", "https://evil.example"), OutcomeOK, ""},
		"no list: no azp":                {func(o *GateOptions) { o.AuthorizedParties = nil }, clerkstandin.WithoutClaims("azp"), OutcomeOK, ""},
		"audience as a string":           {func(o *GateOptions) { o.Audience = []string{"a", "b"} }, claim("aud", "b"), OutcomeOK, ""},
		"audience in a list":             {func(o *GateOptions) { o.Audience = []string{"a"} }, claim("aud", []string{"x", "a"}), OutcomeOK, ""},
		"role at the top":                {func(o *GateOptions) { o.RoleClaim = "org_role" }, claim("org_role", "org:admin"), OutcomeOK, "org:admin"},
		"role three deep": {func(o *GateOptions) { o.RoleClaim = "a.b.c" },
			claim("a", map[string]any{"b": map[string]any{"c": "admin"}}), OutcomeOK, "admin"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, clock, c.change)
			p, err := f.gate.Verify(t.Context(), f.clerk.Mint(c.mint))
			if got := OutcomeOf(err); got != c.want || p.Role != c.role {
				t.Errorf("outcome %s, role %q; want %s, %q", got, p.Role, c.want, c.role)
			}
		})
	}
}

func TestTokenSizeLimit(t *testing.T) {
	f := newFixture(t, newManualClock())
	if got := f.verify(t, ofLength(t, f.clerk.Mint, 8192)); got != OutcomeOK {
		t.Errorf("8,192 bytes: %s", got)
	}
	if got := f.verify(t, ofLength(t, f.clerk.Mint, 8193)); got != OutcomeMalformed {
		t.Errorf("8,193 bytes: %s", got)
	}
}

// The gate lets a token through exactly while the contract's 5 s allow it.
func TestLeewayProperty(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock)
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.IntRange(-12, 12)
		exp, iat, nbf := offset.Draw(t, "exp"), offset.Draw(t, "iat"), offset.Draw(t, "nbf")
		now := clock.Now().Unix()
		_, err := f.gate.Verify(t.Context(), f.clerk.Mint(clerkstandin.WithClaim("exp", now+int64(exp)),
			clerkstandin.WithClaim("iat", now+int64(iat)), clerkstandin.WithClaim("nbf", now+int64(nbf))))
		want := OutcomeOK
		switch {
		case iat > 5 || nbf > 5:
			want = OutcomeNotYetValid
		case exp <= -5:
			want = OutcomeExpired
		}
		if got := OutcomeOf(err); got != want {
			t.Fatalf("exp %+d, iat %+d, nbf %+d: %s, want %s", exp, iat, nbf, got, want)
		}
	})
}

func TestObserverHearsEveryOutcome(t *testing.T) {
	var heard []string
	f := newFixture(t, newManualClock(), func(o *GateOptions) {
		o.Observe = func(outcome string) { heard = append(heard, outcome) }
	})
	token := f.clerk.Mint()
	for _, tok := range []string{token, token, "x", f.clerk.Mint(clerkstandin.WithLifetime(-time.Hour))} {
		_ = f.verify(t, tok)
	}
	want := []string{"ok", "ok", "malformed", "expired"}
	if len(heard) != len(want) {
		t.Fatalf("heard %q", heard)
	}
	for i := range want {
		if heard[i] != want[i] {
			t.Errorf("heard %q, want %q", heard, want)
		}
	}
}

func TestPEMModeNeedsNoNetworkAndNoKid(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock)
	keys, err := NewKeySet(KeySetOptions{PEM: f.clerk.PublicKeyPEM(), Clock: clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := NewGate(keys, f.opts)
	if err != nil {
		t.Fatal(err)
	}
	_, key := f.clerk.CurrentKey()
	clock.Advance(48 * time.Hour) // its key does not age
	for name, c := range map[string]struct {
		token string
		want  Outcome
	}{
		"its kid":      {f.clerk.Mint(), OutcomeOK},
		"another kid":  {f.clerk.Mint(clerkstandin.WithKey("ins_2other", key)), OutcomeOK},
		"no kid":       {f.clerk.Mint(clerkstandin.WithoutHeaders("kid")), OutcomeOK},
		"another key":  {f.clerk.Mint(clerkstandin.WithKey("ins_2other", keyB())), OutcomeSignature},
		"kid a number": {f.clerk.Mint(clerkstandin.WithHeader("kid", 1)), OutcomeUnknownKey},
	} {
		_, err := gate.Verify(t.Context(), c.token)
		if got := OutcomeOf(err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if age, ok := keys.Age(); !ok || age != 0 || keys.Check(t.Context()) != nil {
		t.Error("a fixed key must always be ready")
	}
	if f.clerk.KeyFetches() != 0 {
		t.Error("PEM mode asked Clerk")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	clock, logger := newManualClock(), slog.New(slog.DiscardHandler)
	for name, opts := range map[string]KeySetOptions{
		"no secret key": {Clock: clock, Logger: logger},
		"no clock":      {SecretKey: "sk_test_x", Logger: logger},
		"no PEM":        {PEM: "not a key", Clock: clock, Logger: logger},
		"EC key": {Clock: clock, Logger: logger, PEM: "-----BEGIN PUBLIC KEY-----\n" +
			"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n" +
			"-----END PUBLIC KEY-----\n"},
	} {
		if _, err := NewKeySet(opts); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	f := newFixture(t, clock)
	for name, opts := range map[string]GateOptions{
		"no issuer": {Clock: clock}, "no clock": {Issuer: "https://x"}, "empty path": {Issuer: "https://x", Clock: clock, RoleClaim: "a..b"},
	} {
		if _, err := NewGate(f.keys, opts); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if got := OutcomeOf(errors.New("from elsewhere")); got != OutcomeUnavailable {
		t.Errorf("an unknown error counts as %s", got)
	}
}
