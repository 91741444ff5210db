package backup_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// toolPatience allows for a tool to be built, once.
const toolPatience = 10 * time.Minute

// promtool runs the pinned one and gives what it says.
func promtool(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolPatience)
	defer cancel()
	path, err := exec.CommandContext(ctx, "../../internal/tools/tool", "promtool").Output()
	if err != nil {
		t.Fatalf("there is no promtool: %v", err)
	}
	cmd := exec.CommandContext(ctx, strings.TrimSpace(string(path)), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// told runs status on a repository with these backups, of a server that answers by psql, and gives the series it writes.
func told(t *testing.T, info, psql string, env ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	script(t, filepath.Join(dir, "pgbackrest"), "echo '"+info+"'")
	script(t, filepath.Join(dir, "psql"), psql)
	file := filepath.Join(dir, "metrics.txt")
	cmd := exec.CommandContext(t.Context(), "./backup", "status")
	cmd.Env = slices.Concat(env, []string{"PATH=" + dir + ":/usr/bin:/bin", "BACKUP_METRICS_FILE=" + file})
	said, err := cmd.CombinedOutput()
	if _, missing := os.Stat(file); missing != nil {
		t.Fatalf("nothing was written: %v, %s", err, said)
	}
	if out, err := promtool(t, read(t, file), "check", "metrics"); err != nil {
		t.Errorf("promtool: %v: %s", err, out)
	}
	series := map[string]string{}
	for line := range strings.Lines(read(t, file)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			series[name] = value
		}
	}
	return series
}

// Prometheus is told what status finds, also of a repository that status complains of, with the limits that status has.
func TestTheMetricsAreWhatStatusFinds(t *testing.T) {
	const entry = `{"error":%t,"label":"x","timestamp":{"start":1,"stop":%d},"type":"%s"}`
	limits := map[string]string{`backup_max_age_seconds{type="full"}`: "612000", `backup_max_age_seconds{type="any"}`: "93600"}
	for name, test := range map[string]struct {
		backups, psql string
		env           []string
		want          map[string]string
	}{
		"old backups": {fmt.Sprintf(entry+","+entry, false, 1000, "full", false, 2000, "diff"), "echo 17", []string{"PGHOST=/run"}, map[string]string{
			`backup_last_success_timestamp_seconds{type="full"}`: "1000", `backup_last_success_timestamp_seconds{type="any"}`: "2000",
			"backup_damaged": "0", "backup_wal_waiting_seconds": "17",
		}},
		"no backup, and no answer": {"", "exit 2", []string{"PGHOST=/run"}, map[string]string{
			`backup_last_success_timestamp_seconds{type="full"}`: "0", `backup_last_success_timestamp_seconds{type="any"}`: "0",
			"backup_damaged": "0", "backup_wal_waiting_seconds": "+Inf",
		}},
		"damaged pages, nobody to be asked": {fmt.Sprintf(entry, true, 1000, "full"), "echo 17", nil, map[string]string{
			`backup_last_success_timestamp_seconds{type="full"}`: "1000", `backup_last_success_timestamp_seconds{type="any"}`: "1000", "backup_damaged": "1",
		}},
		"other limits": {"", "echo 0", []string{"PGHOST=/run", "BACKUP_FULL_SECONDS=3600", "BACKUP_DIFFERENTIAL_SECONDS=10", "BACKUP_GRACE_SECONDS=1"}, map[string]string{
			`backup_last_success_timestamp_seconds{type="full"}`: "0", `backup_last_success_timestamp_seconds{type="any"}`: "0",
			"backup_damaged": "0", "backup_wal_waiting_seconds": "0", `backup_max_age_seconds{type="full"}`: "3601", `backup_max_age_seconds{type="any"}`: "11",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := time.Now().Unix()
			series := told(t, `[{"backup":[`+test.backups+`]}]`, test.psql, test.env...)
			var checked int64
			if _, err := fmt.Sscan(series["backup_checked_timestamp_seconds"], &checked); err != nil || checked < before || checked > time.Now().Unix() {
				t.Errorf("checked at %q", series["backup_checked_timestamp_seconds"])
			}
			for limit, value := range limits {
				if test.want[limit] == "" {
					test.want[limit] = value
				}
			}
			for name, value := range test.want {
				if series[name] != value {
					t.Errorf("%s is %q, want %q", name, series[name], value)
				}
			}
			if len(series) != len(test.want)+1 {
				t.Errorf("the series are %v", series)
			}
		})
	}
}

