package main_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/promfiles"
	"github.com/profile-api/profile-api/internal/runbooks"
)

func runbookPages(t *testing.T) []runbooks.Page {
	t.Helper()
	pages, err := runbooks.Read("../../docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// Every command line of the runbooks is one: without settings it fails for these, and never with the usage.
func TestRunbooksNameRealCommands(t *testing.T) {
	parallel(t)
	tried := map[string]bool{}
	for _, p := range runbookPages(t) {
		for _, args := range p.Commands() {
			line := strings.Join(args, " ")
			if !tried[line] {
				tried[line] = true
				if r := command(t, nil, args...); r.status == 2 {
					t.Errorf("%s.md: profile-api %s is no command: %s", p.Name, line, r.stderr)
				}
			}
		}
	}
	if len(tried) < 8 {
		t.Errorf("only these commands were found: %v", tried)
	}
}

var (
	metricForm = `[a-z]+(?:_[a-z0-9]+)+`
	// A metric with labels, as text and PromQL have it.
	selector = regexp.MustCompile(`\b(` + metricForm + `)\{([^}]*)\}`)
	braces   = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|"[^"]*"`)
	// Labels in PromQL: by (a, b).
	grouping = regexp.MustCompile(`\b(?:by|on|ignoring|without) \([a-z_, ]*\)`)
	// A word of PromQL; with a parenthesis behind it, it is a function, and with colons inside what a rule records.
	word = regexp.MustCompile(`\b((?:[a-z]+:)?` + metricForm + `(?::[a-z0-9_]+)?)\b( *\()?`)
	// curl … | grep -E '^(a|b)', and a line of what it shows.
	scraped   = regexp.MustCompile(`/metrics.*grep .*'\^\(?([a-z_|]+)`)
	shownLine = regexp.MustCompile(`(?m)^# (` + metricForm + `)(?:\{([^}]*)\})? [0-9+]`)
)

// metricsNamed are the metrics of a page, each with the labels that it names of it.
func metricsNamed(p *runbooks.Page) map[string][]string {
	named := map[string][]string{}
	add := func(name, labels string) {
		list := named[name]
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			list = append(list, m[1])
		}
		named[name] = list
	}
	for _, m := range selector.FindAllStringSubmatch(strings.Join(p.Spans, "\n"), -1) {
		add(m[1], m[2])
	}
	for _, b := range p.Of("sh") {
		for _, m := range scraped.FindAllStringSubmatch(b.Text, -1) {
			for _, name := range strings.Split(strings.Trim(m[1], "|"), "|") {
				add(name, "")
			}
		}
		for _, m := range shownLine.FindAllStringSubmatch(b.Text, -1) {
			add(m[1], m[2])
		}
	}
	for _, b := range p.Of("promql") {
		for _, m := range selector.FindAllStringSubmatch(b.Text, -1) {
			add(m[1], m[2])
		}
		bare := grouping.ReplaceAllString(braces.ReplaceAllString(b.Text, ""), "")
		for _, m := range word.FindAllStringSubmatch(bare, -1) {
			if m[2] == "" {
				add(m[1], "")
			}
		}
	}
	return named
}

// Every metric that the runbooks look at, or ask Prometheus for, is shown by the program, with those labels.
func TestRunbooksNameRealMetrics(t *testing.T) {
	parallel(t)
	s, _, _ := mirroredStack(t, 1) // a run has ended
	p := s.replica(t, "EVENTS_STREAM", "profile-events")
	token, _ := s.person(t)
	p.get(t, "/v1/profiles/me", token).profile(t)
	raw, checked := string(p.rawMetrics(t))+besideTheProgram(t), 0
	rules, err := promfiles.Rules(monitoring + "rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Record != "" {
			raw += r.Record + " 1\n"
		}
	}
	for _, page := range runbookPages(t) {
		for name, labels := range metricsNamed(&page) {
			checked++
			if fault := shows(raw, name, labels); fault != "" {
				t.Errorf("%s.md: %s", page.Name, fault)
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d metrics were found", checked)
	}
}

// shows says what of a metric is missing, or nothing. Prometheus adds job and instance.
func shows(raw, name string, labels []string) string {
	series := regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? .*$`).FindAllString(raw, -1)
	if series == nil && strings.Contains(raw, "\n# TYPE "+name+" histogram\n") {
		return ""
	}
	if series == nil {
		return "there is no " + name
	}
	for _, l := range labels {
		if l != "job" && l != "instance" && !strings.Contains(strings.Join(series, "\n"), l+`="`) {
			return name + " has no label " + l
		}
	}
	return ""
}
