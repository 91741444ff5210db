package firewall

import (
	"encoding/json"
	"io/fs"
	"regexp"
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
}

// texts are what somebody may write about themselves or about others, by the rules that take it for an attack.
var texts = map[string]string{
	"921110":        "it sends GET /index.html HTTP/1.1",
	"921120":        "Engineer\nLocation: Berlin",
	"921130":        "I bring HTTP/3 to trains",
	"930000-930999": "tried ../../etc/passwd",
	"931100":        "http://192.0.2.7/ is my server",
	"931120":        "https://example.org is mine, isn't it?",
	"932000-932999": "; ls -la | grep x",
	"933000-933999": "$_GET and $_POST",
	"934000-934129": "process.env and __dirname",
	"934000-934999": "process.env and __dirname",
	"934131-934999": "http://localhost/ is home",
	"941000-941999": "Spam: posts <script>alert(1)</script> links",
	"941100":        "Vec<String>, List<Object>, Map<K, Form>",
	"941160":        "I write <img> and <canvas> by hand",
	"941170":        "javascript: the good parts (book)",
	"941180":        "I teach onClick handlers, document.cookie and XSS research",
	"941210":        "javascript: the good parts (book)",
	"941360":        "!![] is true, !![0] is too",
	"941370":        "this[key] and self['x']",
	"941390":        "eval() is evil",
	"941400":        "[].map.call`x` is JavaScript",
	"942000-942999": `status = "open" AND assignee = me`,
	"944100-944130": "java.lang.Runtime, by heart",
}

// addresses are right https URLs, by the rules that take them for an attack.
var addresses = map[string]string{
	"921130":        "https://en.wikipedia.org/wiki/HTTP/3",
	"930120":        "https://github.com/ada/ada/blob/main/.bashrc",
	"931100":        "https://192.0.2.7/me",
	"931120":        "https://example.org/?",
	"932130":        "https://[2001:db8::1]/",
	"932160":        "https://example.org/usr/bin/python3",
	"934110":        "https://web.archive.org/web/2020/http://127.0.0.1/",
	"934190":        "https://localhost/",
	"941180":        "https://developer.mozilla.org/en-US/docs/DOM/document.cookie",
	"942140":        "https://en.wikipedia.org/wiki/Information_schema",
	"944100-944130": "https://docs.oracle.com/javase/8/docs/api/java.base/java/lang/ProcessBuilder.html",
}

const adminsProfile = "/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337"

// free puts a text into a member that takes any text.
var free = map[string]func(text string) harmless{
	"json_bio":          func(text string) harmless { return patched(`{"bio":` + quoted(text) + `}`) },
	"json_display_name": func(text string) harmless { return patched(`{"display_name":` + quoted(text) + `}`) },
	"json_location":     func(text string) harmless { return patched(`{"location":` + quoted(text) + `}`) },
	"json-links-label": func(text string) harmless {
		return patched(`{"links":[{"label":` + quoted(text) + `,"url":"https://example.org/"}]}`)
	},
	"json_metadata": func(text string) harmless { return patched(`{"metadata":{"note":[` + quoted(text) + `]}}`) },
	"json_app_metadata": func(text string) harmless {
		return harmless{"PATCH", adminsProfile, patchJSON, `{"app_metadata":{"note":[` + quoted(text) + `]}}`}
	},
	"json_reason": func(text string) harmless { return suspended(`{"reason":` + quoted(text) + `,"until":null}`) },
}

// shown puts an address into a member that takes any https URL.
var shown = map[string]func(address string) harmless{
	"json_links": func(address string) harmless {
		return patched(`{"links":[{"label":"Mine","url":` + quoted(address) + `}]}`)
	},
	"json_banner_url": func(address string) harmless { return patched(`{"banner_url":` + quoted(address) + `}`) },
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
	if put, ok := free[member]; ok && texts[rules] != "" {
		return put(texts[rules]), true
	}
	if put, ok := shown[member]; ok && addresses[rules] != "" {
		return put(addresses[rules]), true
	}
	return harmless{}, false
}

func patched(body string) harmless {
	return harmless{"PATCH", "/v1/profiles/me", patchJSON, body}
}

func suspended(body string) harmless {
	return harmless{"POST", adminsProfile + "/suspend", "application/json", body}
}

var ruleNumber = regexp.MustCompile(`\d{6}`)

var exclusion = regexp.MustCompile(`ctl:ruleRemove(?:ById=\d+|TargetById=[\d-]+;ARGS:[\w-]+)|(?m:^SecRuleRemoveById \d+$)`)

// Each exclusion lets something through that is no attack and that would be
// stopped without it; and there is none beside those.
func TestEachExclusionIsNeeded(t *testing.T) {
	t.Parallel()
	if raceDetector {
		withoutTheRaceDetector(t)
		return
	}
	whole := engine(t, Options{})
	seen, without := map[string]bool{}, map[string]*Engine{}
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
			// A request has one member only, so the rule may come back for all.
			rules, _, _ := strings.Cut(found, "ARGS:")
			e := without[rules]
			if e == nil {
				changed := strings.ReplaceAll(string(text), rules, ruleNumber.ReplaceAllString(rules, "999999"))
				e = engine(t, Options{Overrides: fstest.MapFS{name: {Data: []byte(changed)}}})
				without[rules] = e
			}
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
		for _, uri := range []string{"/v1/profiles/me", adminsProfile} {
			if v := inspect(t, e, request("PATCH", uri, patchJSON), body); v.Stop {
				t.Errorf("%s: stopped by %v", body, v.Rules)
			}
		}
	}
}