// A repository that cannot be read leaves the old file, whose times then tell.
func TestAnUnreadableRepositoryLeavesTheMetrics(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "pgbackrest"), "exit 1")
	file := filepath.Join(dir, "metrics.txt")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "./backup", "status")
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "BACKUP_METRICS_FILE=" + file}
	if out, err := cmd.CombinedOutput(); err == nil || read(t, file) != "before" {
		t.Errorf("status: %v, %s; the file: %s", err, out, read(t, file))
	}
}

// scrapeJob is a job of a Prometheus configuration whose targets stand in files.
type scrapeJob struct {
	Name  string `yaml:"job_name"`
	Path  string `yaml:"metrics_path"`
	Files []struct {
		Files []string
	} `yaml:"file_sd_configs"`
}

// backupJob is the one of deploy/monitoring that asks for the backups.
func backupJob(t *testing.T) (job scrapeJob) {
	t.Helper()
	var configuration struct {
		Jobs []scrapeJob `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "../monitoring/prometheus.yml")), &configuration); err != nil {
		t.Fatal(err)
	}
	for _, job := range configuration.Jobs {
		if job.Name == "profile-api-backup" && len(job.Files) == 1 && len(job.Files[0].Files) == 1 {
			return job
		}
	}
	t.Fatal("Prometheus has no job profile-api-backup with targets from files")
	return job
}

// The targets that compose brings lie where the job looks, and are the file and container of compose.yml.
func TestPrometheusFindsTheMetrics(t *testing.T) {
	over, job := compose(t, "compose.yml"), backupJob(t)
	var groups []struct{ Targets []string }
	if err := yaml.Unmarshal([]byte(read(t, "targets.yml")), &groups); err != nil || len(groups) != 1 {
		t.Fatalf("targets.yml: %v, %+v", err, groups)
	}
	shown := over.Services["backup-metrics"]
	port := slices.Index(shown.Command, "-p") + 1
	if !slices.Equal(shown.Entrypoint, []string{"httpd"}) || !slices.Equal(groups[0].Targets, []string{"backup-metrics:" + shown.Command[port]}) ||
		over.Services["backup"].Environment["BACKUP_METRICS_FILE"] != shown.Command[slices.Index(shown.Command, "-h")+1]+job.Path {
		t.Errorf("Prometheus asks %q for %s, and %q is shown", groups[0].Targets, job.Path, shown.Command)
	}
	// Prometheus takes no content type but a few; httpd chooses it by the name, and has text/plain for this one.
	if !strings.HasSuffix(job.Path, ".txt") {
		t.Errorf("%s would not be text", job.Path)
	}
	if !strings.Contains(read(t, "Dockerfile"), " "+filepath.Dir(over.Services["backup"].Environment["BACKUP_METRICS_FILE"])+";") {
		t.Error("the image lacks the folder, so that the volume would be root's")
	}
	const target = "/etc/prometheus/targets/backup.yml"
	if !slices.Equal(over.Services["prometheus"].Volumes, []string{"./deploy/backup/targets.yml:" + target + ":ro"}) {
		t.Errorf("Prometheus gets %q", over.Services["prometheus"].Volumes)
	}
	if ok, err := filepath.Match(filepath.Join("/etc/prometheus", job.Files[0].Files[0]), target); err != nil || !ok {
		t.Errorf("Prometheus looks at %s, and the file is %s", job.Files[0].Files[0], target)
	}
}
