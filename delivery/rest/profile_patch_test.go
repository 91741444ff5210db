package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// é counts as one character and takes two bytes; 𝄞 takes four, and two UTF-16 units.
func chars(n int) string { return strings.Repeat("é", n-1) + "𝄞" }

func urlOf(n int) string { return "https://e.org/" + strings.Repeat("a", n-len("https://e.org/")) }

func links(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(`{"label":"l","url":"https://e.org/"},`, n), ",") + "]"
}

func TestPatchedFieldsKeepTheirRules(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		body   string
		faults string // "pointer code" of each; empty when the patch is taken
	}{
		{`{"handle":"abc"}`, ""},
		{`{"handle":"` + strings.Repeat("a", 30) + `"}`, ""},
		{`{"handle":"A_9"}`, ""},
		{`{"handle":"ab"}`, "/handle too_short"},
		{`{"handle":"` + strings.Repeat("a", 31) + `"}`, "/handle too_long"},
		{`{"handle":"a-b"}`, "/handle invalid_format"},
		{`{"handle":"ábc"}`, "/handle invalid_format"},
		{`{"handle":" abc"}`, "/handle invalid_format"},
		{`{"handle":"abc\n"}`, "/handle invalid_format"},
		{`{"handle":""}`, "/handle too_short"},
		{`{"handle":null}`, "/handle required"},
		{`{"handle":"me"}`, "/handle reserved"},
		{`{"handle":"admin"}`, "/handle reserved"},
		{`{"handle":"SupPort"}`, "/handle reserved"},

		{`{"display_name":"` + chars(100) + `"}`, ""},
		{`{"display_name":"  ` + chars(100) + `  "}`, ""},
		{`{"display_name":"` + chars(101) + `"}`, "/display_name too_long"},
		{`{"display_name":"   "}`, "/display_name too_short"},
		{`{"display_name":""}`, "/display_name too_short"},
		{`{"display_name":"a\nb"}`, "/display_name control_characters"},
		{`{"display_name":"a\u0000b"}`, "/display_name control_characters"},
		{`{"display_name":"a\u0085"}`, "/display_name control_characters"},

		{`{"bio":"` + chars(500) + `"}`, ""},
		{`{"bio":"a\nb\r\nc"}`, ""},
		{`{"bio":""}`, ""},
		{`{"bio":"` + chars(501) + `"}`, "/bio too_long"},
		{`{"bio":"a\tb"}`, "/bio control_characters"},
		{`{"bio":"a\u0000b"}`, "/bio control_characters"},

		{`{"location":"` + chars(100) + `"}`, ""},
		{`{"location":"` + chars(101) + `"}`, "/location too_long"},
		{`{"location":"a\nb"}`, "/location control_characters"},

		{`{"banner_url":"` + urlOf(2048) + `"}`, ""},
		{`{"banner_url":"` + urlOf(2049) + `"}`, "/banner_url too_long"},
		{`{"banner_url":"http://e.org/"}`, "/banner_url not_https"},
		{`{"banner_url":"javascript:alert(1)"}`, "/banner_url not_https"},
		{`{"banner_url":"//e.org/"}`, "/banner_url invalid_format"},
		{`{"banner_url":"https://u:p@e.org/"}`, "/banner_url invalid_format"},
		{`{"banner_url":""}`, "/banner_url invalid_format"},

		{`{"theme_color":"#1E90ff"}`, ""},
		{`{"theme_color":"#1e90f"}`, "/theme_color invalid_format"},
		{`{"theme_color":"red"}`, "/theme_color invalid_format"},
		{`{"locale":"pt-BR"}`, ""},
		{`{"locale":"pt_BR"}`, "/locale invalid_format"},
		{`{"time_zone":"Europe/Paris"}`, ""},
		{`{"time_zone":"Mars/Olympus"}`, "/time_zone unknown"},
		{`{"time_zone":"../../etc/passwd"}`, "/time_zone unknown"},
		{`{"visibility":"private"}`, ""},
		{`{"visibility":"Private"}`, "/visibility unknown"},
		{`{"visibility":null}`, "/visibility required"},

		{`{"links":` + links(10) + `}`, ""},
		{`{"links":` + links(11) + `}`, "/links too_many"},
		{`{"links":[{"label":"` + chars(50) + `","url":"https://e.org/"}]}`, ""},
		{`{"links":[{"label":"` + chars(51) + `","url":"https://e.org/"}]}`, "/links/0/label too_long"},
		{`{"links":[{"label":"","url":"https://e.org/"}]}`, "/links/0/label too_short"},
		{`{"links":[{"label":"a","url":"https://e.org/"},{"label":"b\u0000","url":"http://e.org/"}]}`, "/links/1/label control_characters, /links/1/url not_https"},
		{`{"links":[{"label":"a","url":"` + urlOf(2049) + `"}]}`, "/links/0/url too_long"},

		{`{"metadata":{"a":{"A":1,"a":2}}}`, ""}, // the front end's own names may differ by case
		{`{"metadata":{"k":"` + strings.Repeat("a", 8<<10-len(`{"k":""}`)) + `"}}`, ""},
		{`{"metadata":{"k":"` + strings.Repeat("a", 8<<10-len(`{"k":""}`)+1) + `"}}`, "/metadata too_long"},
		{`{"metadata":{"a":"b\u0000"}}`, "/metadata/a control_characters"},
		{`{"metadata":{"a":[1,{"b~/":"\n"}]}}`, "/metadata/a/1/b~0~1 control_characters"},
		{`{"metadata":{"n":1e308}}`, ""},
		{`{"metadata":{"n":1e309}}`, "/metadata/n out_of_range"},
		{`{"metadata":{"n":-1e999999999}}`, "/metadata/n out_of_range"},
		{`{"metadata":{"n":12345678901234567890.123456789}}`, ""},
		{`{"metadata":{"a":` + strings.Repeat(`[`, 31) + strings.Repeat(`]`, 31) + `}}`, ""},
		{`{"metadata":{"a":` + strings.Repeat(`[`, 32) + strings.Repeat(`]`, 32) + `}}`, "/metadata/a" + strings.Repeat("/0", 31) + " too_deep"},

		{`{"bio":"` + chars(501) + `","handle":"ab","theme_color":"red"}`, "/handle too_short, /bio too_long, /theme_color invalid_format"},
		// Faults of shape and of rules in one answer, none twice.
		{`{"handle":"a","bio":5,"foo":1,"theme_color":"x"}`, "/bio invalid_type, /foo unknown_field, /handle too_short, /theme_color invalid_format"},
		{`{"links":[{"label":7,"url":"ftp://e.org"}]}`, "/links/0/label invalid_type, /links/0/url not_https"},
	}
	for _, c := range cases {
		name := c.body[:min(len(c.body), 60)]
		p := w.person()
		got := w.patch(t, p, c.body)
		if c.faults == "" {
			if got.status != 200 || got.object(t)["version"] != 2.0 || got.header.Get("ETag") != `"v2"` {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
			continue
		}
		if got.status != 422 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
			continue
		}
		if f := got.faults(t); !slices.Equal(f, strings.Split(c.faults, ", ")) {
			t.Errorf("%s: faults %q, want %s", name, f, c.faults)
		}
		if m := w.me(t, p); m["version"] != 1.0 {
			t.Errorf("%s: refused, yet version %v", name, m["version"])
		}
	}
}

func TestFieldsThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	before := w.me(t, p)
	for _, field := range []string{
		"id", "clerk_user_id", "email", "avatar_url", "status", "app_metadata", "version", "created_at", "updated_at",
		"suspended_reason", "suspended_until", "role", "clerk_updated_at", "__proto__", "", "a/b~c",
	} {
		pointer := "/" + strings.ReplaceAll(strings.ReplaceAll(field, "~", "~0"), "/", "~1")
		for _, value := range []string{`"x"`, "null", "1", "{}"} {
			got := w.patch(t, p, fmt.Sprintf(`{"bio":"taken along","%s":%s}`, field, value))
			if f := got.faults(t); !slices.Equal(f, []string{pointer + " unknown_field"}) {
				t.Errorf("%s: %q", field, f)
			}
		}
	}
	after := w.me(t, p)
	for name, value := range before {
		if fmt.Sprint(after[name]) != fmt.Sprint(value) {
			t.Errorf("%s became %v", name, after[name])
		}
	}
}

func TestValuesOfTheWrongType(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.me(t, p)
	texts := []string{"handle", "display_name", "bio", "banner_url", "location", "theme_color", "locale", "time_zone", "visibility"}
	for _, field := range texts {
		for _, value := range []string{"1", "true", "[]", "{}", `["a"]`} {
			if f := w.patch(t, p, fmt.Sprintf(`{"%s":%s}`, field, value)).faults(t); !slices.Equal(f, []string{"/" + field + " invalid_type"}) {
				t.Errorf("%s: %s: %q", field, value, f)
			}
		}
	}
	cases := map[string]string{
		`{"links":"x"}`:                      "/links invalid_type",
		`{"links":{}}`:                       "/links invalid_type",
		`{"links":[1,null,[]]}`:              "/links/0 invalid_type, /links/1 invalid_type, /links/2 invalid_type",
		`{"links":[{"label":1,"url":null}]}`: "/links/0/label invalid_type, /links/0/url invalid_type",
		`{"links":[{"label":"a"}]}`:          "/links/0/url required",
		`{"links":[{}]}`:                     "/links/0/label required, /links/0/url required",
		`{"links":[{"label":"a","url":"https://e.org/","a/b":1}]}`: "/links/0/a~1b unknown_field",
		`{"metadata":[]}`:               "/metadata invalid_type",
		`{"metadata":"{}"}`:             "/metadata invalid_type",
		`{"metadata":1}`:                "/metadata invalid_type",
		`{"id":1,"bio":1,"links":[{}]}`: "/id unknown_field, /bio invalid_type, /links/0/label required, /links/0/url required",
	}
	for body, want := range cases {
		if f := w.patch(t, p, body).faults(t); !slices.Equal(f, strings.Split(want, ", ")) {
			t.Errorf("%s: %q", body, f)
		}
	}
	if m := w.me(t, p); m["version"] != 1.0 {
		t.Errorf("version %v", m["version"])
	}
}

