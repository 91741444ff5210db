package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

func readBody(t *testing.T, body []byte) (domain.ProfilePatch, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/v1/profiles/me", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/merge-patch+json")
	return readProfilePatch(echo.New().NewContext(r, httptest.NewRecorder()), domain.NewProfile("user_1", "somebody", time.Unix(0, 0)), time.Unix(1, 0))
}

// Whatever comes: no panic, no fault of ours, and what is taken is one object
// without a name twice, whose every member the patch holds.
func FuzzReadProfilePatch(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"bio":"x"}`, `{"bio":null,"handle":"ada"}`, `{"links":[{"label":"l","url":"https://e.org/"}]}`, `{"metadata":{"a":{"b":[1,2e9,null]}}}`,
		`{"bio":"a","bio":"b"}`, `{"Bio":"a"}`, `{"bio":"\ud834\udd1e"}`, `{"bio":"\ud834"}`, "\ufeff{}", `{} {}`, `[]`, `{"links":[{"Label":1}]}`, `{"lin\u212As":1}`,
		`{"a/b~":1}`, `{"metadata":{"a":1,"\u0061":2}}`, "{\"bio\":\"\xff\"}", `{"version":1,"links":[null]}`, strings.Repeat("[", 300), `{"":0}`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		patch, err := readBody(t, body)
		if err != nil {
			if !errors.Is(err, domain.Malformed) && !errors.Is(err, domain.Invalid) {
				t.Fatalf("%q: %v", body, err)
			}
			var own *domain.Error
			if errors.As(err, &own); len(own.Fields()) > maxFaults {
				t.Fatalf("%d faults", len(own.Fields()))
			}
			return
		}
		value := jsontext.Value(body)
		if !value.IsValid(jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)) || value.Kind() != '{' {
			t.Fatalf("%q was taken", body)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(body, &object); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		for name := range object {
			if !slices.Contains(profilePatchFields, name) {
				t.Fatalf("%q was taken with %q", body, name)
			}
		}
		if n := membersOf(patch); n != len(object) {
			t.Fatalf("%q has %d members and became %d", body, len(object), n)
		}
		p := domain.NewProfile("user_1", "ada", now)
		if _, err := p.Apply(patch, now); err != nil && !errors.Is(err, domain.Invalid) {
			t.Fatalf("%q: %v", body, err)
		}
		if _, err := encodeJSON(ownView(p, now)); err != nil {
			t.Fatalf("%q was stored and cannot be shown: %v", body, err)
		}
	})
}

func membersOf(p domain.ProfilePatch) (n int) {
	for _, set := range []bool{
		p.Handle.Set, p.DisplayName.Set, p.Bio.Set, p.BannerURL.Set, p.Location.Set, p.ThemeColor.Set, p.Locale.Set, p.TimeZone.Set,
		p.Visibility.Set, p.Links.Set, p.Metadata.Set,
	} {
		if set {
			n++
		}
	}
	return n
}

// fold and strings.EqualFold agree on every pair of characters that differ by
// case alone, and on arbitrary pairs.
func TestFoldAgreesWithEqualFold(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for r := rune(1); r <= 0x1e943; r++ {
		s := string(r)
		for _, other := range []string{strings.ToUpper(s), strings.ToLower(s), strings.ToTitle(s), string(rune(random.IntN(0x2000)))} {
			if strings.EqualFold(s, other) != (fold(s) == fold(other)) {
				t.Fatalf("%q and %q", s, other)
			}
		}
	}
}

// Each of profilePatchFields has its place in the patch: none is forgotten in the reader.
func TestEveryWritableFieldIsRead(t *testing.T) {
	for _, field := range profilePatchFields {
		value := map[string]string{"links": "[]", "metadata": "{}"}[field]
		if value == "" {
			value = `"x"`
		}
		for _, v := range []string{value, "null"} {
			patch, err := readBody(t, fmt.Appendf(nil, `{%q:%s}`, field, v))
			if err != nil || membersOf(patch) != 1 {
				t.Errorf("%s %s: %d members, %v", field, v, membersOf(patch), err)
			}
		}
	}
}
