package backup_test

import (
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

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings reads NAME=VALUE and NAME = VALUE lines by section and name; a line of another form fails.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	found, section := map[string]string{}, ""
	for line := range strings.Lines(read(t, path)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]") + "/"
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || found[section+strings.TrimSpace(name)] != "" {
			t.Fatalf("%s: %q is no setting, or comes twice", path, line)
		}
		found[section+strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return found
}

func TestTheRepositoryIsEncryptedAndBounded(t *testing.T) {
	conf := settings(t, "pgbackrest.conf")
	for name, want := range map[string]string{
		"global/repo1-cipher-type": "aes-256-cbc", "global/repo1-retention-full": "4", "global/repo1-retention-diff": "14",
		"global/delta": "y", "profile-api/pg1-path": "/var/lib/postgresql/data", "profile-api/pg1-socket-path": "/var/run/postgresql",
	} {
		if conf[name] != want {
			t.Errorf("%s is %q, want %q", name, conf[name], want)
		}
	}
	for name := range conf {
		if strings.Contains(name, "cipher-pass") || strings.Contains(name, "-key") && !strings.HasSuffix(name, "-key-file") {
			t.Errorf("a secret in the configuration: %s", name)
		}
	}
	archiving := settings(t, "archiving.conf")
	if archiving["archive_mode"] != "on" || archiving["archive_timeout"] != "60s" || archiving["wal_level"] != "replica" ||
		archiving["archive_command"] != "'pgbackrest --stanza=profile-api archive-push %p'" {
		t.Errorf("PostgreSQL's archive settings are %v", archiving)
	}
}

// repositoryFolder is where pgBackRest keeps the repository that no setting puts elsewhere.
const repositoryFolder = "/var/lib/pgbackrest"

// The README's lines for an object store are added to settings that are there: pgBackRest refuses one that is set twice.
func TestTheObjectStoresLinesCanBeAdded(t *testing.T) {
	_, after, found := strings.Cut(read(t, "README.md"), "an object store, add")
	_, after, opened := strings.Cut(after, "```\n")
	block, _, closed := strings.Cut(after, "```\n")
	if !found || !opened || !closed || !strings.Contains(block, "repo1-type=s3\n") {
		t.Fatalf("the README has no lines for an object store: %s", block)
	}
	for line := range strings.Lines("repo1-cipher-pass=\n" + block) {
		name, _, _ := strings.Cut(line, "=")
		for _, file := range []string{"pgbackrest.conf", "kubernetes/pgbackrest.conf"} {
			if value, twice := settings(t, file)["global/"+name]; twice {
				t.Errorf("%s has %s=%s already", file, name, value)
			}
		}
	}
}

// In the cluster the database is elsewhere, and nothing else differs.
func TestKubernetesHasTheSameSettings(t *testing.T) {
	here, there := settings(t, "pgbackrest.conf"), settings(t, "kubernetes/pgbackrest.conf")
	for name, value := range here {
		if there[name] != value {
			t.Errorf("%s is %q here and %q there", name, value, there[name])
		}
	}
	for name := range there {
		if _, same := here[name]; !same && !strings.HasPrefix(name, "profile-api/pg1-host") {
			t.Errorf("only there: %s", name)
		}
	}
}

type composeFile struct {
	Services map[string]struct {
		Image, User string
		Build       any
		Entrypoint  []string
		Command     []string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Environment map[string]string
		Volumes     []string
		Networks    []string
		NetworkMode string `yaml:"network_mode"`
		Secrets     []any
		Profiles    []string
		Healthcheck struct{ Test any }
	}
	Volumes map[string]any
	Secrets map[string]struct{ File string }
}

func compose(t *testing.T, path string) (c composeFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheComposeOverrideFits(t *testing.T) {
	over := compose(t, "compose.yml")
	base := read(t, "../../docker-compose.yml")
	database, backup := over.Services["postgres"], over.Services["backup"]
	if database.Image != backup.Image || database.Build == nil {
		t.Error("the backups are taken by another image than the database's")
	}
	// Compose writes the service's name into an image that it builds for it: two builds of one name are two images in turn,
	// and PostgreSQL would be restarted by every second release.
	for name, service := range over.Services {
		if name != "postgres" && service.Build != nil {
			t.Errorf("%s builds the database's image a second time", name)
		}
	}
	if major, _, _ := strings.Cut(strings.SplitAfter(base, "image: postgres:")[1], "-"); database.Image != "profile-api-postgres:"+major {
		t.Errorf("the image is %s: when that names the program's version, each release restarts the database", database.Image)
	}
	if len(database.Command)+len(database.Entrypoint) > 0 {
		t.Error("the override must leave the command to docker-compose.yml; the image's entry point adds to it")
	}
	for _, volume := range []string{"postgres-data:/var/lib/postgresql/data", "postgres-run:/var/run/postgresql"} {
		if !strings.Contains(base, "- "+volume+"\n") || !slices.ContainsFunc(backup.Volumes, func(v string) bool { return strings.TrimSuffix(v, ":ro") == volume }) {
			t.Errorf("the database and the backups do not both have %s", volume)
		}
	}
	for _, service := range []string{"postgres", "backup"} {
		if !slices.Contains(over.Services[service].Volumes, "backup-repository:"+repositoryFolder) || len(over.Services[service].Secrets) != 1 {
			t.Errorf("%s lacks the repository or its passphrase", service)
		}
	}
	if !backup.ReadOnly || !slices.Contains(backup.CapDrop, "ALL") || len(backup.SecurityOpt) != 1 || backup.User != "postgres" || backup.Healthcheck.Test == nil {
		t.Error("the backups' container is not hardened, or nobody sees when it fails")
	}
	if len(backup.Profiles) > 0 {
		t.Error("a profile would let the database archive into a repository that nobody makes")
	}
	if backup.Environment["BACKUP_FULL_SECONDS"] != "604800" || backup.Environment["BACKUP_DIFFERENTIAL_SECONDS"] != "86400" || !slices.Equal(backup.Command, []string{"schedule"}) {
		t.Error("not a full backup a week and a differential one a day")
	}
	if over.Secrets["backup_conf"].File != "./secrets/backup_conf" || !strings.Contains(read(t, "../compose/make-env"), "keep_or_write backup_conf ") {
		t.Error("make env does not write the passphrase")
	}
	shown := over.Services["backup-metrics"]
	file := backup.Environment["BACKUP_METRICS_FILE"]
	if !shown.ReadOnly || !slices.Contains(shown.CapDrop, "ALL") || len(shown.SecurityOpt) != 1 || len(shown.Secrets) != 0 || !slices.Equal(shown.Volumes, []string{"backup-metrics:" + filepath.Dir(file) + ":ro"}) ||
		!slices.Equal(shown.Networks, []string{"monitoring"}) || !slices.Equal(shown.Profiles, []string{"monitoring"}) {
		t.Errorf("what shows the metrics sees more than these, or is seen by more than Prometheus: %+v", shown)
	}
	if backup.NetworkMode != "none" || !slices.Contains(backup.Volumes, "backup-metrics:"+filepath.Dir(file)) {
		t.Error("the backups' container has a network, or does not write where the metrics are read")
	}
	image, _, _ := strings.Cut(strings.SplitAfter(base, "image: postgres:")[1], "\n")
	if !strings.Contains(read(t, "Dockerfile"), "\nFROM postgres:"+image+"\n") {
		t.Errorf("the image is not built on postgres:%s, the one of docker-compose.yml", image)
	}
}

func TestKubernetesRunsTheSchedule(t *testing.T) {
	schedules := map[string]string{}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes/cronjobs.yaml")))
	for {
		var job struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct{ Schedule string }
		}
		if decoder.Decode(&job) != nil {
			break
		}
		schedules[job.Metadata.Name] = job.Spec.Schedule
		if job.Kind != "CronJob" {
			t.Errorf("%s is a %s", job.Metadata.Name, job.Kind)
		}
	}
	want := map[string]string{"backup": "17 * * * *", "backup-full": "17 2 * * 0", "backup-verify": "37 4 * * *", "backup-check": "47 * * * *"}
	if len(schedules) != len(want) {
		t.Errorf("the jobs are %v", schedules)
	}
	for name, schedule := range want {
		if schedules[name] != schedule {
			t.Errorf("%s runs at %q, want %q", name, schedules[name], schedule)
		}
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// What is due, and what status complains of, follow from what the repository says.
func TestTheScheduleFollowsTheRepository(t *testing.T) {
	for name, test := range map[string]struct {
		full, differential int64 // hours since; negative for never
		errored            bool
		once               string // the backup that is taken
		status             string // what status says
	}{
		"an empty repository":     {-1, -1, false, "full", "there is no full backup"},
		"all young":               {30, 3, false, "", "the last full backup is"},
		"a differential is due":   {30, 25, false, "diff", "the last full backup is"},
		"a full one is due":       {169, 1, false, "full", "the last full backup is"},
		"no differential for two": {90, 50, false, "diff", "FAILED: the last backup is 50 hours old"},
		"no full one for long":    {171, 1, false, "full", "FAILED: the last full backup is 171 hours old"},
		"only a full one":         {2, -1, false, "", "the last full backup is"},
		"damaged pages":           {30, 3, true, "", "FAILED: a backup has pages with wrong checksums"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, now := t.TempDir(), time.Now().Unix()
			entry := func(kind string, hours int64) string {
				if hours < 0 {
					return ""
				}
				return fmt.Sprintf(`{"error":%t,"label":"x","timestamp":{"start":1,"stop":%d},"type":"%s"}`, test.errored, now-hours*3600, kind)
			}
			list := strings.Trim(entry("full", test.full)+","+entry("diff", test.differential), ",")
			script(t, filepath.Join(dir, "pgbackrest"), `case "$*" in
*info*) echo '[{"backup":[`+list+`]}]' ;;
*verify*) echo 'status: ok, total valid files: 1' ;;
*backup) echo "took $*" ;;
esac`)
			run := func(command string) string {
				cmd := exec.CommandContext(t.Context(), "./backup", command)
				cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "BACKUP_METRICS_FILE=" + filepath.Join(dir, "backup.prom")}
				out, err := cmd.CombinedOutput()
				if failed := strings.Contains(string(out), "FAILED"); failed != (err != nil) {
					t.Errorf("%s: %v, and said %s", command, err, out)
				}
				return string(out)
			}
			if out := run("status"); !strings.Contains(out, test.status) {
				t.Errorf("status: %q, want %q", out, test.status)
			}
			if metric := read(t, filepath.Join(dir, "backup.prom")); !strings.Contains(metric, `backup_last_success_timestamp_seconds{type="full"} `) {
				t.Errorf("the metric: %s", metric)
			}
			out := run("once")
			if took := strings.Contains(out, "took"); took != (test.once != "") || took && !strings.Contains(out, "--type="+test.once+" ") {
				t.Errorf("once: %q, want %q", out, test.once)
			}
		})
	}
}
