package clerk

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func TestBadAnswersKeepTheOldKeys(t *testing.T) {
	clock := newManualClock()
	f := newFixture(t, clock)
	f.refetch(t)
	kid, key := f.clerk.CurrentKey()
	other := clerkstandin.PublicJWK("ins_2other", &keyB().PublicKey)
	huge := fmt.Sprintf(`{"keys":[{"kid":%q,"kty":"RSA","n":%q,"e":%q}],"pad":%q}`,
		other.Kid, other.N, other.E, strings.Repeat("x", maxKeySetBytes))
	for name, fault := range map[string]clerkstandin.Fault{
		"500": {Status: 500}, "401": {Status: 401}, "HTML": {Body: []byte("<html>")}, "empty": {Body: []byte("")},
		"cut off": {Body: []byte(`{"keys":[`)}, "no keys": {Body: []byte(`{"keys":[]}`)}, "keys null": {Body: []byte(`{"keys":null}`)},
		"key without a kid": {Body: fmt.Appendf(nil, `{"keys":[{"kty":"RSA","n":%q,"e":%q}]}`, other.N, other.E)},
		"keys a string":     {Body: []byte(`{"keys":"x"}`)}, "list": {Body: []byte(`[]`)}, "null": {Body: []byte(`null`)},
		"too large":               {Body: []byte(huge)},
		"redirect to another set": {Status: 302, Header: map[string]string{"Location": "http://evil.test/v1/jwks"}, Body: []byte(huge[:0])},
		"redirect with a set":     {Status: 301, Body: fmt.Appendf(nil, `{"keys":[{"kid":%q,"kty":"RSA","n":%q,"e":%q}]}`, other.Kid, other.N, other.E)},
		"created, with a set":     {Status: 201, Body: fmt.Appendf(nil, `{"keys":[{"kid":%q,"kty":"RSA","n":%q,"e":%q}]}`, other.Kid, other.N, other.E)},
	} {
		t.Run(name, func(t *testing.T) {
			f.clerk.Break(fault)
			f.refetch(t)
			f.clerk.Heal()
			if f.keys.failures == 0 {
				t.Error("the fetch counts as a success")
			}
			if got := f.verify(t, f.clerk.Mint(clerkstandin.WithKey(kid, key))); got != OutcomeOK {
				t.Errorf("our key: %s", got)
			}
			if got := f.verify(t, f.clerk.Mint(clerkstandin.WithKey("ins_2other", keyB()))); got != OutcomeUnknownKey {
				t.Errorf("the key of the bad answer: %s", got)
			}
		})
	}
}

