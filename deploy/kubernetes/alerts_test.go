package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// job is what the Prometheus operator (0.85, pkg/prometheus/promcfg.go) calls the job of an overlay's
// PodMonitor: namespace/name, or the pods' label that it names, or what a relabeling puts in its place.
func job(c cluster) string {
	m := c.one("PodMonitor")
	name := fmt.Sprintf("%v/%v", m.at("metadata", "namespace"), m.name())
	if label := text(c.one("Rollout").pod().at("metadata", "labels", text(m.at("spec", "jobLabel")))); label != "" {
		name = label
	}
	for _, r := range list(m.at("spec", "podMetricsEndpoints", "0", "relabelings")) {
		if at(r, "targetLabel") == "job" && at(r, "sourceLabels") == nil {
			name = text(at(r, "replacement"))
		}
	}
	return name
}

// groups are groups of rules by name.
func groups(t *testing.T, all any) map[string]any {
	t.Helper()
	named := map[string]any{}
	for _, g := range list(all) {
		if named[text(at(g, "name"))] != nil {
			t.Errorf("two groups are called %v", at(g, "name"))
		}
		named[text(at(g, "name"))] = g
	}
	return named
}

// The rules on the cluster are those of deploy/monitoring, all of them, and they are not in staging.
func TestTheClusterHasTheRules(t *testing.T) {
	var want []any
	files, err := filepath.Glob("../monitoring/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f map[string]any
		if err := yaml.Unmarshal(raw, &f); err != nil {
			t.Fatal(err)
		}
		if len(f) != 1 {
			t.Errorf("%s holds more than groups", file)
		}
		want = append(want, list(f["groups"])...)
	}
	have := load(t, "production").named("PrometheusRule", "profile-api").at("spec", "groups")
	if !reflect.DeepEqual(groups(t, have), groups(t, want)) {
		t.Error("overlays/production/prometheusrule.yaml holds other rules than deploy/monitoring/rules: run deploy/kubernetes/rules")
	}
	raw, err := os.ReadFile("overlays/production/prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if made := run(t, nil, "./rules", "--print"); made != string(raw) {
		t.Error("overlays/production/prometheusrule.yaml is not what deploy/kubernetes/rules makes: run it")
	}
	if n := len(load(t, "staging").all("PrometheusRule")); n != 0 {
		t.Errorf("staging has %d objects with rules: in one Prometheus they would count production's series again", n)
	}
}

// deployment is how one of them is doing, in requests per scrape, which is every 15 s.
type deployment struct {
	overlay    string
	ok, failed int
	health     int // of health_status
}

// series are what Prometheus reads of one pod, with the labels that the operator and the overlay give it.
func (s deployment) series(c cluster) (all []any) {
	add := func(name, labels string, first, step int) {
		namespace := text(c.one("PodMonitor").at("metadata", "namespace"))
		all = append(all, map[string]any{
			"series": fmt.Sprintf(`%s{job=%q,namespace=%q,pod="profile-api-0",instance="10.0.0.1:9090",endpoint="ops"%s}`, name, job(c), namespace, labels),
			"values": fmt.Sprintf("%d+%dx48", first, step),
		})
	}
	add("up", "", 1, 0)
	add("health_status", `,check="overall"`, s.health, 0)
	for status, n := range map[string]int{"200": s.ok, "500": s.failed} {
		for _, suffix := range []string{"_count{", `_bucket{le="0.3",`, `_bucket{le="0.5",`, `_bucket{le="+Inf",`} {
			name, bucket, _ := strings.Cut("http_request_duration_seconds"+suffix, "{")
			add(name, ","+bucket+fmt.Sprintf(`route="/v1/profiles/me",status=%q`, status), 0, n)
		}
	}
	return all
}

// The rules as they come to the cluster, by Prometheus's own engine, on series labelled as the operator would.
func TestTheAlertsFireOnTheCluster(t *testing.T) {
	dir := t.TempDir()
	firing := `count by (alertname) (ALERTS{alertstate="firing",severity="page",window=""})`
	unit := func(name string, fires []string, conditions ...deployment) any {
		var series, samples []any
		for _, s := range conditions {
			series = append(series, s.series(load(t, s.overlay))...)
		}
		for _, alert := range fires {
			samples = append(samples, map[string]any{"labels": fmt.Sprintf(`{alertname=%q}`, alert), "value": 1})
		}
		return map[string]any{"name": name, "interval": "15s", "input_series": series,
			"promql_expr_test": []any{map[string]any{"expr": firing, "eval_time": "12m", "exp_samples": samples}}}
	}
	both := []string{"ProfileAPIErrorRateHigh", "ProfileAPIHealthFailing"}
	for name, content := range map[string]any{
		"rules.yml": load(t, "production").one("PrometheusRule").at("spec"),
		"test.yml": map[string]any{"rule_files": []any{"rules.yml"}, "evaluation_interval": "30s", "tests": []any{
			unit("all is well", nil, deployment{"production", 150, 0, 1}),
			unit("half of all requests fail", both, deployment{"production", 75, 75, 0}),
			unit("staging fails", nil, deployment{"production", 150, 0, 1}, deployment{"staging", 0, 750, 0}),
			unit("staging is well and much used", both, deployment{"production", 75, 75, 0}, deployment{"staging", 150000, 0, 1}),
			unit("nobody is there", []string{"ProfileAPIInstanceDown"}),
		}},
	} {
		raw, err := yaml.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(tool(t, "promtool"), "test", "rules", filepath.Join(dir, "test.yml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
