package main_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README's table and what the program shows are the same, names and labels.
func TestTheReadmeListsTheMetrics(t *testing.T) {
	parallel(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, shown []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:webhook|jobs|event|reconcile|health|disk|dependency|db_pool|rate_limit|auth|http|request|sentry|trace)_[a-z_]+)(?:\\{([a-z,]+)\\})?` \\|").FindAllStringSubmatch(string(readme), -1) {
		documented = append(documented, metric(m[1], strings.Split(m[2], ",")))
	}
	slices.Sort(documented)
	defer func() {
		if t.Failed() {
			t.Logf("the program shows\n%q, the README lists\n%q", shown, documented)
		}
	}()
	s, _, _ := mirroredStack(t, 1) // a run has ended
	p := s.replica(t, "EVENTS_STREAM", "profile-events")
	family := regexp.MustCompile(`(?m)^# TYPE ((?:webhook|jobs|event|reconcile|health|disk|dependency|db_pool|rate_limit|auth|http|request|sentry|trace)_\S+) `)
	eventually(t, "the metrics are those of the README", func() bool {
		raw := p.rawMetrics(t)
		shown = nil
		for _, m := range family.FindAllSubmatch(raw, -1) {
			shown = append(shown, metric(string(m[1]), labelsOf(string(m[1]), raw)))
		}
		slices.Sort(shown)
		return slices.Equal(shown, documented)
	})
}

// metric writes a metric with its labels in order.
func metric(name string, labels []string) string {
	slices.Sort(labels)
	return name + "{" + strings.Join(labels, ",") + "}"
}

// labelsOf lists the labels of a metric, but a histogram's own.
func labelsOf(name string, raw []byte) (names []string) {
	series := regexp.MustCompile(`(?m)^` + name + `(?:_bucket)?\{(.*)\}`).FindSubmatch(raw)
	if series == nil {
		return nil
	}
	for _, m := range label.FindAllSubmatch(series[1], -1) {
		if string(m[1]) != "le" {
			names = append(names, string(m[1]))
		}
	}
	return names
}