func TestFaultsAreBounded(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,"u%d":1`, i)
	}
	for _, body := range []string{"{" + b.String()[1:] + "}", `{"links":[` + strings.Repeat("1,", 5000) + `1]}`} {
		if f := w.patch(t, w.person(), body).faults(t); len(f) != maxFaults {
			t.Errorf("%d faults", len(f))
		}
	}
}

func TestNullsClearAndAbsenceLeaves(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	full := `{"display_name":" D ","bio":"b","banner_url":"https://e.org/","location":"L","links":[{"label":"l","url":"https://e.org/"}],
		"theme_color":"#000000","locale":"de","time_zone":"UTC","metadata":{"a":1,"b":{"c":2,"d":3}}}`
	if m := w.patch(t, p, full).want(t, 200).object(t); m["display_name"] != "D" || m["version"] != 2.0 {
		t.Errorf("set: %v", m)
	}
	w.clock.Advance(time.Minute)
	m := w.patch(t, p, `{"metadata":{"a":null,"b":{"c":null},"e":[null]}}`).want(t, 200).object(t)
	if fmt.Sprint(m["metadata"]) != "map[b:map[d:3] e:[<nil>]]" || m["bio"] != "b" || m["updated_at"] != "2026-03-01T12:01:00Z" || m["created_at"] != "2026-03-01T12:00:00Z" {
		t.Errorf("merged: %v", m)
	}
	// Nothing to change: no new version, no event.
	events := w.count(t, "SELECT count(*) FROM audit_events")
	for _, body := range []string{`{}`, `{"bio":"b"}`, `{"metadata":{}}`, " \n{ } "} {
		if got := w.patch(t, p, body).want(t, 200); got.object(t)["version"] != 3.0 || got.header.Get("ETag") != `"v3"` {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	if n := w.count(t, "SELECT count(*) FROM audit_events"); n != events {
		t.Errorf("%d events for no change", n-events)
	}
	nulls := `{"display_name":null,"bio":null,"banner_url":null,"location":null,"links":null,"theme_color":null,"locale":null,"time_zone":null,"metadata":null}`
	got := w.patch(t, p, nulls).want(t, 200)
	cleared := got.object(t)
	wantNames(t, cleared, slices.Clone(ownFields)...)
	for _, field := range []string{"display_name", "bio", "banner_url", "location", "theme_color", "locale", "time_zone"} {
		if cleared[field] != nil {
			t.Errorf("%s is %v", field, cleared[field])
		}
	}
	if !strings.Contains(got.body, `"links":[]`) || !strings.Contains(got.body, `"metadata":{}`) || cleared["version"] != 4.0 {
		t.Errorf("cleared: %s", got.body)
	}
	if got.header.Get("Cache-Control") != "no-store" || !strings.Contains(got.header.Get("Accept-Patch"), "application/merge-patch+json") {
		t.Errorf("headers %v", got.header)
	}
}

func TestAPatchMayBeTheFirstRequest(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	if m := w.patch(t, p, `{"bio":"first"}`).want(t, 200).object(t); m["version"] != 2.0 || m["bio"] != "first" {
		t.Errorf("%v", m)
	}
	if n := w.count(t, "SELECT count(*) FROM audit_events"); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestBodiesThatAreNoRequest(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.me(t, p)
	for _, body := range []string{
		"", " ", "null", "[]", `[{"bio":"x"}]`, `"bio"`, "1", "true", "{", "}", `{"bio"}`, `{"bio":}`, `{"bio":"x",}`, `{bio:"x"}`, `{'bio':'x'}`,
		`{"bio":"x"}{}`, `{"bio":"x"} x`, `{"bio":"x"}]`, "{}\x00", "\x00{}", "\ufeff{}", `{"bio":"x"} // comment`, `{"bio":NaN}`, `{"bio":01}`,
		`{"bio":"x","bio":"x"}`, `{"bio":"x","b\u0069o":"y"}`, `{"metadata":{"a":1,"a":1}}`, `{"metadata":{"a":[{"b":1,"\u0062":2}]}}`, `{"nope":{"a":1,"a":2}}`,
		`{"links":[{"label":"a","label":"b","url":"https://e.org/"}]}`,
		`{"Bio":"x"}`, `{"BIO":"x"}`, `{"bio":"x","Bio":"y"}`, `{"lin\u212As":[]}`, `{"link\u017F":[]}`, `{"nope":1,"Nope":2}`,
		`{"links":[{"Label":"a","url":"https://e.org/"}]}`, `{"links":[{"label":"a","url":"https://e.org/","URL":"https://e.org/"}]}`,
		"{\"bio\":\"\xff\"}", "{\"\xc3\":1}", "{\"bio\":\"\xed\xa0\x80\"}", "{\"bio\":\"\xc0\x80\"}", `{"bio":"\ud800"}`, `{"bio":"\udc00\ud800"}`, `{"metadata":{"a":"\ud83d"}}`,
		"{\"bio\":\"a\nb\"}", "{\"bio\":\"a\x00b\"}", `{"bio":"\x41"}`,
		`{"metadata":` + strings.Repeat(`{"a":`, 10500) + "1" + strings.Repeat("}", 10499),
		strings.Repeat("[", 60000), `{"metadata":{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}}`,
	} {
		got := w.patch(t, p, body)
		if got.status != 400 {
			t.Errorf("%.60q: %d %.200s", body, got.status, got.body)
			continue
		}
		got.problem(t, 400, domain.CodeMalformedRequest)
	}
	if m := w.me(t, p); m["version"] != 1.0 {
		t.Errorf("version %v", m["version"])
	}
	// The same pair of halves is one character.
	if m := w.patch(t, p, `{"bio":"\ud834\udd1e"}`).want(t, 200).object(t); m["bio"] != "𝄞" {
		t.Errorf("bio %v", m["bio"])
	}
}

