package main_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/promfiles"
)

const monitoring = "../../deploy/monitoring/"

// exported are the samples of /metrics by name, each with the values of its labels.
type exported map[string]map[string][]string

func exportedBy(raw string) exported {
	all := exported{}
	for line := range strings.Lines(raw) {
		name, rest, _ := strings.Cut(line, "{")
		if line[0] == '#' {
			continue
		}
		if !strings.Contains(line, "{") {
			name, rest, _ = strings.Cut(line, " ")
		}
		if all[name] == nil {
			all[name] = map[string][]string{}
		}
		for _, m := range label.FindAllStringSubmatch(rest, -1) {
			all[name][m[1]] = append(all[name][m[1]], m[2])
		}
	}
	return all
}

// exists says what is wrong with a selector, or nothing. Prometheus adds job and
// instance to what it scrapes; a status may be one that nobody got yet.
func (all exported) exists(s promfiles.Selector) string {
	labels, ok := all[s.Metric]
	if !ok {
		return "there is no " + s.Metric
	}
	for _, m := range s.Matchers {
		if m.Label == "job" || m.Label == "instance" {
			continue
		}
		values := labels[m.Label]
		if values == nil {
			return s.Metric + " has no label " + m.Label
		}
		if m.Label == "status" {
			values = statuses
		}
		wanted := []string{regexp.QuoteMeta(m.Value)}
		if m.Op == "=~" || m.Op == "!~" {
			wanted = strings.Split(m.Value, "|")
		}
		for _, w := range wanted {
			form, err := regexp.Compile("^(?:" + w + ")$")
			if err != nil {
				return err.Error()
			}
			if !slices.ContainsFunc(values, form.MatchString) {
				return fmt.Sprintf("no %s has %s%s%q", s.Metric, m.Label, m.Op, w)
			}
		}
	}
	return ""
}

var statuses = func() (list []string) {
	for status := 200; status < 600; status++ {
		list = append(list, strconv.Itoa(status))
	}
	return list
}()

// fault says what an expression asks for that is not there.
func (all exported) fault(expr string) string {
	selectors, groupings, err := promfiles.Reads(expr)
	if err != nil {
		return err.Error()
	}
	known := []string{"job", "instance"}
	for _, s := range selectors {
		if fault := all.exists(s); fault != "" {
			return fault
		}
		for name := range all[s.Metric] {
			known = append(known, name)
		}
	}
	for _, g := range groupings {
		if !slices.Contains(known, g) {
			return "nothing in it has the label " + g
		}
	}
	return ""
}

// Each metric, label and value that a rule or the dashboard asks for is one that
// the running program shows, or that a rule records.
func TestRulesAndDashboardAskForWhatTheProgramShows(t *testing.T) {
	parallel(t)
	rules, err := promfiles.Rules(monitoring + "rules")
	if err != nil {
		t.Fatal(err)
	}
	board, err := promfiles.ReadDashboard(monitoring + "grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	queries := board.Queries()
	for _, r := range rules {
		queries = append(queries, promfiles.Query{Where: r.Name(), Expr: r.Expr})
	}
	s, _, _ := mirroredStack(t, 1) // a reconciliation has ended
	p := s.replica(t, "EVENTS_STREAM", "profile-events")
	beside := besideTheProgram(t)
	token, _ := s.person(t)
	if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
		t.Fatalf("me is %d: %s", r.status, r.body)
	}

	var faults []string
	defer func() { // also when the wait was in vain
		if len(queries) < 60 || len(faults) != 0 {
			t.Errorf("of %d queries these ask in vain:\n%s", len(queries), strings.Join(faults, "\n"))
		}
	}()
	eventually(t, "all that is asked for is there", func() bool {
		all := exportedBy(string(p.rawMetrics(t)) + beside)
		addOfPrometheus(all, rules)
		faults = nil
		for _, q := range queries {
			if fault := all.fault(q.Expr); fault != "" {
				faults = append(faults, q.Where+": "+fault)
			}
		}
		return len(faults) == 0 || len(faults) > 3 // a few may come with the first scrape; more will not come at all
	})
}

// addOfPrometheus adds what Prometheus itself makes: up, ALERTS, and what the rules record.
func addOfPrometheus(all exported, rules []promfiles.Rule) {
	all["up"] = map[string][]string{}
	alerts := map[string][]string{"alertstate": {"pending", "firing"}}
	for _, r := range rules {
		if r.Record != "" {
			all[r.Record] = map[string][]string{}
			continue
		}
		alerts["alertname"] = append(alerts["alertname"], r.Alert)
		for name, value := range r.Labels {
			alerts[name] = append(alerts[name], value)
		}
	}
	all["ALERTS"] = alerts
}

// The judge itself: what does not exist is noticed.
func TestWhatIsNotExportedIsNoticed(t *testing.T) {
	t.Parallel()
	all := exportedBy("# HELP a_total x\n" + `a_total{outcome="ok",status="200"} 1` + "\n" + `a_total{outcome="refused",status="404"} 2` + "\nb 3\n")
	for _, good := range []string{`a_total`, `sum by (outcome, job) (rate(a_total{job="x", outcome=~"ok|refused", status=~"5.."}[5m])) / on (job) b`, `a_total{outcome!="ok"}`} {
		if fault := all.fault(good); fault != "" {
			t.Errorf("%s: %s", good, fault)
		}
	}
	for _, bad := range []string{`c`, `b / a`, `a_total{kind="x"}`, `a_total{outcome="o"}`, `a_total{outcome=~"ok|dead"}`, `a_total{outcome!~"dead"}`, `a_total{status=~"6.."}`, `sum by (kind) (a_total)`, `b / on (kind) b`} {
		if all.fault(bad) == "" {
			t.Errorf("%s is not noticed", bad)
		}
	}
}
