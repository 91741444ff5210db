package firewall

import (
	"encoding/json"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/profile-api/profile-api/deploy/waf"
)

// harmless is a request that is no attack.
type harmless struct{ method, uri, contentType, body string }

// excluded are requests that are no attack, by the exclusion that lets them
// through: its text in the file.
var excluded = map[string]harmless{
	"ctl:ruleRemoveById=920420": {"POST", "/v1/webhooks/clerk", "text/plain", ""},
	"SecRuleRemoveById 920350":  {"POST", "http://127.0.0.1:8080/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337/reactivate", "", ""},

	"930120;ARGS:json_links": patched(`{"links":[{"label":"Dotfiles","url":"https://github.com/ada/ada/blob/main/.bashrc"}]}`),
	"931100;ARGS:json_links": patched(`{"links":[{"label":"My server","url":"https://192.0.2.7/me"}]}`),
	"932160;ARGS:json_links": patched(`{"links":[{"label":"History","url":"https://example.org/etc/passwd"}]}`),
	"934190;ARGS:json_links": patched(`{"links":[{"label":"Mine","url":"https://localhost/"}]}`),
}

// texts are what somebody may write about themselves or about others, by the rules that take it for an attack.
var texts = map[string]string{
	"930000-930999": "tried ../../etc/passwd",
	"932000-932999": "; ls -la | grep x",
	"933000-933999": "$_GET and $_POST",
	"934000-934999": "process.env and __dirname",
	"934100":        "process.env and __dirname",
	"934110":        "see http://127.0.0.1:3000",
	"934190":        "http://localhost/ is home",
	"941000-941999": "Spam: posts <script>alert(1)</script> links",
	"941170":        "javascript: the good parts (book)",
	"941180":        "I teach onClick handlers, document.cookie and XSS research",
	"941210":        "javascript: the good parts (book)",
	"941390":        "eval() is evil",
	"942000-942999": `status = "open" AND assignee = me`,
	"944100-944130": "java.lang.Runtime, by heart",
}

// free puts a text into a member that takes any text.
var free = map[string]func(text string) harmless{
	"json_bio":      func(text string) harmless { return patched(`{"bio":` + quoted(text) + `}`) },
	"json_metadata": func(text string) harmless { return patched(`{"metadata":{"note":[` + quoted(text) + `]}}`) },
	"json_reason":   func(text string) harmless { return suspended(`{"reason":` + quoted(text) + `,"until":null}`) },
}

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// example is the request that an exclusion is for.
func example(exclusion string) (harmless, bool) {
	exclusion = strings.TrimPrefix(exclusion, "ctl:ruleRemoveTargetById=")
	if h, ok := excluded[exclusion]; ok {
		return h, true
	}
	rules, member, _ := strings.Cut(exclusion, ";ARGS:")
	text, known := texts[rules]
	put, takesAny := free[member]
	if !known || !takesAny {
		return harmless{}, false
	}
	return put(text), true
}

func patched(body string) harmless {
	return harmless{"PATCH", "/v1/profiles/me", patchJSON, body}
}

func suspended(body string) harmless {
	return harmless{"POST", "/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337/suspend", "application/json", body}
}

var ruleNumber = regexp.MustCompile(`\d{6}`)

var exclusion = regexp.MustCompile(`ctl:ruleRemove(?:ById=\d+|TargetById=[\d-]+;ARGS:\w+)|(?m:^SecRuleRemoveById \d+$)`)

