package runbooks_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/docs"
	"github.com/profile-api/profile-api/internal/runbooks"
	"github.com/profile-api/profile-api/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func pages(t *testing.T) []runbooks.Page {
	t.Helper()
	list, err := runbooks.Read(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("only %d pages", len(list))
	}
	return list
}

// Whoever is woken at night finds the same things at the same place.
func TestEveryPageHasItsSections(t *testing.T) {
	for _, p := range pages(t) {
		if p.Title == "" {
			t.Errorf("%s.md: the first line is no title", p.Name)
		}
		if p.Name == runbooks.Index {
			continue
		}
		var headings []string
		for _, s := range p.Headings {
			headings = append(headings, s.Heading)
			if strings.TrimSpace(s.Text) == "" {
				t.Errorf("%s.md: nothing below %s", p.Name, s.Heading)
			}
		}
		if !slices.Equal(headings, runbooks.Sections()) {
			t.Errorf("%s.md: the sections are %q, want %q", p.Name, headings, runbooks.Sections())
		}
	}
}

var alertRow = regexp.MustCompile("(?m)^\\| `(ProfileAPI[A-Za-z]+)` \\| [a-z0-9, ]+ \\| \\[([a-z0-9-]+)\\]\\(([a-z0-9-]+)\\.md\\) \\|$")

// Each alert of the index has the page that is called as the alert is, and names it at its top.
func TestAlertsHaveTheirPages(t *testing.T) {
	list := pages(t)
	index := list[slices.IndexFunc(list, func(p runbooks.Page) bool { return p.Name == runbooks.Index })]
	rows := alertRow.FindAllStringSubmatch(index.Text, -1)
	if len(rows) < 15 {
		t.Errorf("the index has %d alerts", len(rows))
	}
	for _, row := range rows {
		alert, text, target := row[1], row[2], row[3]
		if want := kebab(strings.TrimPrefix(alert, "ProfileAPI")); text != want || target != want {
			t.Errorf("%s leads to %s (%s), want %s", alert, target, text, want)
		}
		at := slices.IndexFunc(list, func(p runbooks.Page) bool { return p.Name == target })
		if at < 0 {
			t.Errorf("%s has no page", alert)
		} else if !strings.HasPrefix(strings.TrimSpace(list[at].Lead), "Alert `"+alert+"`") {
			t.Errorf("%s.md does not begin with its alert: %.60s", target, list[at].Lead)
		}
	}
	known := map[string]bool{}
	for _, row := range rows {
		known[row[1]] = true
	}
	for _, p := range list {
		for _, name := range regexp.MustCompile(`ProfileAPI[A-Z]\w+`).FindAllString(p.Text, -1) {
			if !known[name] {
				t.Errorf("%s.md names %s, which the index does not know", p.Name, name)
			}
		}
	}
}

var alertRule = regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (page|ticket)`)

// The index has each alert that Prometheus is given, with its severity, and no other.
func TestTheIndexHasTheAlertsOfTheRules(t *testing.T) {
	files, err := filepath.Glob("../../deploy/monitoring/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no rules: %v", err)
	}
	ruled := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range alertRule.FindAllStringSubmatch(string(text), -1) {
			if before := ruled[m[1]]; before != "" && before != m[2] {
				m[2] = "page or ticket, by its window"
			}
			ruled[m[1]] = m[2]
		}
	}
	index, err := os.ReadFile(runbooks.Index + ".md")
	if err != nil {
		t.Fatal(err)
	}
	rows := alertRow.FindAllStringSubmatch(string(index), -1)
	for _, row := range rows {
		severity, _, _ := strings.Cut(strings.TrimPrefix(row[0], "| `"+row[1]+"` | "), " |")
		if ruled[row[1]] != severity {
			t.Errorf("the index says of %s %q, the rules say %q", row[1], severity, ruled[row[1]])
		}
		delete(ruled, row[1])
	}
	for alert := range ruled {
		t.Errorf("the index lacks %s", alert)
	}
}

func kebab(name string) string {
	return strings.ToLower(strings.TrimPrefix(regexp.MustCompile(`[A-Z][a-z]*`).ReplaceAllString(name, "-$0"), "-"))
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Every link leads to a file, and every page can be reached from the index.
func TestLinksResolve(t *testing.T) {
	list := pages(t)
	indexed := map[string]bool{runbooks.Index + ".md": true}
	for _, p := range list {
		for _, m := range link.FindAllStringSubmatch(p.Text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || target == "" {
				continue
			}
			if p.Name == runbooks.Index {
				indexed[target] = true
			}
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("%s.md links to %s, which is not there", p.Name, target)
			}
		}
	}
	for _, p := range list {
		if !indexed[p.Name+".md"] {
			t.Errorf("the index does not lead to %s.md", p.Name)
		}
	}
}

// foreign are names in capitals that are no settings of the program's.
var foreign = []string{
	"REDISCLI_AUTH", "GOMEMLIMIT", "NAME_FILE", "PGDATA", "ADMIN_SOCKET", "OPS_PORT", "COMPOSE_FILE", // environments of other programs
}

var setting = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(\*?)`)

// A setting that is named exists.
func TestSettingsExist(t *testing.T) {
	known := map[string]bool{}
	for _, e := range config.Reference() {
		known[e.Variable], known[e.Alias] = true, true
		if e.File {
			known[e.Variable+"_FILE"] = true
		}
	}
	named := 0
	for _, p := range pages(t) {
		for _, m := range setting.FindAllStringSubmatch(p.Text, -1) {
			if slices.Contains(foreign, m[0]) {
				continue
			}
			named++
			if !known[m[0]] {
				t.Errorf("%s.md names %s, which is no setting", p.Name, m[0])
			}
		}
	}
	if named < 40 {
		t.Errorf("only %d settings were found", named)
	}
}

var (
	route    = regexp.MustCompile(`(?:^|[\s"'` + "`" + `]|\$API)(/(?:v1|health|problems)(?:/[A-Za-z0-9_.{}-]+)*)`)
	template = regexp.MustCompile(`(?m)^  (/\S*):$`)
	upper    = regexp.MustCompile(`/(?:[A-Z]+|\{[a-z]+\})(/|$)`)
)

// A route that is named exists: capitals stand for a part of the path.
func TestRoutesExist(t *testing.T) {
	known := map[string]bool{"/v1": true, "/v1/admin": true} // what begins so
	for _, m := range template.FindAllStringSubmatch(string(docs.OpenAPI), -1) {
		known[upper.ReplaceAllString(m[1], "/X$1")] = true
	}
	named := 0
	for _, p := range pages(t) {
		for _, m := range route.FindAllStringSubmatch(strings.ReplaceAll(p.Text, "/v1/.*", ""), -1) { // a pattern of PromQL
			named++
			if path := upper.ReplaceAllString(m[1], "/X$1"); !known[path] {
				t.Errorf("%s.md names %s, which is no route", p.Name, m[1])
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d routes were found", named)
	}
}

var message = regexp.MustCompile(`(?:"msg":|\.msg==)"([^"]+)"`)

// A log message that is named is in the source, word for word.
func TestLogMessagesExist(t *testing.T) {
	source := sources(t)
	named := 0
	for _, p := range pages(t) {
		for _, m := range message.FindAllStringSubmatch(p.Text, -1) {
			named++
			if !strings.Contains(source, `"`+m[1]+`"`) {
				t.Errorf("%s.md names the log message %q, which nothing writes", p.Name, m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d messages were found", named)
	}
}

// sources is the program's code without its tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"cmd", "usecase", "repository", "delivery", "domain"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
