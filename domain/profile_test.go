package domain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // as the program does

	"github.com/profile-api/profile-api/domain"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func newProfile() *domain.Profile { return domain.NewProfile("user_1", "ada", noon) }

func long(n int) string { return strings.Repeat("é", n) }

// A fault is written pointer code.
func faults(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *domain.Error
	if !errors.As(err, &e) || !errors.Is(err, domain.Invalid) || e.Code() != domain.CodeValidationFailed {
		t.Fatalf("not a validation error: %v", err)
	}
	out := []string{}
	for _, f := range e.Fields() {
		if f.Detail == "" {
			t.Errorf("%s %s has no detail", f.Pointer, f.Code)
		}
		out = append(out, f.Pointer+" "+f.Code)
	}
	return out
}

func TestTextRules(t *testing.T) {
	some := domain.Some[string]
	fields := map[string]func(string) domain.ProfilePatch{
		"handle":       func(s string) domain.ProfilePatch { return domain.ProfilePatch{Handle: some(s)} },
		"display_name": func(s string) domain.ProfilePatch { return domain.ProfilePatch{DisplayName: some(s)} },
		"bio":          func(s string) domain.ProfilePatch { return domain.ProfilePatch{Bio: some(s)} },
		"banner_url":   func(s string) domain.ProfilePatch { return domain.ProfilePatch{BannerURL: some(s)} },
		"location":     func(s string) domain.ProfilePatch { return domain.ProfilePatch{Location: some(s)} },
		"theme_color":  func(s string) domain.ProfilePatch { return domain.ProfilePatch{ThemeColor: some(s)} },
		"locale":       func(s string) domain.ProfilePatch { return domain.ProfilePatch{Locale: some(s)} },
		"time_zone":    func(s string) domain.ProfilePatch { return domain.ProfilePatch{TimeZone: some(s)} },
		"visibility":   func(s string) domain.ProfilePatch { return domain.ProfilePatch{Visibility: some(s)} },
	}
	cases := []struct {
		field string
		code  string // empty: accepted
		in    []string
	}{
		{"handle", "", []string{"abc", "A_1", "Grace_Hopper", strings.Repeat("a", 30), "___", "123"}},
		{"handle", "too_short", []string{"", "a", "ab"}},
		{"handle", "too_long", []string{strings.Repeat("a", 31)}},
		{"handle", "invalid_format", []string{"a b", "a-b", "ab.", "héllo", "a\x00b", "abc\n", "../x", "\xffabc", "İstanbul", "a/../b", strings.Repeat("-", 40)}},
		{"handle", "reserved", []string{"admin", "Admin", "SUPPORT", "root", "api", "help", "profiles", "null"}},
		{"display_name", "", []string{"A", long(100), "  Ada  ", "👩‍🚀 Ada"}},
		{"display_name", "too_short", []string{"", "   ", "\u00a0\u2003"}},
		{"display_name", "too_long", []string{long(101)}},
		{"display_name", "control_characters", []string{"a\x00", "a\nb", "tab\t", "Ada\n", "a\u0085b", "a\x7f", "\u009b"}},
		{"display_name", "invalid_utf8", []string{"a\xff", "\xed\xa0\x80"}},
		{"bio", "", []string{"", "one\ntwo\r\nthree", long(500), "<script>"}},
		{"bio", "too_long", []string{long(501)}},
		{"bio", "control_characters", []string{"a\rb", "a\tb", "\x00", "a\n\rb", "\x1b[31m"}},
		{"location", "", []string{"", "Zürich", long(100)}},
		{"location", "too_long", []string{long(101)}},
		{"location", "control_characters", []string{"a\nb"}},
		{"banner_url", "", []string{"https://a.example/x?y#z", "HTTPS://EXAMPLE.com", "https://[2001:db8::1]:8443/", "https://bücher.example/ü",
			"https://example.com./", "https://e.com/" + strings.Repeat("a", 2048-14)}},
		{"banner_url", "too_long", []string{"https://e.com/" + strings.Repeat("a", 2049-14)}},
		{"banner_url", "not_https", []string{"http://a.example", "javascript:alert(1)", "data:text/html,x", "ftp://a.example/", "mailto:a@b.example"}},
		{"banner_url", "invalid_format", []string{"", "https://", "https:///path", "https:a.example", "//a.example/x", "/relative", "a.example", "https://u:p@a.example/",
			"https://u@a.example", "https://a.example\\@b.example", "https://a b.example", "https://a.example/ x", "https://a..example", "https://.", "https://a.example:99999",
			"https://a.example:", "https://a.example:0", "https://[::1", "https://%zz", "https://a.example/%zz", "https://a.example/<x>", "https://a,b.example",
			"https://" + strings.Repeat("a", 64) + ".example"}},
		{"banner_url", "control_characters", []string{"https://a.example/\x00", "https://a.example/\nx"}},
		{"theme_color", "", []string{"#aabbcc", "#AABBCC", "#012345"}},
		{"theme_color", "invalid_format", []string{"", "#abc", "aabbcc", "#aabbcg", "#aabbccd", "red", "#aabbc\n", "#ÀÀÀ"}},
		{"locale", "", []string{"en", "pt-BR", "zh-Hant-TW", "de-CH-1996", "sl-rozaj-biske", "es-419", "en-US-u-hc-h12", "x-private", "i-klingon", "en-GB-oed",
			"zh-cmn-Hans-CN", "de-x-a-1", "EN-us", "en-a-bbb-x-a", "sgn-BE-FR", "ab-c-def-d-efg"}},
		{"locale", "invalid_format", []string{"", "e", "english", "engl", "en_US", "en-", "-en", "en--US", "en-US-US", "x", "en-x", "en-a", "en-a-b", "en-u-hc-u-h12",
			"de-1996-1996", "en\n", "en-toolongsubtag", "1n", "ën", "en-US-Latn", "*", "a-DE", "en-xx-yy", "ar-a-aaa-b-bbb-a-ccc", "fr-abc-def-ghi-jkl"}},
		{"locale", "too_long", []string{"en-" + strings.Repeat("abcde1-", 15)}},
		{"time_zone", "", []string{"UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"}},
		{"time_zone", "unknown", []string{"", "Local", "localtime", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe/", "Europe", "europe/\x00", "posix/UTC",
			"right/UTC", "posixrules", "Factory", "+01:00", "zone.tab", "Europe/Paris\n", "Europe//Paris", "Europe/../Europe/Paris", strings.Repeat("A", 65)}},
		{"visibility", "", []string{"public", "private"}},
		{"visibility", "unknown", []string{"", "Public", "hidden"}},
	}
	for _, c := range cases {
		for _, in := range c.in {
			p := newProfile()
			before := *p
			_, err := p.Apply(fields[c.field](in), noon)
			want := []string{"/" + c.field + " " + c.code}
			if c.code == "" {
				want = nil
			}
			if got := faults(t, err); !reflect.DeepEqual(got, want) {
				t.Errorf("%s %.60q: got %v, want %v", c.field, in, got, want)
			}
			if err != nil && !reflect.DeepEqual(*p, before) {
				t.Errorf("%s %.60q: refused, but the profile changed", c.field, in)
			}
		}
	}
}

