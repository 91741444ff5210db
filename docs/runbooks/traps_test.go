package runbooks_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/runbooks"
)

// Commands that look right and do nothing, or the wrong thing, by what they lack.
var traps = []struct {
	found, unless *regexp.Regexp
	why           string
}{
	{
		regexp.MustCompile(`rollouts .*\bundo .*`), regexp.MustCompile(`--to-revision=N`),
		"without the revision it takes the newest but one, which may be the bad one",
	},
	{regexp.MustCompile(`kubectl (?:-n \S+ )?rollout `), nil, "the workload is an Argo Rollout: kubectl argo rollouts"},
	{
		regexp.MustCompile(`kubectl .*`), regexp.MustCompile(`kubectl (?:argo rollouts )?(?:-n \S+|--all-namespaces|apply -k|create namespace|(?:get|describe) node)`),
		"no namespace is named",
	},
	{
		regexp.MustCompile(`docker compose .*\bup\b.* api\b`), regexp.MustCompile(`--force-recreate|--no-build`),
		"without --force-recreate a changed file in secrets/ has no effect",
	},
	{
		regexp.MustCompile(`docker compose .*\b(?:up|run)\b.* (?:api|migrate|backup|waf)\b`), regexp.MustCompile(`--no-deps`),
		"without --no-deps other containers are started too, or recreated",
	},
	{regexp.MustCompile(`\$compose\b|docker compose -f `), nil, "files belong into COMPOSE_FILE of .env: who forgets one recreates PostgreSQL without its archive"},
	{regexp.MustCompile(`deploy/kubernetes/release\b.*`), regexp.MustCompile(`release (?:--show )?(?:staging|production) (?:VERSION|1\.4\.0)`), "the release needs the overlay and the version"},
}

// Commands that a page may name, in order to forbid them, and not tell to run.
var dangers = regexp.MustCompile(`prune .*--all|volume prune|down .*--volumes|migrate down|FLUSHALL`)

func trapped(line string) (why string) {
	for _, trap := range traps {
		if at := trap.found.FindString(line); at != "" && (trap.unless == nil || !trap.unless.MatchString(line)) {
			return trap.why
		}
	}
	return ""
}

func TestTrapsAreTold(t *testing.T) {
	for line, trap := range map[string]bool{
		"kubectl rollout restart deployment/x":                                  true,
		"kubectl -n profile-api rollout status x":                               true,
		"kubectl argo rollouts -n profile-api undo profile-api":                 true,
		"kubectl argo rollouts -n profile-api undo profile-api --to-revision=N": false,
		"kubectl get pods": true,
		"kubectl create job --from=cronjob/backup-full NAME":                       true,
		"kubectl argo rollouts status profile-api":                                 true,
		"docker compose up --detach --wait --no-deps api":                          true,
		"docker compose up -d --no-deps api":                                       true,
		"docker compose up -d --force-recreate api":                                true,
		"docker compose run --rm migrate migrate status":                           true,
		"docker compose --profile waf up -d waf":                                   true,
		"$compose up --detach --wait":                                              true,
		"docker compose -f docker-compose.yml -f deploy/backup/compose.yml up":     true,
		"deploy/kubernetes/release":                                                true,
		"deploy/kubernetes/release --show production":                              true,
		"kubectl argo rollouts -n profile-api restart profile-api":                 false,
		"docker compose up --detach --wait --no-deps --force-recreate api":         false,
		"docker compose up -d --wait --no-deps --no-build api":                     false,
		"docker compose up --detach --wait postgres":                               false,
		"docker compose run --rm --no-deps --entrypoint pgbackrest backup":         false,
		"deploy/kubernetes/release production VERSION":                             false,
		"deploy/kubernetes/release --show production VERSION | kubectl -n x apply": false,
		"kubectl -n profile-api exec POD -- /profile-api doctor --json":            false,
		"kubectl -n profile-api create job --from=cronjob/backup-full backup-now":  false,
	} {
		if got := trapped(line) != ""; got != trap {
			t.Errorf("%s: %q", line, trapped(line))
		}
	}
	for _, line := range []string{"docker image prune --all", "docker system prune -f --all", "docker volume prune", "docker compose down --volumes"} {
		if !dangers.MatchString(line) {
			t.Errorf("%s is no danger", line)
		}
	}
}

func TestNoCommandIsATrap(t *testing.T) {
	readmes, err := filepath.Glob("../../deploy/*/README.md")
	if err != nil || len(readmes) < 2 {
		t.Fatalf("%v, %v", readmes, err)
	}
	all := pages(t)
	for _, readme := range append(readmes, "../../README.md") {
		more, err := runbooks.Read(filepath.Dir(readme))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range more {
			p.Name = filepath.Base(filepath.Dir(readme)) + "/" + p.Name
			all = append(all, p)
		}
	}
	looked := 0
	for _, p := range all {
		for _, b := range p.Of("sh") {
			// A command that goes on in the next line is one.
			for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", " ")) {
				looked++
				line = strings.TrimSpace(line)
				if why := trapped(line); why != "" {
					t.Errorf("%s.md: %s: %s", p.Name, line, why)
				}
				if dangers.MatchString(line) {
					t.Errorf("%s.md: %s: what may be lost is nowhere else", p.Name, line)
				}
			}
		}
		for _, span := range p.Spans {
			looked++
			if why := trapped(span); why != "" {
				t.Errorf("%s.md: %s: %s", p.Name, span, why)
			}
		}
	}
	if looked < 300 {
		t.Errorf("only %d commands and words were looked at", looked)
	}
}