func TestOnlyFitKeysCount(t *testing.T) {
	f := newFixture(t, newManualClock())
	short, err := rsa.GenerateKey(rand.Reader, 1024) // the point of the test
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := func(kid string, change func(*clerkstandin.JWK)) clerkstandin.JWK {
		k := clerkstandin.PublicJWK(kid, &keyB().PublicKey)
		change(&k)
		return k
	}
	b64 := base64.RawURLEncoding.EncodeToString
	f.clerk.PublishAlso(
		jwk("bare", func(k *clerkstandin.JWK) { k.Use, k.Alg = "", "" }),
		jwk("for-encryption", func(k *clerkstandin.JWK) { k.Use = "enc" }),
		jwk("other-alg", func(k *clerkstandin.JWK) { k.Alg = "RS512" }),
		jwk("pss", func(k *clerkstandin.JWK) { k.Alg = "PS256" }),
		jwk("", func(*clerkstandin.JWK) {}),
		jwk("exponent-one", func(k *clerkstandin.JWK) { k.E = b64([]byte{1}) }),
		jwk("even-modulus", func(k *clerkstandin.JWK) {
			n := bytes.Clone(keyB().N.Bytes())
			n[len(n)-1] &^= 1
			k.N = b64(n)
		}),
		jwk("no-modulus", func(k *clerkstandin.JWK) { k.N = "" }),
		jwk("monstrous", func(k *clerkstandin.JWK) { k.N = b64(bytes.Repeat([]byte{0xff}, 4096)) }),
		jwk("unknown-kty", func(k *clerkstandin.JWK) { k.Kty = "XYZ" }),
		clerkstandin.PublicJWK("short", &short.PublicKey),
		map[string]any{"kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(ec.X.Bytes()), "y": b64(ec.Y.Bytes())},
		map[string]any{"kty": "oct", "kid": "secret", "k": b64([]byte("secret"))},
		"a string", 7, nil, []int{1},
		clerkstandin.PublicJWK("same-twice", &keyB().PublicKey), clerkstandin.PublicJWK("same-twice", &keyB().PublicKey),
		clerkstandin.PublicJWK("two-keys", &keyB().PublicKey), clerkstandin.PublicJWK("two-keys", &keyA().PublicKey),
	)
	f.refetch(t)
	for kid, c := range map[string]struct {
		key  *rsa.PrivateKey
		want Outcome
	}{
		"bare": {keyB(), OutcomeOK}, "same-twice": {keyB(), OutcomeOK}, clerkstandin.KeyID(&keyA().PublicKey): {keyA(), OutcomeOK},
		"for-encryption": {keyB(), OutcomeUnknownKey}, "other-alg": {keyB(), OutcomeUnknownKey}, "pss": {keyB(), OutcomeUnknownKey},
		"": {keyB(), OutcomeUnknownKey}, "exponent-one": {keyB(), OutcomeUnknownKey}, "even-modulus": {keyB(), OutcomeUnknownKey},
		"no-modulus": {keyB(), OutcomeUnknownKey}, "monstrous": {keyB(), OutcomeUnknownKey}, "unknown-kty": {keyB(), OutcomeUnknownKey},
		"short": {short, OutcomeUnknownKey}, "ec": {keyB(), OutcomeUnknownKey}, "secret": {keyB(), OutcomeUnknownKey},
		"two-keys": {keyB(), OutcomeUnknownKey},
	} {
		if got := f.verify(t, f.clerk.Mint(clerkstandin.WithKey(kid, c.key))); got != c.want {
			t.Errorf("kid %q: %s, want %s", kid, got, c.want)
		}
	}
}

// Over a real connection: the SDK finds the path, and a redirect is not followed.
func TestFetchesOverHTTP(t *testing.T) {
	clerk, err := clerkstandin.New(clerkstandin.Options{Key: keyA()})
	if err != nil {
		t.Fatal(err)
	}
	run, err := clerk.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = run.Close(context.WithoutCancel(t.Context())) }()
	keys, err := NewKeySet(KeySetOptions{
		APIURL: run.APIURL(), SecretKey: clerk.SecretKey(), Clock: wallClock{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	clerk.Break(clerkstandin.Fault{Status: 307, Header: map[string]string{"Location": run.URL() + "/.well-known/jwks.json"}})
	<-keys.refresh(t.Context())
	if clerk.KeyFetches() != 1 || keys.Check(t.Context()) == nil {
		t.Errorf("the redirect was followed: %d requests", clerk.KeyFetches())
	}
	clerk.Heal()
	<-keys.refresh(t.Context())
	if err := keys.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// panicking is a transport with a bug.
type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("canary-value") }

// The fetch has a goroutine of its own, where a panic would end the program: it is
// a fetch that failed, and a fault to report.
func TestAPanicOfAFetchIsAFailure(t *testing.T) {
	var log bytes.Buffer
	keys, err := NewKeySet(KeySetOptions{
		SecretKey: "sk_test_x", Clock: wallClock{}, HTTPClient: &http.Client{Transport: panicking{}}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	<-keys.refresh(t.Context())
	<-keys.refresh(t.Context()) // the first is over
	if n := strings.Count(log.String(), `fault="panic: `); n != 2 || strings.Contains(log.String(), "canary-value") {
		t.Errorf("%d faults: %s", n, log.String())
	}
}