func TestApplyCollectsEveryFaultAndChangesNothing(t *testing.T) {
	p := newProfile()
	before := *p
	_, err := p.Apply(domain.ProfilePatch{
		Handle: domain.Null[string](), DisplayName: domain.Some(""), Bio: domain.Some("fine"), Visibility: domain.Null[string](),
		Links: domain.Some([]domain.Link{
			{Label: "ok", URL: "https://ok.example"},
			{Label: "", URL: "http://plain.example"},
			{Label: long(51), URL: ""},
			{Label: "  ", URL: "https://ok.example"},
		}),
		Metadata: domain.Some(json.RawMessage(`{"a/b~c":["x","\u0000"],"n":1e999,"tiny":1e-400,"ok":1}`)),
	}, noon)
	want := []string{
		"/handle required", "/display_name too_short", "/visibility required",
		"/links/1/label too_short", "/links/1/url not_https", "/links/2/label too_long", "/links/2/url invalid_format", "/links/3/label too_short",
		"/metadata/a~1b~0c/1 control_characters", "/metadata/n out_of_range", "/metadata/tiny out_of_range",
	}
	if got := faults(t, err); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !reflect.DeepEqual(*p, before) {
		t.Error("a refused patch changed the profile")
	}
	eleven := make([]domain.Link, 11)
	if _, err := p.Apply(domain.ProfilePatch{Links: domain.Some(eleven)}, noon); !slices.Equal(faults(t, err), []string{"/links too_many"}) {
		t.Errorf("eleven links: %v", err)
	}
}

