package clerk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

type refusalCase struct {
	name  string
	token string
	want  Outcome
}

// TestRefuses holds every refusal of contract §5. Each token differs from an
// accepted one by the fault in its name alone.
func TestRefuses(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock, func(o *GateOptions) { o.Audience = []string{"profile-api"} })
	good := clerkstandin.WithClaim("aud", "profile-api")
	mint := func(opts ...clerkstandin.MintOption) string {
		return f.clerk.Mint(append([]clerkstandin.MintOption{good}, opts...)...)
	}
	if got := f.verify(t, mint()); got != OutcomeOK {
		t.Fatalf("the unspoilt token: %s", got)
	}
	var cases []refusalCase
	cases = append(cases, headerRefusals(mint)...)
	cases = append(cases, claimRefusals(mint, clock.Now())...)
	cases = append(cases, formRefusals(t, mint)...)
	cases = append(cases, signatureRefusals(t, f, mint)...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := f.gate.Verify(t.Context(), c.token)
			if got := OutcomeOf(err); got != c.want {
				t.Fatalf("outcome %s, want %s", got, c.want)
			}
			if p != (domain.Principal{}) {
				t.Errorf("a person comes with the refusal: %+v", p)
			}
			code := domain.CodeUnauthenticated
			if c.want == OutcomeExpired {
				code = domain.CodeTokenExpired
			}
			if !errors.Is(err, domain.Unauthenticated) || !domain.HasCode(err, code) {
				t.Errorf("error %v, want kind unauthenticated and code %s", err, code)
			}
			if f.gate.memory.size() != 1 {
				t.Error("a refused token was remembered")
			}
		})
	}
}

type minter func(...clerkstandin.MintOption) string

func headerRefusals(mint minter) []refusalCase {
	header := clerkstandin.WithHeader
	cases := []refusalCase{
		{"alg missing", mint(clerkstandin.WithoutHeaders("alg")), OutcomeAlgorithm},
		{"alg null", mint(header("alg", nil)), OutcomeAlgorithm},
		{"alg array", mint(header("alg", []string{"RS256"})), OutcomeAlgorithm},
		{"alg in other case", mint(header("alg", "rs256")), OutcomeAlgorithm},
		{"alg name in other case", mint(clerkstandin.WithoutHeaders("alg"), header("ALG", "RS256")), OutcomeAlgorithm},
		{"typ of an access token", mint(header("typ", "at+jwt")), OutcomeType},
		{"typ in lower case", mint(header("typ", "jwt")), OutcomeType},
		{"typ empty", mint(header("typ", "")), OutcomeType},
		{"typ null", mint(header("typ", nil)), OutcomeType},
		{"typ number", mint(header("typ", 1)), OutcomeType},
		{"category of a template", mint(header("cat", clerkstandin.CategoryTemplate)), OutcomeCategory},
		{"category of a machine", mint(header("cat", clerkstandin.CategoryMachine)), OutcomeCategory},
		{"category unknown", mint(header("cat", "cl_B7d4PD999AAA")), OutcomeCategory},
		{"category in other case", mint(header("cat", strings.ToLower(clerkstandin.CategorySession))), OutcomeCategory},
		{"category empty", mint(header("cat", "")), OutcomeCategory},
		{"category null", mint(header("cat", nil)), OutcomeCategory},
		{"category list", mint(header("cat", []string{clerkstandin.CategorySession})), OutcomeCategory},
		{"kid missing", mint(clerkstandin.WithoutHeaders("kid")), OutcomeUnknownKey},
		{"kid empty", mint(header("kid", "")), OutcomeUnknownKey},
		{"kid number", mint(header("kid", 7)), OutcomeUnknownKey},
		{"kid unknown", mint(header("kid", "ins_2unknown")), OutcomeUnknownKey},
		{"kid as a path", mint(header("kid", "../../../../dev/null")), OutcomeUnknownKey},
		{"kid as a URL", mint(header("kid", "https://evil.example/key")), OutcomeUnknownKey},
		{"kid as SQL", mint(header("kid", "x' UNION SELECT 'key")), OutcomeUnknownKey},
		{"kid with a NUL", mint(header("kid", "ins_\x00")), OutcomeUnknownKey},
		{"kid of 4,000 bytes", mint(header("kid", strings.Repeat("k", 4000))), OutcomeUnknownKey},
	}
	for _, name := range forbiddenHeaders {
		for what, value := range map[string]any{"string": "x", "null": nil, "list": []string{"exp"}} {
			cases = append(cases, refusalCase{"header " + name + " " + what, mint(header(name, value)), OutcomeType})
		}
	}
	return cases
}

