package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var states = []string{"met", "partly", "gap", "not applicable"}

// Every requirement of the two levels has one row, in the standard's order, with
// a state; what a row calls met has evidence that is there.
func TestEveryRequirementOfASVSHasItsRow(t *testing.T) {
	list, err := os.ReadFile("testdata/asvs-5.0.0-l1-l2.txt")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("security-asvs.md")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	count := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+\.\d+\.\d+) \| ([12]) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$`).FindAllStringSubmatch(string(page), -1) {
		id, level, state, evidence := row[1], row[2], row[4], row[5]
		got.WriteString(id + " " + level + "\n")
		count[state]++
		if !slices.Contains(states, state) {
			t.Errorf("%s: no state is called %q", id, state)
		}
		if strings.TrimSpace(evidence) == "" {
			t.Errorf("%s: neither evidence nor what is missing", id)
		}
	}
	if got.String() != string(list) {
		t.Errorf("the rows are not the requirements of the list; first difference: %s", firstDifference(got.String(), string(list)))
	}
	if n := strings.Count(string(list), "\n"); n != 253 {
		t.Errorf("the list has %d requirements; ASVS 5.0.0 has 253 of levels 1 and 2", n)
	}
	sums := "|"
	for _, s := range states {
		sums += " " + strconv.Itoa(count[s]) + " |"
	}
	if !strings.Contains(string(page), "\n"+sums+"\n") {
		t.Errorf("the sums are %s", sums)
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return strconv.Quote(g[i]) + ", want " + strconv.Quote(w[i])
		}
	}
	return "the length"
}

func TestTheASVSPageNamesWhatExists(t *testing.T) {
	page, err := os.ReadFile("security-asvs.md")
	if err != nil {
		t.Fatal(err)
	}
	namesExist(t, string(page), 100)
}

var (
	namedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]+)`")
	namedPath = regexp.MustCompile("`((?:cmd|config|delivery|deploy|docs|domain|internal|migrations|repository|usecase)/[^` ]+|Dockerfile|docker-compose\\.yml|\\.dockerignore|go\\.sum)`")
	link      = regexp.MustCompile(`\]\(([^)#]+)(#[^)]+)?\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// namesExist fails for each test, path, page and heading that the text names and that is not there, and when it names fewer tests than atLeast.
func namesExist(t *testing.T, text string, atLeast int) {
	t.Helper()
	tests, distinct := testsOfTheTree(t), map[string]bool{}
	for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
		distinct[m[1]] = true
		if !tests[m[1]] {
			t.Errorf("there is no test %s", m[1])
		}
	}
	if len(distinct) < atLeast {
		t.Errorf("only %d tests are named", len(distinct))
	}
	for _, m := range namedPath.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
			t.Error(err)
		}
	}
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target, err := os.ReadFile(m[1])
		if err != nil {
			t.Error(err)
		} else if m[2] != "" && !slices.Contains(anchors(string(target)), m[2]) {
			t.Errorf("%s has no heading %s", m[1], m[2])
		}
	}
}

// anchors are the headings' names in links, as GitHub makes them.
func anchors(page string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, "#"+strings.ReplaceAll(plain, " ", "-"))
	}
	return out
}
