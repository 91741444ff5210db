package domain

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxObjectBytes  = 8 << 10 // compact, numbers written out
	maxObjectDepth  = 32      // the object itself is the first level
	maxObjectFaults = 20      // reported; a body can hold thousands
)

// mergeObject applies a merge patch (RFC 7396) to a stored JSON object. A nil
// patch empties it. The result is compact, with sorted keys and with numbers
// written without exponents, as jsonb keeps them: 1e300 must not pass for five
// bytes. changed tells whether it differs from what is stored. A result that
// breaks a rule is not returned; faults then lists why, pointers below at.
func mergeObject(stored, patch json.RawMessage, at string) (merged json.RawMessage, changed bool, faults []FieldError) {
	old, ok := decodeObject(stored)
	if !ok {
		old = map[string]any{}
	}
	next := map[string]any{}
	if patch != nil {
		if !utf8.Valid(patch) {
			return nil, false, []FieldError{{at, FieldInvalidUTF8, "Must be valid UTF-8."}}
		}
		p, ok := decodeObject(patch)
		if !ok {
			return nil, false, []FieldError{{at, FieldInvalidType, "Must be an object or null."}}
		}
		next = mergeMaps(old, p)
	}
	c := objectCheck{}
	c.object(next, at, 1)
	if len(c.faults) > 0 {
		return nil, false, c.faults
	}
	merged = compact(next)
	if len(merged) > maxObjectBytes {
		return nil, false, []FieldError{{at, FieldTooLong, "At most 8 KiB of JSON, numbers written out."}}
	}
	c.object(old, at, 1) // brings the stored numbers into the same form
	return merged, !bytes.Equal(merged, compact(old)), nil
}

func decodeObject(raw json.RawMessage) (map[string]any, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || m == nil {
		return nil, false
	}
	_, err := d.Token()
	return m, err == io.EOF
}

// mergeMaps returns a new map; RFC 7396, section 2.
func mergeMaps(target, patch map[string]any) map[string]any {
	out := maps.Clone(target)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, k)
		case map[string]any:
			inner, _ := out[k].(map[string]any)
			out[k] = mergeMaps(inner, v)
		default:
			out[k] = v
		}
	}
	return out
}

func compact(m map[string]any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(m) // of decoded JSON: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// objectCheck walks a JSON value, gathers faults and rewrites numbers in place.
type objectCheck struct{ faults []FieldError }

func (c *objectCheck) refuse(at, code, detail string) {
	if len(c.faults) < maxObjectFaults {
		c.faults = append(c.faults, FieldError{at, code, detail})
	}
}

func (c *objectCheck) object(m map[string]any, at string, depth int) {
	if !c.level(at, depth) {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if f := textFault(k); f != nil {
			c.refuse(at, f.code, "Keys must not hold control characters.")
			continue
		}
		m[k] = c.value(m[k], at+"/"+escapePointer(k), depth)
	}
}

func (c *objectCheck) value(v any, at string, depth int) any {
	switch v := v.(type) {
	case string:
		if f := textFault(v); f != nil {
			c.refuse(at, f.code, f.detail)
		}
	case json.Number:
		plain, ok := plainNumber(string(v))
		if !ok {
			c.refuse(at, FieldOutOfRange, "Must fit a 64-bit floating-point number.")
		}
		return json.Number(plain)
	case map[string]any:
		c.object(v, at, depth+1)
	case []any:
		if c.level(at, depth+1) {
			for i := range v {
				v[i] = c.value(v[i], at+"/"+strconv.Itoa(i), depth+1)
			}
		}
	}
	return v
}

func (c *objectCheck) level(at string, depth int) bool {
	if depth > maxObjectDepth {
		c.refuse(at, FieldTooDeep, "At most 32 levels of nesting.")
		return false
	}
	return true
}

func escapePointer(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// plainNumber writes a JSON number without exponent, digit for digit as
// PostgreSQL's numeric does, and tells whether a float64 can hold it.
func plainNumber(n string) (string, bool) {
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return n, false // too large
	}
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(n), "e")
	digits, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if f == 0 {
		if strings.Trim(whole+fraction, "0") != "" {
			return n, false // too small
		}
		if scientific {
			return "0", true
		}
		return digits, true // PostgreSQL knows no negative zero
	}
	if scientific {
		shift, err := strconv.Atoi(exponent)
		if err != nil {
			return n, false
		}
		whole, fraction = shiftPoint(whole, fraction, shift)
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative {
		whole = "-" + whole
	}
	return whole, true
}

// shiftPoint moves the decimal point to the right (left when negative).
func shiftPoint(whole, fraction string, by int) (string, string) {
	if by >= 0 {
		fraction += strings.Repeat("0", max(by-len(fraction), 0))
		whole, fraction = whole+fraction[:by], fraction[by:]
	} else {
		whole = strings.Repeat("0", max(-by-len(whole), 0)) + whole
		whole, fraction = whole[:len(whole)+by], whole[len(whole)+by:]+fraction
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	return whole, fraction
}