func TestMediaTypes(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	taken := []string{
		"application/merge-patch+json", "application/json", "Application/JSON", "application/json; charset=utf-8", `application/json;charset="UTF-8"`, "application/json;",
	}
	for _, value := range taken {
		w.patch(t, p, `{}`, mediaType(value)).want(t, 200)
	}
	refused := map[string]with{
		"none":           func(r *http.Request) { r.Header.Del("Content-Type") },
		"empty":          mediaType(""),
		"text":           mediaType("text/plain"),
		"form":           mediaType("application/x-www-form-urlencoded"),
		"JSON Patch":     mediaType("application/json-patch+json"),
		"a list":         mediaType("application/json, text/plain"),
		"two":            header("Content-Type", "application/json", "application/json"),
		"other charset":  mediaType("application/json; charset=iso-8859-1"),
		"ill-formed":     mediaType("application/json; charset"),
		"no type at all": mediaType("json"),
		"gzip":           header("Content-Encoding", "gzip"),
		"gzip, second":   header("Content-Encoding", "identity", "gzip"),
		"gzip in a list": header("Content-Encoding", "identity, gzip"),
	}
	for name, change := range refused {
		got := w.patch(t, p, `{"bio":"x"}`, change)
		if got.status != 415 {
			t.Errorf("%s: %d", name, got.status)
			continue
		}
		got.problem(t, 415, domain.CodeUnsupportedMediaType)
		if !strings.Contains(got.header.Get("Accept-Patch"), "application/merge-patch+json") { // RFC 5789, section 2.2
			t.Errorf("%s: Accept-Patch %q", name, got.header.Get("Accept-Patch"))
		}
	}
	w.patch(t, p, `{}`, header("Content-Encoding", "identity")).want(t, 200)
	if m := w.me(t, p); m["bio"] != nil {
		t.Errorf("bio %v", m["bio"])
	}
}

