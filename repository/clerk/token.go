package clerk

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const maxTokenBytes = 8 << 10

// Categories that the header cat may name; the template's (cl_B7d4PD222AAA),
// the machine's (cl_B7d4PD333AAA) and every other are refused. Clerk puts the
// second on tokens of all kinds for instances that opted out of categories: it
// says as little as an absent one, and such tokens are known as a session's by
// their sid alone. Clerk's own backend SDK decides the same way.
const (
	categorySession = "cl_B7d4PD111AAA"
	categoryUnsaid  = "cl_I7d4PD111III"
)

// forbiddenHeaders ask for what we do not do: bring or point to a key (RFC 7515,
// 4.1.2 to 4.1.8), demand extensions (crit, b64), compress, encrypt or nest.
var forbiddenHeaders = []string{
	"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty",
}

// object is a JSON object read strictly: UTF-8, no name twice at any depth,
// nothing behind it, names compared by their exact case.
type object map[string]jsontext.Value

// parsed is a token whose form is right. Nothing in it is verified.
type parsed struct {
	kid    string // empty when absent
	claims object
}

// parse checks the form and the header of a compact JWS (RFC 7515, section 7.1).
func parse(token string) (parsed, Outcome) {
	if !compactForm(token) {
		return parsed{}, OutcomeMalformed
	}
	parts := strings.Split(token, ".")
	header, ok := decodeObject(parts[0])
	if !ok {
		return parsed{}, OutcomeMalformed
	}
	claims, ok := decodeObject(parts[1])
	if !ok {
		return parsed{}, OutcomeMalformed
	}
	if _, err := strictBase64.DecodeString(parts[2]); err != nil {
		return parsed{}, OutcomeMalformed
	}
	kid, outcome := checkHeader(header)
	return parsed{kid: kid, claims: claims}, outcome
}

// strictBase64 also refuses trailing bits that are not zero, so that a token
// has one spelling only.
var strictBase64 = base64.RawURLEncoding.Strict()

// compactForm tells whether the token is three non-empty parts of base64url's
// own alphabet. Go's decoder alone would skip line breaks.
func compactForm(token string) bool {
	dots, length := 0, 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			if length == 0 {
				return false
			}
			dots++
			length = 0
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			length++
		default:
			return false
		}
	}
	return dots == 2 && length > 0
}

func decodeObject(part string) (object, bool) {
	raw, err := strictBase64.DecodeString(part)
	if err != nil {
		return nil, false
	}
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, false
	}
	return o, true
}

// checkHeader returns the kid of a header that asks for RS256 and nothing else.
func checkHeader(h object) (kid string, outcome Outcome) {
	if alg, state := h.text("alg"); state != present || alg != algorithm {
		return "", OutcomeAlgorithm
	}
	for _, name := range forbiddenHeaders {
		if _, there := h[name]; there {
			return "", OutcomeType
		}
	}
	if typ, state := h.text("typ"); state == wrong || (state == present && typ != "JWT") {
		return "", OutcomeType
	}
	if cat, state := h.text("cat"); state == wrong || (state == present && cat != categorySession && cat != categoryUnsaid) {
		return "", OutcomeCategory
	}
	kid, state := h.text("kid")
	if state == wrong || (state == present && kid == "") {
		return "", OutcomeUnknownKey
	}
	return kid, OutcomeOK
}

// state is what a member of an object turned out to be.
type state int

const (
	absent state = iota
	present
	wrong // there, but of another type; null is of another type
)

func (o object) text(name string) (string, state) {
	raw, there := o[name]
	if !there {
		return "", absent
	}
	s, ok := text(raw)
	if !ok {
		return "", wrong
	}
	return s, present
}

func text(raw jsontext.Value) (string, bool) {
	if raw.Kind() != '"' {
		return "", false
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err == nil
}

func (o object) number(name string) (float64, state) {
	raw, there := o[name]
	if !there {
		return 0, absent
	}
	var f float64
	if raw.Kind() != '0' || json.Unmarshal(raw, &f) != nil { // beyond float64 is an error
		return 0, wrong
	}
	return f, present
}

// members reads a nested object; false when raw is something else.
func members(raw jsontext.Value) (object, bool) {
	var o object
	if raw.Kind() != '{' || json.Unmarshal(raw, &o) != nil {
		return nil, false
	}
	return o, true
}