func claimRefusals(mint minter, now time.Time) []refusalCase {
	claim, without := clerkstandin.WithClaim, clerkstandin.WithoutClaims
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	cases := []refusalCase{
		{"exp past", mint(claim("exp", at(-6*time.Second))), OutcomeExpired},
		{"exp past by the leeway", mint(claim("exp", at(-5*time.Second))), OutcomeExpired},
		{"exp past, as a fraction", mint(claim("exp", float64(at(-6*time.Second))+0.5)), OutcomeExpired},
		{"exp zero", mint(claim("exp", 0)), OutcomeExpired},
		{"exp missing", mint(without("exp")), OutcomeClaims},
		{"exp null", mint(claim("exp", nil)), OutcomeClaims},
		{"exp as a string", mint(claim("exp", fmt.Sprint(at(time.Hour)))), OutcomeClaims},
		{"exp negative", mint(claim("exp", -1)), OutcomeClaims},
		{"exp beyond every calendar", mint(claim("exp", 1e18)), OutcomeClaims},
		{"exp in milliseconds", mint(claim("exp", at(time.Hour)*1000)), OutcomeClaims},
		{"exp boolean", mint(claim("exp", true)), OutcomeClaims},
		{"exp name in other case", mint(without("exp"), claim("EXP", at(time.Hour))), OutcomeClaims},
		{"nbf ahead", mint(claim("nbf", at(6*time.Second))), OutcomeNotYetValid},
		{"nbf null", mint(claim("nbf", nil)), OutcomeClaims},
		{"nbf as a string", mint(claim("nbf", "0")), OutcomeClaims},
		{"iat ahead", mint(claim("iat", at(6*time.Second))), OutcomeNotYetValid},
		{"iat missing", mint(without("iat")), OutcomeClaims},
		{"iat as a string", mint(claim("iat", fmt.Sprint(now.Unix()))), OutcomeClaims},
		{"sid missing", mint(without("sid")), OutcomeClaims},
		{"sid empty", mint(claim("sid", "")), OutcomeClaims},
		{"sid null", mint(claim("sid", nil)), OutcomeClaims},
		{"sid of a kilobyte", mint(claim("sid", strings.Repeat("s", 1024))), OutcomeClaims},
		{"sid with a line break", mint(claim("sid", "sess_\n1")), OutcomeClaims},
		{"azp of another", mint(claim("azp", "https://evil.example")), OutcomeAuthorizedParty},
		{"azp with a slash", mint(claim("azp", theParty+"/")), OutcomeAuthorizedParty},
		{"azp missing", mint(without("azp")), OutcomeAuthorizedParty},
		{"azp empty", mint(claim("azp", "")), OutcomeAuthorizedParty},
		{"azp null", mint(claim("azp", nil)), OutcomeAuthorizedParty},
		{"azp list", mint(claim("azp", []string{theParty})), OutcomeAuthorizedParty},
		{"aud missing", mint(without("aud")), OutcomeAudience},
		{"aud of another", mint(claim("aud", "profile-api-2")), OutcomeAudience},
		{"aud list of others", mint(claim("aud", []string{"a", "b"})), OutcomeAudience},
		{"aud empty list", mint(claim("aud", []string{})), OutcomeAudience},
		{"aud mixed list", mint(claim("aud", []any{"profile-api", 1})), OutcomeAudience},
		{"aud object", mint(claim("aud", map[string]any{"profile-api": true})), OutcomeAudience},
		{"session pending", mint(claim("sts", "pending")), OutcomePending},
		{"sts null", mint(claim("sts", nil)), OutcomeClaims},
		{"sts list", mint(claim("sts", []string{"active"})), OutcomeClaims},
		{"act a string", mint(claim("act", "user_2admin")), OutcomeClaims},
		{"act without sub", mint(claim("act", map[string]any{"iss": "x"})), OutcomeClaims},
		{"act with an empty sub", mint(claim("act", map[string]any{"sub": ""})), OutcomeClaims},
		{"act with a number as sub", mint(claim("act", map[string]any{"sub": 1})), OutcomeClaims},
		{"act with a line break in sub", mint(claim("act", map[string]any{"sub": "a\nb"})), OutcomeClaims},
		{"fva a number", mint(claim("fva", 0)), OutcomeClaims},
		{"fva of strings", mint(claim("fva", []string{"0", "0"})), OutcomeClaims},
		{"fva beyond int64", mint(claim("fva", []float64{1e300, -1})), OutcomeClaims},
		{"expired and of another issuer", mint(claim("exp", at(-time.Hour)), claim("iss", "https://evil.example")), OutcomeIssuer},
		{"expired and pending", mint(claim("exp", at(-time.Hour)), claim("sts", "pending")), OutcomePending},
	}
	for _, sub := range []any{
		nil, "", "user_", "User_2abc", "org_2abc", "mch_2abc", " user_2abc", "user_2abc ", "user_2abc\n", "user_a/../b",
		"user_2abc\x00", "user_" + strings.Repeat("a", 65), "user_é", 42, []string{"user_2abc"},
	} {
		cases = append(cases, refusalCase{fmt.Sprintf("sub %.20q", fmt.Sprint(sub)), mint(claim("sub", sub)), OutcomeClaims})
	}
	cases = append(cases, refusalCase{"sub missing", mint(without("sub")), OutcomeClaims})
	return append(cases, issuerRefusals(mint)...)
}

