package monitoring_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/profile-api/profile-api/internal/promfiles"
)

// promtool is the pinned one, built when it is not there yet.
var promtool = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("../../internal/tools/tool", "promtool").Output()
	if err != nil {
		return "", fmt.Errorf("internal/tools/tool promtool: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// run gives what promtool says, and whether it was content.
func run(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	path, err := promtool()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil && out == nil {
		t.Fatal(err)
	}
	return string(out), err == nil
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}

func rules(t *testing.T) []promfiles.Rule {
	t.Helper()
	list, err := promfiles.Rules("rules")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// alerting are the rules that alert.
func alerting(t *testing.T) []promfiles.Rule {
	t.Helper()
	return slices.DeleteFunc(rules(t), func(r promfiles.Rule) bool { return r.Alert == "" })
}

func TestPromtoolAcceptsTheFiles(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, glob(t, "rules/*.yml")...),
		{"check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"},
		append([]string{"test", "rules"}, glob(t, "tests/*.yml")...),
	} {
		if out, ok := run(t, args...); !ok {
			t.Errorf("promtool %s:\n%s", strings.Join(args, " "), out)
		}
	}
}

// firing finds the first case in which the alert is quiet, fires, and is quiet
// again; and the shortest in which it fires, if only that.
func firing(t *testing.T, cases []promfiles.Case, alert promfiles.Rule) (whole, shortest *promfiles.Case) {
	t.Helper()
	least := time.Duration(0)
	for i, c := range cases {
		var history []bool
		var last time.Duration
		for _, check := range c.Checks {
			at, err := time.ParseDuration(check.At)
			if err != nil || at <= last {
				t.Fatalf("%s: the times of %q are not in order: %v, %v", c.File, c.Name, check.At, err)
			}
			last = at
			history = append(history, slices.ContainsFunc(check.Want, func(s promfiles.Sample) bool { return names(s.Labels, alert) }))
		}
		first := slices.Index(history, true)
		if first < 0 {
			continue
		}
		if shortest == nil || last < least {
			shortest, least = &cases[i], last
		}
		if whole == nil && first > 0 && slices.Contains(history[first:], false) {
			whole = &cases[i]
		}
	}
	return whole, shortest
}

// names tells whether a sample's labels are those of the alert.
func names(labels string, alert promfiles.Rule) bool {
	return strings.Contains(labels, `alertname="`+alert.Alert+`"`) && strings.Contains(labels, `severity="`+alert.Labels["severity"]+`"`) &&
		(alert.Labels["window"] == "" || strings.Contains(labels, `window="`+alert.Labels["window"]+`"`))
}

func cases(t *testing.T) []promfiles.Case {
	t.Helper()
	list, err := promfiles.Cases("tests")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEachAlertHasACaseInWhichItFiresAndClears(t *testing.T) {
	t.Parallel()
	list, seen := cases(t), map[string]bool{}
	for _, alert := range alerting(t) {
		if seen[alert.Name()] {
			t.Errorf("two rules are called %s: give them labels that tell them apart", alert.Name())
		}
		seen[alert.Name()] = true
		if whole, _ := firing(t, list, alert); whole == nil {
			t.Errorf("%s has no case in which it is quiet, fires and is quiet again", alert.Name())
		}
	}
	if len(seen) < 21 {
		t.Errorf("there are only %d rules that alert", len(seen))
	}
}

// A case that would pass without the rule, or with an alert that does not wait, proves nothing.
func TestTheCasesNoticeAMissingRule(t *testing.T) {
	t.Parallel()
	list := cases(t)
	for _, alert := range alerting(t) {
		whole, shortest := firing(t, list, alert)
		if whole == nil {
			continue // said above
		}
		dir := t.TempDir()
		for what, mutate := range map[string]func(rule map[string]any) (keep bool){
			"without the rule": func(map[string]any) bool { return false },
			"at once":          func(rule map[string]any) bool { delete(rule, "for"); return true },
		} {
			in := shortest
			if what == "at once" {
				if in = whole; alert.For == "" {
					continue
				}
			}
			test := filepath.Join(dir, "tests", filepath.Base(in.File))
			copyFile(t, in.File, test)
			mutateRules(t, filepath.Join(dir, "rules"), alert, mutate)
			out, ok := run(t, "test", "rules", "--run", "^"+regexp.QuoteMeta(in.Name)+"$", test)
			if ok || !strings.Contains(out, alert.Alert) {
				t.Errorf("%s %s: the case %q passes, or fails of something else:\n%s", alert.Name(), what, in.Name, out)
			}
		}
	}
}

// mutateRules copies the rules with one of them changed or left out.
func mutateRules(t *testing.T, dir string, alert promfiles.Rule, mutate func(map[string]any) bool) {
	t.Helper()
	for _, path := range glob(t, "rules/*.yml") {
		copied := filepath.Join(dir, filepath.Base(path))
		if path != alert.File {
			copyFile(t, path, copied)
			continue
		}
		var file struct {
			Groups []map[string]any `yaml:"groups"`
		}
		if err := yaml.Unmarshal(read(t, path), &file); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, g := range file.Groups {
			g["rules"] = slices.DeleteFunc(g["rules"].([]any), func(r any) bool {
				rule := r.(map[string]any)
				labels, _ := rule["labels"].(map[string]any)
				if rule["alert"] != alert.Alert || (alert.Labels["window"] != "" && labels["window"] != alert.Labels["window"]) {
					return false
				}
				found++
				return !mutate(rule)
			})
		}
		out, err := yaml.Marshal(file)
		if err != nil || found != 1 {
			t.Fatalf("%s is there %d times, %v", alert.Name(), found, err)
		}
		write(t, copied, out)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	write(t, to, read(t, from))
}

// Whoever is woken finds a page that says so in its first lines.
func TestEachAlertHasARunbook(t *testing.T) {
	t.Parallel()
	pages := map[string]string{}
	for _, alert := range alerting(t) {
		page := alert.Annotations["runbook"]
		if s := alert.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: the severity is %q", alert.Name(), s)
		}
		if alert.Annotations["summary"] == "" || alert.Annotations["description"] == "" {
			t.Errorf("%s says too little", alert.Name())
		}
		if want := "docs/runbooks/" + kebab(alert.Alert) + ".md"; page != want {
			t.Errorf("%s: the runbook is %q, want %s", alert.Name(), page, want)
			continue
		}
		pages[page] = alert.Alert
	}
	for page, alert := range pages {
		raw, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Errorf("%s: %v", alert, err)
			continue
		}
		if head := bytes.Join(bytes.SplitN(raw, []byte("\n"), 6)[:min(5, bytes.Count(raw, []byte("\n")))], []byte("\n")); !bytes.Contains(head, []byte(alert)) {
			t.Errorf("%s does not name %s in its first five lines", page, alert)
		}
	}
}

// kebab writes ProfileAPIErrorRateHigh as error-rate-high.
func kebab(alert string) string {
	words := regexp.MustCompile(`[A-Z][a-z]+`).FindAllString(strings.TrimPrefix(alert, "ProfileAPI"), -1)
	return strings.ToLower(strings.Join(words, "-"))
}

// What nobody reads is not worked out.
func TestNothingIsRecordedInVain(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	reads := func(expr string) {
		selectors, _, err := promfiles.Reads(expr)
		if err != nil {
			t.Error(err)
		}
		for _, s := range selectors {
			used[s.Metric] = true
		}
	}
	list := rules(t)
	for _, r := range list {
		reads(r.Expr)
	}
	for _, q := range dashboard(t).Queries() {
		reads(q.Expr)
	}
	for _, r := range list {
		if r.Record != "" && !used[r.Record] {
			t.Errorf("nothing reads %s", r.Record)
		}
	}
}
