package domain_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testhooks"
)

const (
	secretOne   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretTwo   = "whsec_c2Vjb25kIHNlY3JldCBvZiB0aGUgdGVzdHM="
	secretOther = "whsec_bm9ib2R5IGhhcyBzZXQgdGhpcyBvbmU="
)

func secretsOf(t testing.TB, list ...string) domain.WebhookSecrets {
	t.Helper()
	s, err := domain.NewWebhookSecrets(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// message is a webhook on its way.
type message struct {
	id, timestamp, signatures string
	body                      []byte
}

// signed has Svix's library sign it.
func signed(t testing.TB, secret, id string, at time.Time, body []byte) message {
	t.Helper()
	h := testhooks.Header(t, secret, id, at, body)
	return message{id, h.Get("Svix-Timestamp"), h.Get("Svix-Signature"), body}
}

// taken is our verdict.
func (m message) taken(s domain.WebhookSecrets, now time.Time) error {
	return s.Verify(m.id, m.timestamp, m.signatures, m.body, now)
}

// takenBySvix is the library's: under one of the secrets, now.
func (m message) takenBySvix(t testing.TB, secrets ...string) bool {
	t.Helper()
	for _, secret := range secrets {
		if testhooks.Accepts(t, secret, m.id, m.timestamp, m.signatures, m.body) {
			return true
		}
	}
	return false
}

// Time stands still in a bubble of synctest, so that the library can be asked about the very ends of the window.
func TestVerifyJudgesAsSvixDoes(t *testing.T) {
	body := []byte(`{"type":"user.created","data":{"id":"user_1"}}`)
	swapCase := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r - 32
			}
			if r >= 'A' && r <= 'Z' {
				return r + 32
			}
			return r
		}, s)
	}
	cases := map[string]func(m *message){
		"as signed":                     func(*message) {},
		"another body":                  func(m *message) { m.body = append([]byte(" "), m.body...) },
		"an empty body":                 func(m *message) { m.body = nil },
		"another id":                    func(m *message) { m.id = "msg_2" },
		"no id":                         func(m *message) { m.id = "" },
		"no timestamp":                  func(m *message) { m.timestamp = "" },
		"no signature":                  func(m *message) { m.signatures = "" },
		"another timestamp":             func(m *message) { m.timestamp += "0" },
		"a timestamp of letters":        func(m *message) { m.timestamp = "now" },
		"a timestamp with a fraction":   func(m *message) { m.timestamp += ".5" },
		"a timestamp that is too large": func(m *message) { m.timestamp = "99999999999999999999" },
		"the largest timestamp":         func(m *message) { m.timestamp = "9223372036854775807" },
		"the smallest timestamp":        func(m *message) { m.timestamp = "-9223372036854775808" },
		"the point moved":               func(m *message) { m.id, m.timestamp = m.id+"."+m.timestamp[:1], m.timestamp[1:] },
		"v1a only":                      func(m *message) { m.signatures = "v1a" + m.signatures[2:] },
		"v2 only":                       func(m *message) { m.signatures = "v2" + m.signatures[2:] },
		"V1":                            func(m *message) { m.signatures = "V1" + m.signatures[2:] },
		"no version":                    func(m *message) { m.signatures = m.signatures[3:] },
		"a version alone":               func(m *message) { m.signatures = "v1" },
		"v1 and nothing":                func(m *message) { m.signatures = "v1," },
		"v1a first":                     func(m *message) { m.signatures = "v1a,AAAA " + m.signatures },
		"a wrong one first":             func(m *message) { m.signatures = "v1,AAAA " + m.signatures },
		"a wrong one last":              func(m *message) { m.signatures += " v1,AAAA" },
		"two spaces":                    func(m *message) { m.signatures = "v1,AAAA  " + m.signatures },
		"a space before":                func(m *message) { m.signatures = " " + m.signatures },
		"a space after":                 func(m *message) { m.signatures += " " },
		"a tab between":                 func(m *message) { m.signatures = "v1,AAAA\t" + m.signatures },
		"a space inside":                func(m *message) { m.signatures = "v1, " + m.signatures[3:] },
		"commas between":                func(m *message) { m.signatures = "v1,AAAA," + m.signatures },
		"truncated":                     func(m *message) { m.signatures = m.signatures[:len(m.signatures)-1] },
		"without padding":               func(m *message) { m.signatures = strings.TrimRight(m.signatures, "=") },
		"more padding":                  func(m *message) { m.signatures += "=" },
		"upper case":                    func(m *message) { m.signatures = "v1," + strings.ToUpper(m.signatures[3:]) },
		"swapped case":                  func(m *message) { m.signatures = "v1," + swapCase(m.signatures[3:]) },
		"base64url": func(m *message) {
			m.signatures = "v1," + strings.NewReplacer("+", "-", "/", "_").Replace(m.signatures[3:]) + "x"
		},
		"under the second secret":  func(m *message) { *m = signed(t, secretTwo, m.id, unixOf(m), m.body) },
		"under a secret of nobody": func(m *message) { *m = signed(t, secretOther, m.id, unixOf(m), m.body) },
		"an id of many characters": func(m *message) { *m = signed(t, secretOne, strings.Repeat("m", 255), unixOf(m), m.body) },
		"an id with points":        func(m *message) { *m = signed(t, secretOne, "a.b.c", unixOf(m), m.body) },
		"both secrets, old first": func(m *message) {
			m.signatures = signed(t, secretTwo, m.id, unixOf(m), m.body).signatures + " " + m.signatures
		},
		"300 s old":                 func(m *message) { *m = signed(t, secretOne, m.id, unixOf(m).Add(-300*time.Second), m.body) },
		"301 s old":                 func(m *message) { *m = signed(t, secretOne, m.id, unixOf(m).Add(-301*time.Second), m.body) },
		"300 s ahead":               func(m *message) { *m = signed(t, secretOne, m.id, unixOf(m).Add(300*time.Second), m.body) },
		"301 s ahead":               func(m *message) { *m = signed(t, secretOne, m.id, unixOf(m).Add(301*time.Second), m.body) },
		"from before 1970":          func(m *message) { *m = signed(t, secretOne, m.id, time.Unix(-5, 0), m.body) },
		"a body of a megabyte":      func(m *message) { *m = signed(t, secretOne, m.id, unixOf(m), make([]byte, 1<<20)) },
		"a body that is not UTF-8":  func(m *message) { *m = signed(t, secretOne, m.id, unixOf(m), []byte("\xff\x00")) },
		"a body with the signature": func(m *message) { m.body = []byte(m.signatures) },
	}
	for _, fraction := range []time.Duration{0, 500 * time.Millisecond} { // now need not be a whole second
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(fraction)
			accepted := 0
			for name, change := range cases {
				m := signed(t, secretOne, "msg_1", time.Now(), body)
				change(&m)
				err := m.taken(secretsOf(t, secretOne, secretTwo), time.Now())
				if want := m.takenBySvix(t, secretOne, secretTwo); (err == nil) != want {
					t.Errorf("%s, %s into a second: %v, Svix takes it: %v", name, fraction, err, want)
				}
				if err == nil {
					accepted++
				} else {
					wantNoValue(t, m, err)
				}
			}
			if accepted < 12 || accepted > 16 {
				t.Errorf("%d of %d were accepted", accepted, len(cases))
			}
		})
	}
}

