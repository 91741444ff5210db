package domain_test

import (
	"crypto/rand"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/profile-api/profile-api/domain"
)

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return string(b)
}

// Whatever a text holds, Apply either refuses it and changes nothing, or what
// is stored is accepted again as no change.
func TestApplyIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		anything := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9_#:/.\-]{0,40}`),
			rapid.SampledFrom([]string{"https://a.example/x", "en-GB", "UTC", "#aabbcc", "private", "ada"}))
		opt := func(name string) domain.Opt[string] {
			return rapid.SampledFrom([]domain.Opt[string]{{}, domain.Null[string](), domain.Some(anything.Draw(t, name))}).Draw(t, name+"?")
		}
		patch := domain.ProfilePatch{
			Handle: opt("handle"), DisplayName: opt("name"), Bio: opt("bio"), BannerURL: opt("url"), Location: opt("location"),
			ThemeColor: opt("color"), Locale: opt("locale"), TimeZone: opt("zone"), Visibility: opt("visibility"),
			Metadata: domain.Some(json.RawMessage(`{"k":` + quote(anything.Draw(t, "metadata")) + `}`)),
		}
		p := newProfile()
		changed, err := p.Apply(patch, noon)
		if err != nil && (p.Version != 1 || changed != nil) {
			t.Fatalf("refused with %v, but version %d, changed %v", err, p.Version, changed)
		}
		if err == nil {
			if changed, err = p.Apply(patch, noon); err != nil || changed != nil {
				t.Fatalf("the second time: %v, %v", changed, err)
			}
		}
	})
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