func issuerRefusals(mint minter) []refusalCase {
	const host = clerkstandin.DefaultHost
	cases := []refusalCase{{"iss missing", mint(clerkstandin.WithoutClaims("iss")), OutcomeIssuer}}
	for _, iss := range []any{
		"", nil, "https://" + host + "/", "https://" + strings.ToUpper(host), "HTTPS://" + host, "http://" + host,
		"https://" + host + ":443", "https://" + host + ".", "https://" + host + ".evil.example", "https://x." + host,
		"https://user@" + host, "https://" + host + "@evil.example", "https://evil.example/https://" + host,
		"https://" + host + "#", "https://" + host + "?", " https://" + host, "https://" + host + "\n", "https://" + host + "\x00",
		"https://clerk.evil.example", "https://another.clerk.accounts.dev", host, []string{"https://" + host},
		"https://stаndin.clerk.accounts.dev", // a Cyrillic а
	} {
		cases = append(cases, refusalCase{fmt.Sprintf("iss %q", fmt.Sprint(iss)), mint(clerkstandin.WithClaim("iss", iss)), OutcomeIssuer})
	}
	return cases
}

func formRefusals(t *testing.T, mint minter) []refusalCase {
	t.Helper()
	good := mint()
	h, c, s := split(good)
	b64 := base64.RawURLEncoding.EncodeToString
	rawHeader, rawClaims := clerkstandin.WithRawHeader, clerkstandin.WithRawClaims
	cases := []refusalCase{
		{"empty", "", OutcomeMalformed},
		{"dots alone", "..", OutcomeMalformed},
		{"no signature", h + "." + c + ".", OutcomeMalformed},
		{"no signature, no dot", h + "." + c, OutcomeMalformed},
		{"no claims", h + ".." + s, OutcomeMalformed},
		{"no header", "." + c + "." + s, OutcomeMalformed},
		{"four parts", good + "." + s, OutcomeMalformed},
		{"five parts, as encrypted", good + ".a.b", OutcomeMalformed},
		{"closing dot", good + ".", OutcomeMalformed},
		{"leading space", " " + good, OutcomeMalformed},
		{"trailing space", good + " ", OutcomeMalformed},
		{"trailing line break", good + "\n", OutcomeMalformed},
		{"line break within", h[:10] + "\r\n" + h[10:] + "." + c + "." + s, OutcomeMalformed},
		{"tab within", h + "." + c[:9] + "\t" + c[9:] + "." + s, OutcomeMalformed},
		{"no-break space", good + "\u00a0", OutcomeMalformed},
		{"NUL within", h + "." + c + "\x00." + s, OutcomeMalformed},
		{"NUL behind", good + "\x00", OutcomeMalformed},
		{"padded signature", good + "==", OutcomeMalformed},
		{"padded header", h + "=." + c + "." + s, OutcomeMalformed},
		{"Bearer twice", "Bearer " + good, OutcomeMalformed},
		{"two tokens", good + "," + good, OutcomeMalformed},
		{"flattened JWS JSON", fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, c, h, s), OutcomeMalformed},
		{"general JWS JSON", fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, c, h, s), OutcomeMalformed},
		{"standard alphabet", standardAlphabet(t, mint), OutcomeMalformed},
		{"other spelling of the signature's last bits", h + "." + c + "." + otherSpelling(t, s), OutcomeMalformed},
		{"signature of one character", h + "." + c + ".A", OutcomeMalformed},
		{"random bytes", b64([]byte{0xff, 0xfe}) + "." + b64([]byte{1, 2}) + "." + b64([]byte{3}), OutcomeMalformed},
		{"nested token as claims", mint(rawClaims([]byte(good))), OutcomeMalformed},
		{"nested token as a JSON string", mint(rawClaims([]byte(`"` + good + `"`))), OutcomeMalformed},
	}
	kid := `"kid":"` + clerkstandin.KeyID(&keyA().PublicKey) + `"`
	for name, raw := range map[string]string{
		"null": `null`, "list": `[]`, "string": `"RS256"`, "cut off": `{"alg":"RS256"`, "trailing data": `{"alg":"RS256",` + kid + `}{}`,
		"alg twice":           `{"alg":"none","alg":"RS256",` + kid + `}`,
		"kid twice":           `{"alg":"RS256",` + kid + `,` + kid + `}`,
		"name twice, escaped": `{"alg":"RS256","\u0061lg":"none",` + kid + `}`,
		"invalid UTF-8":       "{\"alg\":\"RS256\",\"x\":\"\xff\"," + kid + "}",
		"raw NUL":             "{\"alg\":\"RS256\",\"x\":\"\x00\"," + kid + "}",
		"lone surrogate":      `{"alg":"RS256","x":"\ud800",` + kid + `}`,
		"byte order mark":     "\ufeff{\"alg\":\"RS256\"," + kid + "}",
		"comment":             `{"alg":"RS256",/**/` + kid + `}`,
	} {
		cases = append(cases, refusalCase{"header JSON " + name, mint(rawHeader([]byte(raw))), OutcomeMalformed})
	}
	plain, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.TrimSuffix(string(plain), "}")
	for name, raw := range map[string]string{
		"null": `null`, "list": `[` + string(plain) + `]`, "cut off": body, "trailing data": string(plain) + "x",
		"sub twice": body + `,"sub":"user_2admin"}`, "exp twice": body + `,"exp":99999999999}`,
		"name twice within": body + `,"x":{"role":"a","role":"b"}}`, "invalid UTF-8": body + ",\"x\":\"\xc3\"}",
		"NaN": body + `,"x":NaN}`, "raw NUL": body + ",\"x\":\"\x00\"}", "deep": body + `,"x":` + strings.Repeat("[", 4000),
	} {
		cases = append(cases, refusalCase{"claims JSON " + name, mint(rawClaims([]byte(raw))), OutcomeMalformed})
	}
	return append(cases,
		refusalCase{"8,193 bytes", ofLength(t, mint, 8193), OutcomeMalformed},
		refusalCase{"exp beyond float64", mint(rawClaims([]byte(body + `,"nbf2":0,"exp":1e999}`))), OutcomeMalformed}, // exp twice as well
		refusalCase{"exp 1e999", mint(rawClaims([]byte(`{"sub":"user_2a","sid":"sess_2a","iat":0,"exp":1e999}`))), OutcomeClaims},
	)
}