// Each exclusion lets something through that is no attack and that would be
// stopped without it; and there is none beside those.
func TestEachExclusionIsNeeded(t *testing.T) {
	t.Parallel()
	whole := engine(t, Options{})
	seen := map[string]bool{}
	for _, name := range []string{waf.Before, waf.After} {
		text, err := fs.ReadFile(waf.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range exclusion.FindAllString(string(text), -1) {
			seen[strings.TrimPrefix(found, "ctl:ruleRemoveTargetById=")] = true
			c, ok := example(found)
			if !ok {
				t.Errorf("%s: no request shows what %s is for", name, found)
				continue
			}
			send := func(e *Engine) Verdict {
				return inspect(t, e, request(c.method, c.uri, c.contentType), c.body)
			}
			if v := send(whole); v.Stop {
				t.Errorf("%s: stopped in spite of it by %v", found, v.Rules)
			}
			without := strings.Replace(string(text), found, ruleNumber.ReplaceAllString(found, "999999"), 1)
			e := engine(t, Options{Overrides: fstest.MapFS{name: {Data: []byte(without)}}})
			if v := send(e); !v.Stop {
				t.Errorf("%s: not needed, it passes without: %v", found, v.Rules)
			}
		}
	}
	for name := range excluded {
		if !seen[name] {
			t.Errorf("there is no exclusion %s", name)
		}
	}
}

// What people write of themselves, and clients send, passes.
func TestOrdinaryTextsPass(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	for _, body := range []string{
		`{"bio":"Backend engineer. I like Go, PostgreSQL and long walks; coffee first, code later."}`,
		`{"bio":"I SELECT the best beans FROM Ethiopia and roast them myself WHERE possible."}`,
		`{"bio":"It's me, O'Brien's daughter -- writer, drummer & mum of 2. I love <3 cats <b>and</b> dogs"}`,
		`{"bio":"DBA by day: DROP TABLE jokes; -- are my jokes. 1=1 is always true :-)"}`,
		`{"bio":"Line one\nLine two\n- item\n* item\n\n# Heading\n> quote\n[link](https://e.org)"}`,
		`{"bio":"Ping me on Slack | Discord | IRC; python, node, perl, ruby, bash too"}`,
		`{"bio":"日本語とEnglish。Größe & Straße. مرحبا 👩‍💻"}`,
		`{"display_name":"Zoë O'Connor-D'Angelo (she/her)","location":"São Paulo, Brazil & Kraków"}`,
		`{"links":[{"label":"CV","url":"https://example.org/~ada?tab=cv&lang=en#top"},{"label":"In","url":"https://www.linkedin.com/in/ada-lovelace-1815/"}]}`,
		`{"banner_url":"https://images.example.org/a/b.png?w=1200&h=300","theme_color":"#1e90ff","locale":"pt-BR","time_zone":"America/Sao_Paulo"}`,
		`{"metadata":{"onboarding":{"step":3,"done":["profile","photo"]},"flags":[true,false,null],"layout":[1,2,3.5,-4e10]}}`,
		`{"handle":"profile_admin_select","visibility":"private"}`,
	} {
		for _, uri := range []string{"/v1/profiles/me", "/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337"} {
			if v := inspect(t, e, request("PATCH", uri, patchJSON), body); v.Stop {
				t.Errorf("%s: stopped by %v", body, v.Rules)
			}
		}
	}
}

// Programmers, moderators and templates write what attacks are made of. In the members that take any text it passes, and
// anywhere else it is stopped.
func TestQuotesOfAttacksPassWhereTheyAreText(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	everywhere := []string{
		"if (x < 3 && y > 4) { return x->y; } // C++", "having sleep(8) hours is my dream", "import os; print('hello')  # python",
		`print("Hello, World!") is where it began; eval() is evil`, "I select all members from the local union", "between 9 and 5; like '%coffee%'",
		"${you} know", "Hello {{name}} and ${name}", "function(){ return 1 }", "; ls -la | grep x", "select * from t where a=1",
		`User wrote "'; DROP TABLE users; --" in bio`, "' OR 1=1 --", "`rm -rf /`", "<?php system($_GET[0]); ?>",
	}
	for member, put := range free {
		texts := everywhere
		if member == "json_reason" {
			texts = append(slices.Clone(everywhere), "Spam: posts <script>alert(1)</script> links", "<img src=x onerror=alert(1)>", "javascript:alert(1)")
		}
		for _, text := range texts {
			c := put(text)
			if v := inspect(t, e, request(c.method, c.uri, c.contentType), c.body); v.Stop {
				t.Errorf("%s: %s: stopped by %v", member, text, v.Rules)
			}
		}
	}
	for _, text := range []string{"' OR 1=1 --", "`rm -rf /`", "<?php system($_GET[0]); ?>", "../../etc/passwd", "function(){ return 1 }"} {
		for where, c := range map[string]harmless{
			"the query":      {"GET", "/v1/profiles?handles=" + url.QueryEscape(text), "", ""},
			"another member": patched(`{"location":` + quoted(text) + `}`),
			"a name":         patched(`{` + quoted(text) + `:1}`),
			"another route":  {"PATCH", "/v1/profiles/me/preferences", patchJSON, `{"bio":` + quoted(text) + `}`},
		} {
			if v := inspect(t, e, request(c.method, c.uri, c.contentType), c.body); !v.Stop {
				t.Errorf("%s passes in %s: %v", text, where, v.Rules)
			}
		}
		r := request("GET", "/v1/profiles/me", "")
		r.Header.Set("Cookie", "bio="+text)
		if v := inspect(t, e, r, ""); !v.Stop {
			t.Errorf("%s passes in a cookie: %v", text, v.Rules)
		}
	}
}