func TestBodySize(t *testing.T) {
	const limit = 1000
	w := newWorld(t, func(d *Deps) { d.MaxBodyBytes = limit })
	body := func(n int) string { return "{}" + strings.Repeat(" ", n-2) }
	undeclared := func(r *http.Request) { r.ContentLength = -1 }
	p := w.person()
	for _, change := range []with{func(*http.Request) {}, undeclared} {
		w.patch(t, p, body(limit), change).want(t, 200)
		got := w.patch(t, p, body(limit+1), change).problem(t, 413, domain.CodePayloadTooLarge)
		if got.header.Get("Connection") != "close" {
			t.Errorf("the connection goes on: %v", got.header)
		}
		w.patch(t, p, body(100*limit), change).problem(t, 413, domain.CodePayloadTooLarge)
	}
	w.do(t, "GET", "/v1/profiles/me", body(limit+1), p.is()).problem(t, 413, domain.CodePayloadTooLarge)
	w.do(t, "POST", "/nowhere", body(limit+1)).problem(t, 413, domain.CodePayloadTooLarge)
}

func TestIfMatch(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		name   string
		values []string
		taken  bool
	}{
		{"current", []string{`"v2"`}, true},
		{"star", []string{`*`}, true},
		{"in a list", []string{`"x", "v1" ,"v2"`}, true},
		{"in a second header", []string{`"v1"`, `"v2"`}, true},
		{"older", []string{`"v1"`}, false},
		{"newer", []string{`"v3"`}, false},
		{"weak", []string{`W/"v2"`}, false},
		{"not quoted", []string{`v2`}, false},
		{"the number", []string{`2`}, false},
		{"another spelling", []string{`"v02"`}, false},
		{"with a sign", []string{`"v+2"`}, false},
		{"garbage", []string{`"v99999999999999999999", ",,`}, false},
		{"empty", []string{``}, false},
	}
	for _, c := range cases {
		p := w.person()
		w.patch(t, p, `{"bio":"before"}`).want(t, 200)
		got := w.patch(t, p, `{"bio":"after"}`, header("If-Match", c.values...))
		wantBio, wantVersion := "after", 3.0
		if c.taken {
			got.want(t, 200)
		} else {
			wantBio, wantVersion = "before", 2.0
			got.problem(t, 412, domain.CodePreconditionFailed)
		}
		if m := w.me(t, p); m["bio"] != wantBio || m["version"] != wantVersion {
			t.Errorf("%s: %v in version %v", c.name, m["bio"], m["version"])
		}
	}
}

func TestHandlesAreOnePersonsWhateverTheCase(t *testing.T) {
	w := newWorld(t)
	ada, bob, handle := w.person(), w.person(), newHandle()
	upper := strings.ToUpper(handle)
	w.patch(t, ada, `{"handle":"`+handle+`"}`).want(t, 200)
	before := w.me(t, bob)
	for _, spelling := range []string{handle, upper} {
		got := w.patch(t, bob, `{"bio":"along","handle":"`+spelling+`"}`).problem(t, 409, domain.CodeHandleTaken)
		if strings.Contains(got.body, ada.id) {
			t.Error("tells whose it is")
		}
	}
	if m := w.me(t, bob); m["handle"] != before["handle"] || m["bio"] != nil {
		t.Errorf("changed all the same: %v", m)
	}
	if m := w.patch(t, ada, `{"handle":"`+upper+`"}`).want(t, 200).object(t); m["handle"] != upper {
		t.Errorf("handle %v", m["handle"])
	}
	// Released: kept for its last owner for 30 days.
	w.patch(t, ada, `{"handle":"`+newHandle()+`"}`).want(t, 200)
	w.do(t, "GET", "/v1/profiles/"+handle, nil).problem(t, 404, domain.CodeNotFound)
	w.patch(t, bob, `{"handle":"`+handle+`"}`).problem(t, 409, domain.CodeHandleTaken)
	w.patch(t, ada, `{"handle":"`+handle+`"}`).want(t, 200)
}
