package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
)

// measured are the metrics of the template that judges a canary, by name.
func measured(t *testing.T) map[string]object {
	t.Helper()
	metrics := map[string]object{}
	for _, m := range list(load(t, "production").one("AnalysisTemplate").at("spec", "metrics")) {
		metrics[text(at(m, "name"))] = object(m.(map[string]any))
	}
	if len(metrics) != 2 || metrics["error-rate"] == nil || metrics["latency-p95"] == nil {
		t.Fatalf("error rate and latency are not what is judged: %v", metrics)
	}
	return metrics
}

// query is a metric's PromQL, with the arguments that Argo Rollouts would put in.
func query(m object) string {
	return strings.NewReplacer("{{args.namespace}}", "profile-api", "{{args.pod-template-hash}}", "new").Replace(text(m.at("provider", "prometheus", "query")))
}

var (
	selector = regexp.MustCompile(`([a-z_:]+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
)

// unknown are the series and labels in a query that neither the program nor Prometheus provides.
func unknown(promQL string, provided map[string][]string) (faults []string) {
	found := selector.FindAllStringSubmatch(promQL, -1)
	if len(found) == 0 {
		return []string{"no series at all"}
	}
	for _, s := range found {
		labels, ok := provided[s[1]]
		if !ok {
			faults = append(faults, s[1])
		}
		for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
			// The first is Prometheus's own, the second the PodMonitor's.
			if !slices.Contains(append([]string{"namespace", "rollouts_pod_template_hash"}, labels...), l[1]) {
				faults = append(faults, s[1]+"'s label "+l[1])
			}
		}
		if !strings.Contains(s[2], `rollouts_pod_template_hash="new"`) || !strings.Contains(s[2], `namespace="profile-api"`) {
			faults = append(faults, s[1]+" of other pods than the canary's")
		}
	}
	return faults
}

// provided are the series that the program's chain exports, with their labels.
func provided() map[string][]string {
	descriptions := make(chan *prometheus.Desc, 100)
	described(descriptions)
	series := map[string][]string{}
	for d := range descriptions {
		m := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
		for _, suffix := range []string{"", "_count", "_sum", "_bucket"} {
			series[m[1]+suffix] = strings.Split(m[2], ",")
		}
	}
	return series
}

// described sends what the chain registers.
func described(ch chan<- *prometheus.Desc) {
	middleware.NewMetrics(registerer{ch})
	close(ch)
}

type registerer struct{ ch chan<- *prometheus.Desc }

func (r registerer) Register(c prometheus.Collector) error { c.Describe(r.ch); return nil }
func (r registerer) Unregister(prometheus.Collector) bool  { return false }
func (r registerer) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		c.Describe(r.ch)
	}
}

func TestTheAnalysisAsksForWhatTheProgramExports(t *testing.T) {
	series := provided()
	for name, m := range measured(t) {
		if faults := unknown(query(m), series); len(faults) > 0 {
			t.Errorf("%s asks for %q", name, faults)
		}
	}
	for _, wrong := range []string{
		`sum(http_requests_total{namespace="profile-api",rollouts_pod_template_hash="new"})`,
		`sum(http_request_duration_seconds_count{namespace="profile-api",rollouts_pod_template_hash="new",code="500"})`,
		`sum(http_request_duration_seconds_count{namespace="profile-api"})`, `vector(0)`,
	} {
		if len(unknown(wrong, series)) == 0 {
			t.Errorf("accepts %s", wrong)
		}
	}
}

// condition is the one form in which the template judges: that there is a result, and where it lies.
var condition = regexp.MustCompile(`^len\(result\) == 1 && result\[0\] (<=|>) ([0-9.]+)$`)

func TestEachMeasurementIsGoodBadOrSaysNothing(t *testing.T) {
	for name, limit := range map[string]string{"error-rate": "0.01", "latency-p95": "0.5"} {
		m := measured(t)[name]
		good, bad := condition.FindStringSubmatch(text(m.at("successCondition"))), condition.FindStringSubmatch(text(m.at("failureCondition")))
		if good == nil || bad == nil || good[1] != "<=" || bad[1] != ">" || good[2] != limit || bad[2] != limit {
			t.Errorf("%s is judged by %q and %q", name, good, bad)
		}
		count, failures, nothing := number(m.at("count")), number(m.at("failureLimit")), number(m.at("inconclusiveLimit"))
		wait, err := time.ParseDuration(text(m.at("initialDelay")))
		if err != nil || wait < time.Minute || failures > 1 || nothing*2 > count || count < 5 {
			t.Errorf("%s: after %s, %d measurements of which %d may fail and %d say nothing", name, wait, count, failures, nothing)
		}
	}
}

// traffic is what a canary and the version before it do, in requests per scrape, which is every 15 s.
type traffic struct {
	name             string
	ok, failed, slow int // the canary's; slow ones take between 0.5 and 1 s
	probes           int // the canary's health checks, all failing
	scanners         int // requests to the canary for what it does not have: 404, fast
	errorRate, p95   string
}

// The queries themselves, by Prometheus's own engine: what a canary answers under /v1 counts, what the others do and what probes and scanners ask for does not.
func TestTheAnalysisByPrometheus(t *testing.T) {
	var rules, tests []any
	for name, m := range measured(t) {
		rules = append(rules, map[string]any{"record": "judged:" + strings.ReplaceAll(name, "-", "_"), "expr": query(m)})
	}
	for _, c := range []traffic{
		{"good", 150, 0, 0, 0, 0, "0", "0.095"},
		{"good, and probed in vain", 150, 0, 0, 75, 0, "0", "0.095"},
		{"one in eleven fails", 150, 15, 0, 0, 0, "0.0909", "0.095"},
		{"one in ten slow", 135, 0, 15, 0, 0, "0", "0.75"},
		{"failing throughout", 0, 60, 0, 0, 0, "1", "0.095"},
		{"too little traffic", 1, 1, 0, 0, 0, "", ""},
		{"no traffic", 0, 0, 0, 135, 0, "", ""},
		{"good, and scanned", 150, 0, 0, 0, 300, "0", "0.095"},
		{"failing throughout among scanners", 0, 4, 0, 0, 600, "1", "0.095"},
		{"slow throughout among scanners", 0, 0, 4, 0, 600, "0", "0.975"},
		{"nobody but scanners", 0, 0, 0, 0, 150, "", ""},
	} {
		tests = append(tests, c.unit())
	}
	dir := t.TempDir()
	for name, content := range map[string]any{
		"rules.yml": map[string]any{"groups": []any{map[string]any{"name": "canary", "interval": "30s", "rules": rules}}},
		"test.yml":  map[string]any{"rule_files": []any{"rules.yml"}, "evaluation_interval": "30s", "tests": tests},
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

// unit is the traffic as a unit test of promtool's: series every 15 s, judged after 5 minutes.
func (c traffic) unit() any {
	var series []any
	add := func(hash, route, status string, fast, slow int) {
		labels := fmt.Sprintf(`namespace="profile-api",rollouts_pod_template_hash=%q,route=%q,status=%q`, hash, route, status)
		// All are in the bucket up to 1 s, the slow ones in none below.
		for bucket, n := range map[string]int{`_bucket{le="0.1",`: fast, `_bucket{le="0.5",`: fast, `_bucket{le="1",`: fast + slow, `_bucket{le="+Inf",`: fast + slow, `_count{`: fast + slow} {
			series = append(series, map[string]any{"series": "http_request_duration_seconds" + bucket + labels + "}", "values": "0+" + strconv.Itoa(n) + "x40"})
		}
	}
	if c.ok+c.slow > 0 {
		add("new", "/v1/profiles/me", "200", c.ok, c.slow)
	}
	if c.failed > 0 {
		add("new", "/v1/profiles/me", "500", c.failed, 0)
	}
	add("new", "/health/ready", "503", c.probes, 0)
	add("new", "unmatched", "404", c.scanners, 0)
	add("old", "/v1/profiles/me", "500", 750, 750) // the version before may be as bad as it likes
	expect := func(metric, value string) any {
		expr, samples := "judged:"+metric, []any{} // no result at all
		if value != "" {
			expr, samples = "abs("+expr+" - "+value+") < bool 0.001", append(samples, map[string]any{"labels": "{}", "value": 1})
		}
		return map[string]any{"expr": expr, "eval_time": "5m", "exp_samples": samples}
	}
	return map[string]any{"name": c.name, "interval": "15s", "input_series": series,
		"promql_expr_test": []any{expect("error_rate", c.errorRate), expect("latency_p95", c.p95)}}
}
