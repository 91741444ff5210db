package kubernetes_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// kubectl stands in for the real one, since there is no cluster: it writes down
// what it is told, and answers as the files beside it say.
const kubectl = `#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
kustomize*) exec "$KUSTOMIZE" build "$2" ;;
esac
echo "$*" | sed 's#--filename [^ ]*manifests.yaml#FILE#' >>calls
case "$*" in
*"get rollout"*phase*) cat phase ;;
*"get rollout"*) echo registry.example.com/profile-api:2.0.0 ;;
*"get secret"*) [ ! -e no-secret ] ;;
*"get job"*) cat job ;;
*"rollouts version"*) [ ! -e no-plugin ] ;;
*" status "*) n=$(cat looks); echo $((n + 1)) >looks; sed -n "$((n + 1))p" statuses | grep -q good ;;
*" undo "*) [ ! -e no-undo ] ;;
esac
`

// releasing is one run of the release script against the stand-in.
type releasing struct {
	calls  []string
	output string
	status int
}

// release runs the script; answers are files beside the stand-in.
func release(t *testing.T, answers map[string]string, args ...string) releasing {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"calls": "", "phase": "Healthy", "job": "SuccessCriteriaMet Complete ", "looks": "0", "statuses": "good\ngood\n"}
	for name, content := range answers {
		files[name] = content
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(kubectl), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bounded(t), "./release", args...)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "KUSTOMIZE=" + tool(t, "kustomize"), "RELEASE_POLL=0.1", "TMPDIR=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return releasing{strings.Split(strings.TrimSpace(string(raw)), "\n"), string(out), cmd.ProcessState.ExitCode()}
}

// bounded ends a script that waits for ever.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// released is what the script would apply for a version.
func released(t *testing.T, overlay, version string) cluster {
	t.Helper()
	r := release(t, nil, "--show", overlay, version)
	c, err := parse([]byte(r.output))
	if err != nil || r.status != 0 {
		t.Fatalf("release --show %s %s: status %d, %v\n%s", overlay, version, r.status, err, r.output)
	}
	return c
}

const (
	groundwork = "apply FILE --selector app.kubernetes.io/component=groundwork"
	oldJob     = "delete job profile-api-migrate-2.0.0 --ignore-not-found"
	migration  = "apply FILE --selector app.kubernetes.io/component=migration"
	server     = "apply FILE --selector app.kubernetes.io/component=api"
	watched    = "argo rollouts status profile-api --timeout 1h"
	aborted    = "argo rollouts abort profile-api"
	undone     = "argo rollouts undo profile-api"
	settled    = "argo rollouts status profile-api --timeout 10m"
)

// steps are the calls that change something, or wait for the rollout.
func (r releasing) steps() (steps []string) {
	for _, call := range r.calls {
		call = strings.TrimPrefix(strings.Replace(call, "argo rollouts --namespace profile-api ", "argo rollouts ", 1), "--namespace profile-api ")
		if !strings.HasPrefix(call, "get ") && !strings.HasPrefix(call, "logs ") && call != "argo rollouts version" {
			steps = append(steps, call)
		}
	}
	return steps
}

func TestAReleaseGoesStepByStepAndBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[string]string
		status  int
		says    string
		steps   []string
	}{
		{"good", nil, 0, "released to production: registry.example.com/profile-api:2.0.0", []string{groundwork, oldJob, migration, server, watched}},
		{"first of all", map[string]string{"phase": ""}, 0, "released", []string{groundwork, oldJob, migration, server, watched}},
		{"bad version", map[string]string{"statuses": "bad\ngood\n"}, 1, "rolled back", []string{groundwork, oldJob, migration, server, watched, aborted, undone, settled}},
		{"bad before too", map[string]string{"statuses": "bad\nbad\n"}, 1, "docs/runbooks/rollback.md", []string{groundwork, oldJob, migration, server, watched, aborted, undone, settled}},
		{"no way back", map[string]string{"statuses": "bad\n", "no-undo": ""}, 1, "undo profile-api", []string{groundwork, oldJob, migration, server, watched, aborted, undone}},
		{"bad first of all", map[string]string{"phase": "", "statuses": "bad\n"}, 1, "no version before", []string{groundwork, oldJob, migration, server, watched, aborted}},
		{"failed migration", map[string]string{"job": "FailureTarget Failed "}, 1, "the server was left as it is", []string{groundwork, oldJob, migration}},
		{"no secrets", map[string]string{"no-secret": ""}, 1, "no Secret profile-api-secrets", []string{groundwork}},
		{"another release", map[string]string{"phase": "Paused"}, 1, "the rollout is Paused", nil},
		{"no plugin", map[string]string{"no-plugin": ""}, 1, "no plugin argo rollouts", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := release(t, c.answers, "production", "2.0.0")
			if r.status != c.status || !strings.Contains(r.output, c.says) || !slices.Equal(r.steps(), c.steps) {
				t.Errorf("status %d, want %d and %q:\n%s\nthe steps were\n%s", r.status, c.status, c.says, r.output, strings.Join(r.steps(), "\n"))
			}
		})
	}
}

// A job that has not ended yet is waited for.
func TestAReleaseWaitsForTheMigration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "timeout"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The stand-in answers by a command in place of a file: still running at first, then complete.
	waiting := strings.Replace(kubectl, "cat job", `echo again >>asked; [ "$(wc -l <asked)" -lt 3 ] || echo "Complete "`, 1)
	path := filepath.Join(dir, "kubectl")
	for name, content := range map[string]string{"kubectl": waiting, "calls": "", "phase": "Healthy", "looks": "0", "statuses": "good\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(bounded(t), "./release", "production", "2.0.0")
	cmd.Env = []string{"PATH=" + filepath.Dir(path) + ":" + os.Getenv("PATH"), "KUSTOMIZE=" + tool(t, "kustomize"), "RELEASE_POLL=0.1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	calls := string(raw)
	if strings.Count(calls, "get job") != 3 || strings.Index(calls, "component=api") < strings.LastIndex(calls, "get job") {
		t.Errorf("the server did not wait for the migration:\n%s", calls)
	}
}

func TestAReleaseRefusesWhatIsNoVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"nowhere", "1.0.0"}, {"production", "latest"}, {"production", "1.0.0/x"}, {"production", "1.0.0@sha256:0a"}, {"production", "1.0.0", "x"}} {
		if r := release(t, nil, args...); r.status != 1 || !strings.Contains(r.output, "release: ") || len(r.steps()) > 1 {
			t.Errorf("%q: status %d, %s, %q", args, r.status, r.output, r.calls)
		}
	}
}
