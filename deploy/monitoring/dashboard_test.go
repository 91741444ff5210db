package monitoring_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/profile-api/profile-api/internal/promfiles"
)

const dashboardFile = "grafana/dashboard.json"

func dashboard(t *testing.T) *promfiles.Dashboard {
	t.Helper()
	d, err := promfiles.ReadDashboard(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// units are those of Grafana's own list that a panel here may have.
var units = []string{"short", "percent", "percentunit", "s", "reqps", "ops", "bytes"}

func TestTheDashboardIsWhole(t *testing.T) {
	t.Parallel()
	d := dashboard(t)
	if d.SchemaVersion != 39 || d.UID != "profile-api" || d.Title == "" {
		t.Errorf("schema %d, uid %q, title %q", d.SchemaVersion, d.UID, d.Title)
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Type == "query" && v.Datasource.UID != "${datasource}" {
			t.Errorf("the variable %s asks %q, not the source that is chosen", v.Name, v.Datasource.UID)
		}
	}
	if !slices.Equal(names, []string{"datasource", "job", "instance"}) || d.Templating.List[0].Type != "datasource" || d.Templating.List[0].Query != "prometheus" {
		t.Errorf("the variables are %q", names)
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	for _, p := range d.Panels {
		if p.ID <= 0 || ids[p.ID] || p.Title == "" || titles[p.Title] {
			t.Errorf("panel %d, %q: its id or title is missing, or there twice", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		checkPanel(t, p)
	}
	for i, p := range d.Panels {
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%q lies upon %q", p.Title, q.Title)
			}
		}
	}
}

func checkPanel(t *testing.T, p promfiles.Panel) {
	t.Helper()
	if p.GridPos.W <= 0 || p.GridPos.H <= 0 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 {
		t.Errorf("%q has no place in the grid: %+v", p.Title, p.GridPos)
	}
	switch p.Type {
	case "row":
		if len(p.Targets) != 0 {
			t.Errorf("the row %q asks something", p.Title)
		}
		return
	case "timeseries", "stat":
	default:
		t.Errorf("%q is a %q", p.Title, p.Type)
	}
	if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
		t.Errorf("%q has the unit %q", p.Title, p.FieldConfig.Defaults.Unit)
	}
	if p.Datasource.UID != "${datasource}" || p.Datasource.Type != "prometheus" || len(p.Targets) == 0 {
		t.Errorf("%q asks %+v", p.Title, p.Datasource)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.RefID == "" || refs[target.RefID] || target.Datasource != p.Datasource || target.Expr == "" {
			t.Errorf("%q: query %q is wrong: %+v", p.Title, target.RefID, target)
		}
		refs[target.RefID] = true
		// A duration is seconds, a ratio of requests a percentage: the unit must be that of what is asked.
		want := ""
		switch {
		case strings.Contains(target.Expr, "histogram_quantile") || strings.Contains(target.Expr, "_seconds:p95") || strings.HasPrefix(target.Expr, "max(webhook_oldest"):
			want = "s"
		case strings.Contains(target.Expr, "_percent"):
			want = "percent"
		case strings.Contains(target.Expr, "_bytes"):
			want = "bytes"
		case strings.Contains(target.Expr, "_ratio:") && !strings.Contains(p.Title, "burns"):
			want = "percentunit"
		}
		if want != "" && p.FieldConfig.Defaults.Unit != want {
			t.Errorf("%q shows %s in %s", p.Title, target.Expr, p.FieldConfig.Defaults.Unit)
		}
	}
}

// Each query is PromQL: promtool reads it as a rule.
func TestTheQueriesArePromQL(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var file struct {
		Groups []map[string]any `yaml:"groups"`
	}
	for i, q := range dashboard(t).Queries() {
		file.Groups = append(file.Groups, map[string]any{"name": q.Where + " " + string(rune('a'+i)), "rules": []rule{{"query", q.Expr}}})
	}
	out, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "queries.yml")
	write(t, path, out)
	if said, ok := run(t, "check", "rules", "--lint=none", path); !ok {
		t.Errorf("promtool: %s", said)
	}
}

// What is asked for in issue and objectives is shown.
func TestTheDashboardShowsWhatMatters(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, q := range dashboard(t).Queries() {
		all.WriteString(q.Expr + "\n")
	}
	for _, needle := range []string{
		"histogram_quantile(0.5,", "histogram_quantile(0.95,", "histogram_quantile(0.99,", `status=~"5.."`, "rate_limit_decisions_total", "db_pool_", "health_status",
		`auth_token_verifications_total{job=~"$job", instance=~"$instance", outcome!="ok"`, "request_timeouts_total", "jobs_", "webhook_", "event_outbox_", "job:api_error_ratio:rate3d", "job:api_slow_ratio:rate3d",
	} {
		if !strings.Contains(all.String(), needle) {
			t.Errorf("no query has %s", needle)
		}
	}
}

func TestGrafanaIsProvisioned(t *testing.T) {
	t.Parallel()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, URL, UID string
			IsDefault            bool `yaml:"isDefault"`
			Editable             bool
		} `yaml:"datasources"`
	}
	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		} `yaml:"providers"`
	}
	for path, into := range map[string]any{
		"grafana/provisioning/datasources/prometheus.yml": &sources,
		"grafana/provisioning/dashboards/profile-api.yml": &providers,
	} {
		if err := yaml.Unmarshal(read(t, path), into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if sources.APIVersion != 1 || len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "http://prometheus:9090" || !sources.Datasources[0].IsDefault {
		t.Errorf("the sources are %+v", sources)
	}
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if providers.APIVersion != 1 || len(providers.Providers) != 1 || providers.Providers[0].Type != "file" ||
		!strings.Contains(string(compose), "./deploy/monitoring/"+dashboardFile+":"+providers.Providers[0].Options.Path+"/") {
		t.Errorf("the providers are %+v, and docker-compose.yml puts the dashboard elsewhere", providers)
	}
}
