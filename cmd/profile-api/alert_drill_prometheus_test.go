//go:build drill

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/promfiles"
)

// shorter is by how much the drill's Prometheus lives faster: five minutes are 15 seconds.
const shorter = 20

var (
	ranges    = regexp.MustCompile(`\[([0-9]+)([mhd])\]`)
	durations = regexp.MustCompile(`(?m)^(\s*(?:for|interval): )([0-9]+)([mhd])\b`)
)

// shortened divides every range, every for and every interval of a file of rules. Thresholds stay.
func shortened(rules string) string {
	rules = ranges.ReplaceAllStringFunc(rules, func(s string) string {
		m := ranges.FindStringSubmatch(s)
		return "[" + divided(m[1], m[2]) + "]"
	})
	return durations.ReplaceAllStringFunc(rules, func(s string) string {
		m := durations.FindStringSubmatch(s)
		return m[1] + divided(m[2], m[3])
	})
}

func divided(number, unit string) string {
	n, _ := strconv.Atoi(number) // digits, by the expression
	n *= map[string]int{"m": 60, "h": 3600, "d": 86400}[unit]
	return strconv.Itoa(max(1, n/shorter)) + "s"
}

// prometheus is a real one, with the real rules at another pace.
type prometheus struct {
	url   string
	rules []promfiles.Rule
}

func startPrometheus(t *testing.T, targets ...string) *prometheus {
	t.Helper()
	path, found := process.Find("prometheus")
	if !found {
		if err := process.Install(t.Context(), t.Logf, "prometheus"); err != nil {
			t.Fatalf("no prometheus in PATH (Debian: apt-get install prometheus; or from prometheus.io): %v", err)
		}
		path, _ = process.Find("prometheus")
	}
	dir := t.TempDir()
	files, err := filepath.Glob(monitoring + "rules/*.yml")
	must(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(shortened(string(raw))), 0o600))
	}
	// A scrape takes up to two seconds while the database is away, so it cannot be as fast as the rest.
	config := fmt.Sprintf(`global: {scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}
rule_files: ["%s/*.yml"]
scrape_configs: [{job_name: profile-api, static_configs: [{targets: ["%s"]}]}]
`, dir, strings.Join(targets, `", "`))
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(config), 0o600))
	listed, err := promfiles.Rules(monitoring + "rules")
	must(t, err)
	address := freeAddr(t)
	cmd, done := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn"), make(chan struct{})
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	must(t, startTied(cmd, done))
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-done
	})
	p := &prometheus{url: "http://" + address, rules: listed}
	eventually(t, "Prometheus is ready", func() bool {
		res, err := client.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	t.Logf("%s lives %d times as fast as it would with %s", path, shorter, monitoring+"prometheus.yml")
	return p
}

func (p *prometheus) ask(t *testing.T, path string, into any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url+path, http.NoBody)
	must(t, err)
	r, err := send(req)
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("%s: %d, %v", path, r.status, err)
	}
	must(t, json.Unmarshal(r.body, into))
}

// firing are the descriptions of the alerts that fire, by the rule's name.
func (p *prometheus) firing(t *testing.T) map[string]string {
	t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels, Annotations map[string]string
				State               string
				ActiveAt            time.Time
			}
		}
	}
	p.ask(t, "/api/v1/alerts", &answer)
	list := map[string]string{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			list[promfiles.Rule{Alert: a.Labels["alertname"], Labels: a.Labels}.Name()] = a.Annotations["description"]
		}
	}
	return list
}

// up counts the targets that answer.
func (p *prometheus) up(t *testing.T) (n int) {
	t.Helper()
	var answer struct {
		Data struct {
			ActiveTargets []struct{ Health string }
		}
	}
	p.ask(t, "/api/v1/targets", &answer)
	for _, target := range answer.Data.ActiveTargets {
		if target.Health == "up" {
			n++
		}
	}
	return n
}