func unixOf(m *message) time.Time {
	seconds, err := strconv.ParseInt(m.timestamp, 10, 64)
	if err != nil {
		panic(err)
	}
	return time.Unix(seconds, 0)
}

// wantNoValue checks that a refusal is a 400 that repeats nothing.
func wantNoValue(t *testing.T, m message, err error) {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || e.Kind() != domain.Malformed || e.Code() != domain.CodeMalformedRequest || !strings.Contains(e.Message(), "svix-") {
		t.Errorf("refused with %v", err)
	}
	for _, value := range []string{m.id, m.timestamp, m.signatures} {
		if len(value) > 3 && strings.Contains(err.Error(), value) {
			t.Errorf("the error repeats a value: %v", err)
		}
	}
}

// Where we are stricter than the library: spellings that nobody signs.
func TestVerifyIsStricterThanSvix(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for name, change := range map[string]func(m *message){
		"a sign":                    func(m *message) { m.timestamp = "+" + m.timestamp },
		"a zero in front":           func(m *message) { m.timestamp = "0" + m.timestamp },
		"something after a comma":   func(m *message) { m.signatures += ",x" },
		"an id of 256 characters":   func(m *message) { *m = signed(t, secretOne, strings.Repeat("m", 256), now, m.body) },
		"an id with a space":        func(m *message) { *m = signed(t, secretOne, "msg 1", now, m.body) },
		"an id with a line break":   func(m *message) { *m = signed(t, secretOne, "msg\n1", now, m.body) },
		"an id that is not ASCII":   func(m *message) { *m = signed(t, secretOne, "msg_ü", now, m.body) },
		"an id with a NUL":          func(m *message) { *m = signed(t, secretOne, "msg\x00", now, m.body) },
		"an id of a space and more": func(m *message) { *m = signed(t, secretOne, " msg_1", now, m.body) },
	} {
		m := signed(t, secretOne, "msg_1", now, []byte("{}"))
		if err := m.taken(secretsOf(t, secretOne), now); err != nil {
			t.Fatalf("as signed: %v", err)
		}
		if change(&m); m.taken(secretsOf(t, secretOne), now) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// Each header and each byte of the body counts: whatever is changed, we refuse
// what the library refuses, and take what it takes.
func TestVerifyOfMutations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Now()
		body := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "body")
		id := rapid.StringMatching(`[!-~]{1,40}`).Draw(rt, "id")
		offset := rapid.IntRange(-290, 290).Draw(rt, "offset")
		m := signed(t, rapid.SampledFrom([]string{secretOne, secretTwo}).Draw(rt, "secret"), id, now.Add(time.Duration(offset)*time.Second), body)
		s := secretsOf(t, secretOne, secretTwo)
		if err := m.taken(s, now); err != nil {
			rt.Fatalf("as signed: %v", err)
		}
		original := m
		mutate(rt, &m)
		ours, theirs := m.taken(s, now) == nil, m.takenBySvix(t, secretOne, secretTwo)
		if ours && !theirs {
			rt.Fatalf("we accept what Svix refuses: %+v", m)
		}
		if ours && (m.id != original.id || m.timestamp != original.timestamp || !bytes.Equal(m.body, original.body)) {
			rt.Fatalf("accepted although it was changed: %+v", original)
		}
	})
}