func split(token string) (header, claims, signature string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

// standardAlphabet spells a token with + and / where base64url has - and _.
func standardAlphabet(t *testing.T, mint minter) string {
	t.Helper()
	for range 100 {
		token := mint()
		if spelt := strings.NewReplacer("-", "+", "_", "/").Replace(token); spelt != token {
			return spelt
		}
	}
	t.Fatal("no token holds - or _")
	return ""
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// otherSpelling changes the bits of the last character that encode nothing.
func otherSpelling(t *testing.T, part string) string {
	t.Helper()
	if len(part)%4 == 0 {
		t.Fatal("the part has no idle bits")
	}
	last := strings.IndexByte(alphabet, part[len(part)-1])
	spelt := part[:len(part)-1] + string(alphabet[last^1])
	a, err1 := base64.RawURLEncoding.DecodeString(part)
	b, err2 := base64.RawURLEncoding.DecodeString(spelt)
	if err1 != nil || err2 != nil || string(a) != string(b) {
		t.Fatal("the spellings do not mean the same bytes")
	}
	return spelt
}

// ofLength mints a token of exactly n bytes. Not every length can be had by
// padding the claims alone: base64 knows no part of 4k+1 characters.
func ofLength(t *testing.T, mint minter, n int) string {
	t.Helper()
	for headerPad := range 4 {
		base := len(mint(clerkstandin.WithHeader("pad", strings.Repeat("h", headerPad)), clerkstandin.WithClaim("pad", "")))
		for pad := (n - base) / 4 * 3; pad < (n-base)/4*3+8; pad++ {
			token := mint(clerkstandin.WithHeader("pad", strings.Repeat("h", headerPad)),
				clerkstandin.WithClaim("pad", strings.Repeat("c", pad)))
			if len(token) == n {
				return token
			}
		}
	}
	t.Fatalf("no token of %d bytes", n)
	return ""
}

func signatureRefusals(t *testing.T, f *fixture, mint minter) []refusalCase {
	t.Helper()
	kid, key := f.clerk.CurrentKey()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	alg := func(name string) clerkstandin.MintOption { return clerkstandin.WithHeader("alg", name) }
	hs := func(secret []byte) clerkstandin.MintOption {
		return clerkstandin.WithSigner(func(in []byte) []byte { return mac(sha256.New, secret, in) })
	}
	rs := func(h crypto.Hash, pss bool) clerkstandin.MintOption {
		return clerkstandin.WithSigner(func(in []byte) []byte { return rsaSign(t, key, h, pss, in) })
	}
	zeros := clerkstandin.WithSigner(func([]byte) []byte { return make([]byte, 256) })
	otherJWK := clerkstandin.PublicJWK(kid, &keyB().PublicKey)
	cases := []refusalCase{
		{"another instance's key under our kid", mint(clerkstandin.WithKey(kid, keyB())), OutcomeSignature},
		{"our key under another kid", mint(clerkstandin.WithKey("ins_2other", key)), OutcomeUnknownKey},
		{"expired and badly signed", mint(clerkstandin.WithKey(kid, keyB()), clerkstandin.WithLifetime(-time.Hour)), OutcomeSignature},
		{"signature of zeros", mint(zeros), OutcomeSignature},
		{"signature too short", mint(clerkstandin.WithSigner(func([]byte) []byte { return []byte{1} })), OutcomeSignature},
		{"signature too long", mint(clerkstandin.WithSigner(func(in []byte) []byte {
			return append([]byte{0}, clerkstandin.SignRS256(key, in)...)
		})), OutcomeSignature},
		{"PS256 said to be RS256", mint(rs(crypto.SHA256, true)), OutcomeSignature},
		{"RS512 said to be RS256", mint(rs(crypto.SHA512, false)), OutcomeSignature},
		{"RS384", mint(alg("RS384"), rs(crypto.SHA384, false)), OutcomeAlgorithm},
		{"RS512", mint(alg("RS512"), rs(crypto.SHA512, false)), OutcomeAlgorithm},
		{"PS256", mint(alg("PS256"), rs(crypto.SHA256, true)), OutcomeAlgorithm},
		{"ES256", mint(alg("ES256"), clerkstandin.WithSigner(func(in []byte) []byte { return ecSign(t, ec, in) })), OutcomeAlgorithm},
		{"EdDSA", mint(alg("EdDSA")), OutcomeAlgorithm},
		{"key brought along (jwk)", mint(clerkstandin.WithKey(kid, keyB()), clerkstandin.WithHeader("jwk", otherJWK)), OutcomeType},
		{"key pointed to (jku)", mint(clerkstandin.WithKey(kid, keyB()), clerkstandin.WithHeader("jku", "https://evil.example/jwks")), OutcomeType},
		{"certificate brought along (x5c)", mint(clerkstandin.WithKey(kid, keyB()), clerkstandin.WithHeader("x5c", []string{"MIIB"})), OutcomeType},
		{"extension demanded (crit)", mint(clerkstandin.WithHeader("crit", []string{"b64"}), clerkstandin.WithHeader("b64", false)), OutcomeType},
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", " RS256", "RS256 ", "RS256\x00"} {
		cases = append(cases, refusalCase{fmt.Sprintf("alg %q", none), mint(alg(none), zeros), OutcomeAlgorithm})
	}
	cases = append(cases, refusalCase{"alg none without a signature",
		mint(alg("none"), clerkstandin.WithSigner(func([]byte) []byte { return nil })), OutcomeMalformed})
	for name, secret := range map[string][]byte{
		"PEM": []byte(f.clerk.PublicKeyPEM()), "DER": der, "modulus": key.N.Bytes(), "kid": []byte(kid), "nothing": nil,
	} {
		cases = append(cases,
			refusalCase{"HS256 under the public key as " + name, mint(alg("HS256"), hs(secret)), OutcomeAlgorithm},
			refusalCase{"HS256 said to be RS256 under " + name, mint(hs(secret)), OutcomeSignature})
	}
	return cases
}

func mac(h func() hash.Hash, secret, input []byte) []byte {
	m := hmac.New(h, secret)
	m.Write(input)
	return m.Sum(nil)
}

func rsaSign(t *testing.T, key *rsa.PrivateKey, h crypto.Hash, pss bool, input []byte) []byte {
	t.Helper()
	d := h.New()
	d.Write(input)
	var sig []byte
	var err error
	if pss {
		sig, err = rsa.SignPSS(rand.Reader, key, h, d.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		sig, err = rsa.SignPKCS1v15(rand.Reader, key, h, d.Sum(nil))
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func ecSign(t *testing.T, key *ecdsa.PrivateKey, input []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(input)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// Every single-bit change anywhere in a token makes it another token.
func TestRefusesEveryBitFlip(t *testing.T) {
	f := newFixture(t, newManualClock())
	token := f.clerk.Mint()
	if got := f.verify(t, token); got != OutcomeOK {
		t.Fatal(got)
	}
	for i := range len(token) {
		for bit := range 8 {
			flipped := []byte(token)
			flipped[i] ^= 1 << bit
			if got := f.verify(t, string(flipped)); got == OutcomeOK {
				t.Fatalf("accepted with bit %d of byte %d flipped", bit, i)
			}
		}
		if cut := token[:i]; f.verify(t, cut) == OutcomeOK {
			t.Fatalf("accepted when cut after %d bytes", i)
		}
	}
}

// A refusal's text must be fit for a log: it holds nothing of the token.
func TestRefusalsRepeatNothingOfTheToken(t *testing.T) {
	f := newFixture(t, newManualClock())
	const canary = "canary-7f3a"
	for _, token := range []string{
		f.clerk.Mint(clerkstandin.WithClaim("iss", canary)), f.clerk.Mint(clerkstandin.WithClaim("azp", canary)),
		f.clerk.Mint(clerkstandin.WithClaim("sub", canary)), f.clerk.Mint(clerkstandin.WithHeader("kid", canary)),
		f.clerk.Mint(clerkstandin.WithHeader("cat", canary)), f.clerk.Mint(clerkstandin.WithHeader("alg", canary)), canary,
	} {
		_, err := f.gate.Verify(t.Context(), token)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("error %v", err)
		}
	}
}
