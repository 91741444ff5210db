package firewall

import (
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

	"930120;ARGS:json_bio":      patched(`{"bio":"My favourite file is .htaccess, followed by .env and web.config"}`),
	"932160;ARGS:json_bio":      patched(`{"bio":"I work at /dev/null and live in /usr/bin/perl"}`),
	"932230;ARGS:json_bio":      patched(`{"bio":"Ask about time, date, id, who, w, and env vars."}`),
	"932235;ARGS:json_bio":      patched(`{"bio":"cat, less, more, and head over heels. Always on time: sleep, eat; repeat 5 times."}`),
	"932250;ARGS:json_bio":      patched(`{"bio":"Ask about time, date, id, who, w, and env vars."}`),
	"932260;ARGS:json_bio":      patched(`{"bio":"; cat jokes.txt | grep funny"}`),
	"930120;ARGS:json_links":    patched(`{"links":[{"label":"Dotfiles","url":"https://github.com/ada/ada/blob/main/.bashrc"}]}`),
	"931100;ARGS:json_links":    patched(`{"links":[{"label":"My server","url":"https://192.0.2.7/me"}]}`),
	"932160;ARGS:json_links":    patched(`{"links":[{"label":"History","url":"https://example.org/etc/passwd"}]}`),
	"934190;ARGS:json_links":    patched(`{"links":[{"label":"Mine","url":"https://localhost/"}]}`),
	"930120;ARGS:json_metadata": patched(`{"metadata":{"hidden":[".bashrc",".env"]}}`),
	"932160;ARGS:json_metadata": patched(`{"metadata":{"shell":"/bin/bash","pager":"/usr/bin/less"}}`),
	"932235;ARGS:json_metadata": patched(`{"metadata":{"todo":"laundry; sleep, eat; time with friends"}}`),
	"932235;ARGS:json_reason":   suspended(`{"reason":"Posts spam; sleep, eat; repeat 5 times","until":null}`),
}

func patched(body string) harmless {
	return harmless{"PATCH", "/v1/profiles/me", patchJSON, body}
}

func suspended(body string) harmless {
	return harmless{"POST", "/v1/admin/profiles/019ca945-0a00-7aa2-b11b-b27c75189337/suspend", "application/json", body}
}

var ruleNumber = regexp.MustCompile(`\d{6}`)

var exclusion = regexp.MustCompile(`ctl:ruleRemove(?:ById=\d+|TargetById=\d+;ARGS:\w+)|(?m:^SecRuleRemoveById \d+$)`)

// Each exclusion lets something through that is no attack and that would be
// stopped without it; and there is none beside those.
func TestEachExclusionIsNeeded(t *testing.T) {
	t.Parallel()
	whole := engine(t, Options{})
	seen := 0
	for _, name := range []string{waf.Before, waf.After} {
		text, err := fs.ReadFile(waf.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range exclusion.FindAllString(string(text), -1) {
			seen++
			c, ok := excluded[strings.TrimPrefix(found, "ctl:ruleRemoveTargetById=")]
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
	if seen != len(excluded) {
		t.Errorf("%d exclusions, %d requests that need one", seen, len(excluded))
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