func TestApplySetsClearsAndTellsWhatChanged(t *testing.T) {
	p := newProfile()
	later := noon.Add(time.Hour)
	changed, err := p.Apply(domain.ProfilePatch{
		Handle: domain.Some("Ada_L"), DisplayName: domain.Some("  Ada  "), Bio: domain.Some("x\ny"), Visibility: domain.Some("private"),
		ThemeColor: domain.Some("#AAbbcc"), Locale: domain.Some("pt-BR"), TimeZone: domain.Some("Europe/Paris"), Location: domain.Some("London"),
		BannerURL: domain.Some("https://a.example/b.png"),
		Links:     domain.Some([]domain.Link{{Label: "home", URL: "https://a.example"}}), Metadata: domain.Some(json.RawMessage(`{"a":1}`)),
	}, later)
	all := []string{"handle", "display_name", "bio", "banner_url", "location", "theme_color", "locale", "time_zone", "visibility", "links", "metadata"}
	if err != nil || !slices.Equal(changed, all) {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if p.Version != 2 || !p.UpdatedAt.Equal(later.Truncate(time.Microsecond)) || p.CreatedAt.Equal(p.UpdatedAt) {
		t.Errorf("version %d, updated %s", p.Version, p.UpdatedAt)
	}
	if *p.DisplayName != "Ada" || p.Handle != "Ada_L" || *p.ThemeColor != "#AAbbcc" || p.Visibility != domain.VisibilityPrivate {
		t.Errorf("stored %+v", p)
	}

	again := *p
	changed, err = p.Apply(domain.ProfilePatch{
		Handle: domain.Some("Ada_L"), DisplayName: domain.Some("Ada "), Visibility: domain.Some("private"),
		Links: domain.Some(slices.Clone(p.Links)), Metadata: domain.Some(json.RawMessage(`{"a":1e0,"b":null}`)), Location: domain.Opt[string]{},
	}, later.Add(time.Hour))
	if err != nil || changed != nil || !reflect.DeepEqual(*p, again) {
		t.Errorf("repeated: %v, %v", changed, err)
	}
	if changed, err = p.Apply(domain.ProfilePatch{}, later); err != nil || changed != nil || !reflect.DeepEqual(*p, again) {
		t.Errorf("empty patch: %v, %v", changed, err)
	}

	changed, err = p.Apply(domain.ProfilePatch{
		DisplayName: domain.Null[string](), Bio: domain.Null[string](), BannerURL: domain.Null[string](), Location: domain.Null[string](),
		ThemeColor: domain.Null[string](), Locale: domain.Null[string](), TimeZone: domain.Null[string](),
		Links: domain.Null[[]domain.Link](), Metadata: domain.Null[json.RawMessage](),
	}, later)
	if err != nil || len(changed) != 9 {
		t.Fatalf("cleared %v, %v", changed, err)
	}
	if p.DisplayName != nil || p.TimeZone != nil || p.Links == nil || len(p.Links) != 0 || string(p.Metadata) != "{}" {
		t.Errorf("after clearing: %+v", p)
	}
	if changed, err = p.Apply(domain.ProfilePatch{Bio: domain.Null[string](), Links: domain.Null[[]domain.Link](), Metadata: domain.Null[json.RawMessage]()}, later); err != nil || changed != nil {
		t.Errorf("clearing what is clear: %v, %v", changed, err)
	}
}

func TestHandleMayChangeCaseAndKeepAnOldReservedName(t *testing.T) {
	p := domain.NewProfile("user_1", "Support", noon) // from before it was reserved
	if changed, err := p.Apply(domain.ProfilePatch{Handle: domain.Some("Support")}, noon); err != nil || changed != nil {
		t.Errorf("the same: %v, %v", changed, err)
	}
	if changed, err := p.Apply(domain.ProfilePatch{Handle: domain.Some("support")}, noon); err != nil || !slices.Equal(changed, []string{"handle"}) {
		t.Errorf("another case: %v, %v", changed, err)
	}
	if _, err := p.Apply(domain.ProfilePatch{Handle: domain.Some("admin")}, noon); !slices.Equal(faults(t, err), []string{"/handle reserved"}) {
		t.Errorf("another reserved one: %v", err)
	}
}

func TestMetadataMerge(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	cases := []struct{ name, stored, patch, want, fault string }{
		{"RFC 7396 adds, replaces, removes", `{"a":"b","c":{"d":"e","f":"g"}}`, `{"a":"z","c":{"f":null,"h":[1,null]}}`, `{"a":"z","c":{"d":"e","h":[1,null]}}`, ""},
		{"object over scalar loses its nulls", `{"a":1}`, `{"a":{"b":null,"c":{"d":null}}}`, `{"a":{"c":{}}}`, ""},
		{"array over object", `{"a":{"b":1}}`, `{"a":[]}`, `{"a":[]}`, ""},
		{"numbers written out", `{}`, `{"a":1e3,"b":-1.50e1,"c":2E-3,"d":-0,"e":0e9,"f":12345678901234567890,"g":-0.0,"h":1.5e0}`,
			`{"a":1000,"b":-15.0,"c":0.002,"d":0,"e":0,"f":12345678901234567890,"g":0.0,"h":1.5}`, ""},
		{"no HTML escapes", `{}`, `{"a":"<&>"}`, `{"a":"<&>"}`, ""},
		{"8 KiB exactly", `{}`, `{"a":"` + strings.Repeat("x", 8192-8) + `"}`, `{"a":"` + strings.Repeat("x", 8192-8) + `"}`, ""},
		{"a byte more", `{}`, `{"a":"` + strings.Repeat("x", 8192-7) + `"}`, "", "/metadata too_long"},
		{"too long together", `{"a":"` + strings.Repeat("x", 5000) + `"}`, `{"b":"` + strings.Repeat("x", 5000) + `"}`, "", "/metadata too_long"},
		{"short only by exponents", `{}`, `{"a":[` + strings.Repeat("1e308,", 40) + `1]}`, "", "/metadata too_long"},
		{"32 levels", `{}`, deep(32), deep(32), ""},
		{"33 levels", `{}`, deep(33), "", "/metadata" + strings.Repeat("/a", 32) + " too_deep"},
		{"key with a NUL", `{}`, `{"a":{"\u0000":1}}`, "", "/metadata/a control_characters"},
		{"removing a NUL key is nothing", `{}`, `{"\u0000":null}`, `{}`, ""},
		{"line break in a string", `{}`, `{"a":"x\ny"}`, "", "/metadata/a control_characters"},
		{"array", `{}`, `[1]`, "", "/metadata invalid_type"},
		{"string", `{}`, `"x"`, "", "/metadata invalid_type"},
		{"JSON null inside a value", `{"a":1}`, `null`, "", "/metadata invalid_type"},
		{"two values", `{}`, `{} {}`, "", "/metadata invalid_type"},
		{"bytes that are not UTF-8", `{}`, "{\"a\":\"\xff\"}", "", "/metadata invalid_utf8"},
	}
	for _, c := range cases {
		p := newProfile()
		p.Metadata = json.RawMessage(c.stored)
		_, err := p.Apply(domain.ProfilePatch{Metadata: domain.Some(json.RawMessage(c.patch))}, noon)
		var want []string
		if c.fault != "" {
			want, c.want = []string{c.fault}, c.stored
		}
		if got := faults(t, err); !slices.Equal(got, want) {
			t.Errorf("%s: got %.200q, want %.200q", c.name, got, want)
		}
		if string(p.Metadata) != c.want {
			t.Errorf("%s: stored %.200s, want %.200s", c.name, p.Metadata, c.want)
		}
	}
}

func TestMetadataThatOnlyLooksDifferentIsNoChange(t *testing.T) {
	p := newProfile()
	p.Metadata = json.RawMessage(`{"b": {"x": 100}, "a": [1, 0.50]}`) // as jsonb prints it
	changed, err := p.Apply(domain.ProfilePatch{Metadata: domain.Some(json.RawMessage(`{"a":[1e0,5.0e-1],"b":{"x":1e2,"gone":null}}`))}, noon)
	if err != nil || changed != nil || p.Version != 1 {
		t.Errorf("changed %v, %v, version %d", changed, err, p.Version)
	}
}

func TestMetadataFaultsAreBounded(t *testing.T) {
	patch := `{"a":[` + strings.Repeat(`"\u0000",`, 5000) + `1]}`
	_, err := newProfile().Apply(domain.ProfilePatch{Metadata: domain.Some(json.RawMessage(patch))}, noon)
	if n := len(faults(t, err)); n < 2 || n > 50 {
		t.Errorf("%d faults", n)
	}
}

func TestSuspensionAndVisibility(t *testing.T) {
	owner, other := domain.Principal{UserID: "user_1"}, domain.Principal{UserID: "user_2", Role: domain.RoleAdmin}
	before, after := noon.Add(-time.Second), noon.Add(time.Second)
	cases := []struct {
		name       string
		visibility domain.Visibility
		status     domain.Status
		until      *time.Time
		suspended  bool
		others     bool
	}{
		{"public", domain.VisibilityPublic, domain.StatusActive, nil, false, true},
		{"private", domain.VisibilityPrivate, domain.StatusActive, nil, false, false},
		{"suspended for good", domain.VisibilityPublic, domain.StatusSuspended, nil, true, false},
		{"suspended still", domain.VisibilityPublic, domain.StatusSuspended, &after, true, false},
		{"ends this instant", domain.VisibilityPublic, domain.StatusSuspended, &noon, false, true},
		{"ended", domain.VisibilityPublic, domain.StatusSuspended, &before, false, true},
		{"ended, private", domain.VisibilityPrivate, domain.StatusSuspended, &before, false, false},
		{"active with an old end", domain.VisibilityPublic, domain.StatusActive, &after, false, true},
	}
	for _, c := range cases {
		p := newProfile()
		p.Visibility, p.Status, p.SuspendedUntil = c.visibility, c.status, c.until
		wantStatus := domain.StatusActive
		if c.suspended {
			wantStatus = domain.StatusSuspended
		}
		if p.SuspendedAt(noon) != c.suspended || p.StatusAt(noon) != wantStatus {
			t.Errorf("%s: suspended %v", c.name, p.SuspendedAt(noon))
		}
		if p.VisibleTo(domain.Principal{}, noon) != c.others || p.VisibleTo(other, noon) != c.others || !p.VisibleTo(owner, noon) {
			t.Errorf("%s: visible to others %v, to its owner %v", c.name, p.VisibleTo(other, noon), p.VisibleTo(owner, noon))
		}
	}
	if (&domain.Profile{}).OwnedBy(domain.Principal{}) {
		t.Error("nobody owns a profile without a person")
	}
}

func TestNewProfileAndItsHandle(t *testing.T) {
	id := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		h, err := domain.NewHandle(bytes.NewReader([]byte(randomText(10))))
		if err != nil || !domain.ValidHandle(h) || domain.ReservedHandle(h) || seen[h] {
			t.Fatalf("handle %q, %v", h, err)
		}
		seen[h] = true
	}
	if _, err := domain.NewHandle(bytes.NewReader(nil)); err == nil {
		t.Error("no randomness, no error")
	}
	p := newProfile()
	if !id.MatchString(p.ID) || p.Version != 1 || p.Status != domain.StatusActive || p.Visibility != domain.VisibilityPublic {
		t.Errorf("%+v", p)
	}
	if first, second := domain.NewID(noon), domain.NewID(noon.Add(time.Millisecond)); first >= second {
		t.Errorf("%s is not before %s", first, second)
	}
}