// mutate changes one byte, or takes one out, or puts one in.
func mutate(rt *rapid.T, m *message) {
	change := func(b []byte) []byte {
		at := rapid.IntRange(0, len(b)).Draw(rt, "at")
		value := rapid.Byte().Draw(rt, "byte")
		switch kind := rapid.IntRange(0, 2).Draw(rt, "kind"); {
		case kind == 0 && at < len(b):
			b[at] ^= value
		case kind == 1 && at < len(b):
			b = append(b[:at:at], b[at+1:]...)
		default:
			b = append(b[:at:at], append([]byte{value}, b[at:]...)...)
		}
		return b
	}
	switch rapid.IntRange(0, 3).Draw(rt, "part") {
	case 0:
		m.id = string(change([]byte(m.id)))
	case 1:
		m.timestamp = string(change([]byte(m.timestamp)))
	case 2:
		m.signatures = string(change([]byte(m.signatures)))
	case 3:
		m.body = change(append([]byte{}, m.body...))
	}
}

// Every single byte of a body, and every bit of a signature.
func TestEveryByteIsSigned(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := secretsOf(t, secretOne)
	body := []byte(`{"type":"user.updated","data":{"id":"user_1","updated_at":1700000000000}}`)
	for i := range body {
		m := signed(t, secretOne, "msg_1", now, body)
		m.body = append([]byte{}, body...)
		m.body[i] ^= 1
		if m.taken(s, now) == nil {
			t.Errorf("byte %d does not count", i)
		}
	}
	m := signed(t, secretOne, "msg_1", now, body)
	for i := len("v1,"); i < len(m.signatures); i++ {
		for bit := range 8 {
			changed := []byte(m.signatures)
			changed[i] ^= 1 << bit
			c := m
			if c.signatures = string(changed); c.taken(s, now) == nil {
				t.Errorf("bit %d of character %d does not count", bit, i)
			}
		}
	}
}

func TestWebhookSecrets(t *testing.T) {
	for name, list := range map[string][]string{
		"no prefix": {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "another prefix": {"sk_test_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		"nothing": {""}, "the prefix alone": {"whsec_"}, "no base64": {"whsec_%%%%"}, "no padding": {"whsec_YQ"},
		"loose bits": {"whsec_YR=="}, "one of two": {secretOne, "whsec_?"},
	} {
		s, err := domain.NewWebhookSecrets(list)
		if !errors.Is(err, domain.Internal) || s.Any() || strings.Contains(err.Error(), "MfKQ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := secretsOf(t)
	now := time.Unix(1_700_000_000, 0)
	if m := signed(t, secretOne, "msg_1", now, nil); none.Any() || m.taken(none, now) == nil {
		t.Error("without a secret something verifies")
	}
}