func TestIfMatch(t *testing.T) {
	for _, c := range []struct {
		m    domain.IfMatch
		want bool
	}{
		{domain.IfMatch{}, true},
		{domain.IfMatch{Present: true}, false},
		{domain.IfMatch{Present: true, Any: true}, true},
		{domain.IfMatch{Present: true, Versions: []int64{1, 7}}, true},
		{domain.IfMatch{Present: true, Versions: []int64{1, 8}}, false},
	} {
		if got := c.m.Allows(7); got != c.want {
			t.Errorf("%+v: %v", c.m, got)
		}
	}
}

func TestAuditEventHoldsNoPersonalData(t *testing.T) {
	hashes := domain.NewPseudonymizer("k")
	caller := domain.Caller{Principal: domain.Principal{UserID: "user_secret", Impersonator: "user_boss"}, RequestID: "r1", Network: "192.0.2.0/24"}
	e := domain.OwnAuditEvent(domain.ActionProfileCreated, "p1", caller, hashes, nil, noon)
	text, err := json.Marshal(e)
	if err != nil || bytes.Contains(text, []byte("user_")) {
		t.Fatalf("%s, %v", text, err)
	}
	actor, impersonator := "p1", hashes.Hash(domain.PurposeImpersonator, "user_boss")
	want := domain.AuditEvent{
		ID: e.ID, OccurredAt: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC), Action: "profile.created", ActorKind: "user", ActorID: &actor,
		Impersonator: &impersonator, ProfileID: "p1", ChangedFields: []string{}, RequestID: "r1", ClientNetwork: "192.0.2.0/24",
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
}
