package kubernetes_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// kubectl stands in for the real one, since there is no cluster in a test: it writes down
// what it is told, and answers as the files beside it say. The first line of rollout
// is what the Rollout is at the beginning, as phase/ever healthy/available replicas/revision;
// each line of statuses is how the next look at it ends, and what it is from then on:
// good, bad, away (still under way, but the look failed), mute (it does not even say that),
// other (somebody has put another version in, and the look failed) or back (a person went back).
const kubectl = `#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
kustomize*) exec "$KUSTOMIZE" build "$2" ;;
esac
echo "$*" | sed 's#--filename [^ ]*manifests.yaml#FILE#' >>calls
case "$*" in
*"get rollout"*availableReplicas*) cat rollout ;;
*"get rollout"*"{.spec.template}") cat template ;;
*" --dry-run=server") [ ! -e refused ] ;;
*"component=api") if [ -e away ]; then exit 1; fi; echo new >template; [ ! -e half ] ;;
*"component=migration") if [ -e meanwhile ]; then cp meanwhile template; fi ;;
*"get rollout"*observedGeneration*) if [ -e mute ]; then rm mute; exit 1; fi; cat seen ;;
*"get rollout"*) echo registry.example.com/profile-api:2.0.0 ;;
*"get secret"*) [ ! -e no-secret ] ;;
*"get job"*) cat job ;;
*"rollouts version"*) [ ! -e no-plugin ] ;;
*" status "*)
	echo look >>looks
	case $(sed -n "$(wc -l <looks)p" statuses) in
	good) echo "2 2 Healthy" >seen; echo "Healthy/True/3/7" >rollout ;;
	bad) echo "2 2 Degraded" >seen; [ -s rollout ] || echo "Degraded///1" >rollout; exit 1 ;;
	other) echo other >template; exit 1 ;;
	back) echo old >template ;;
	mute) touch mute; exit 1 ;;
	*) exit 1 ;;
	esac ;;
*" delete rollout "*) : >rollout ;;
*" undo "*) [ ! -e no-undo ] && echo "3 2 Degraded" >seen && echo old >template ;;
esac
`

// releasing is one run of the release script against the stand-in.
type releasing struct {
	calls  []string
	output string
	status int
}

// standIn is a folder with the stand-in and its answers.
func standIn(t *testing.T, answers map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"kubectl": kubectl, "calls": "", "rollout": "Healthy/True/3/7", "template": "old", "seen": "2 2 Progressing", "looks": "",
		"job": "SuccessCriteriaMet Complete ", "statuses": "good\ngood\n",
	}
	maps.Copy(files, answers)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// release runs the script on a cluster that answers so.
func release(t *testing.T, answers map[string]string, args ...string) releasing {
	t.Helper()
	return releaseOn(t, standIn(t, answers), nil, args...)
}

// releaseOn runs the script against the stand-in in that folder, with these variables too.
func releaseOn(t *testing.T, dir string, variables []string, args ...string) releasing {
	t.Helper()
	calls := filepath.Join(dir, "calls")
	if err := os.WriteFile(calls, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bounded(t), "./release", args...)
	cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "KUSTOMIZE=" + tool(t, "kustomize"), "RELEASE_POLL=0.1", "TMPDIR=" + t.TempDir()}, variables...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(calls)
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
	asked      = "apply FILE --selector app.kubernetes.io/component=api --dry-run=server"
	server     = "apply FILE --selector app.kubernetes.io/component=api"
	watched    = "argo rollouts status profile-api --timeout 1h"
	aborted    = "argo rollouts abort profile-api"
	undone     = "argo rollouts undo profile-api --to-revision=7"
	settled    = "argo rollouts status profile-api --timeout 10m"
	removed    = "delete rollout profile-api --cascade=foreground"
)

// What is left of the time is less by the seconds that have gone by.
var (
	ofAnHour      = regexp.MustCompile(`--timeout 3[56][0-9]{2}s`)
	ofAFewMinutes = regexp.MustCompile(`--timeout [56][0-9]{2}s`)
)

// steps are the calls that change something, or wait for the rollout.
func (r releasing) steps() (steps []string) {
	for _, call := range r.calls {
		call = strings.TrimPrefix(strings.Replace(call, "argo rollouts --namespace profile-api ", "argo rollouts ", 1), "--namespace profile-api ")
		call = ofAFewMinutes.ReplaceAllString(ofAnHour.ReplaceAllString(call, "--timeout 1h"), "--timeout 10m")
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
		{"good", nil, 0, "released to production: registry.example.com/profile-api:2.0.0", []string{groundwork, asked, oldJob, migration, server, watched}},
		{"nobody answered for a moment", map[string]string{"statuses": "away\nmute\ngood\n"}, 0, "released", []string{groundwork, asked, oldJob, migration, server, watched, watched, watched}},
		{"bad after such a moment", map[string]string{"statuses": "mute\nbad\naway\ngood\n"}, 1, "rolled back", []string{groundwork, asked, oldJob, migration, server, watched, watched, aborted, undone, settled, settled}},
		{"healthy, but nobody saw it", map[string]string{"statuses": "away\n", "seen": "2 2 Healthy"}, 0, "released", []string{groundwork, asked, oldJob, migration, server, watched}},
		{"the one before was healthy", map[string]string{"statuses": "away\nbad\ngood\n", "seen": "2 1 Healthy"}, 1, "rolled back", []string{groundwork, asked, oldJob, migration, server, watched, watched, aborted, undone, settled}},
		{"first of all", map[string]string{"rollout": ""}, 0, "released", []string{groundwork, asked, oldJob, migration, server, watched}},
		{"bad version", map[string]string{"statuses": "bad\ngood\n"}, 1, "rolled back", []string{groundwork, asked, oldJob, migration, server, watched, aborted, undone, settled}},
		{"bad before too", map[string]string{"statuses": "bad\nbad\n"}, 1, "docs/runbooks/rollback.md", []string{groundwork, asked, oldJob, migration, server, watched, aborted, undone, settled}},
		{"no way back", map[string]string{"statuses": "bad\n", "no-undo": ""}, 1, "undo profile-api", []string{groundwork, asked, oldJob, migration, server, watched, aborted, undone}},
		{"bad first of all", map[string]string{"rollout": "", "statuses": "bad\n"}, 1, "no version before", []string{groundwork, asked, oldJob, migration, server, watched}},
		{"a first one that is half there", map[string]string{"rollout": "Degraded//2/1"}, 1, "was never healthy, but 2 of its replicas", nil},
		{"all replicas lost", map[string]string{"rollout": "Degraded/False/0/7"}, 1, "the rollout is Degraded", nil},
		{"failed migration", map[string]string{"job": "FailureTarget Failed "}, 1, "the server was left as it is", []string{groundwork, asked, oldJob, migration}},
		{"no secrets", map[string]string{"no-secret": ""}, 1, "no Secret profile-api-secrets", []string{groundwork}},
		{"refused by the cluster", map[string]string{"refused": ""}, 1, "nothing was migrated", []string{groundwork, asked}},
		{"applied by half", map[string]string{"half": ""}, 1, "rolled back", []string{groundwork, asked, oldJob, migration, server, aborted, undone, settled}},
		{"not applied", map[string]string{"away": ""}, 1, "the server was not changed", []string{groundwork, asked, oldJob, migration, server}},
		{"another release while it migrates", map[string]string{"meanwhile": "another"}, 1, "another release has changed the server", []string{groundwork, asked, oldJob, migration}},
		{"another release in the middle", map[string]string{"statuses": "other\nbad\n"}, 1, "Nothing was undone", []string{groundwork, asked, oldJob, migration, server, watched, watched}},
		{"a person went back", map[string]string{"statuses": "back\n"}, 1, "with another version than this one", []string{groundwork, asked, oldJob, migration, server, watched}},
		{"the first one is under way", map[string]string{"rollout": "Progressing///1"}, 1, "delete rollout profile-api", nil},
		{"another release", map[string]string{"rollout": "Paused/False/3/7"}, 1, "the rollout is Paused", nil},
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

// A first release that failed can be followed by another, of the same version too: nothing was good before, so that there is nothing to undo.
func TestAFirstReleaseThatFailedIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	dir := standIn(t, map[string]string{"rollout": "", "statuses": "bad\nbad\ngood\ngood\n"})
	for i, want := range []struct {
		status int
		steps  []string
	}{
		{1, []string{groundwork, asked, oldJob, migration, server, watched}},
		{1, []string{groundwork, asked, oldJob, migration, removed, server, watched}},
		{0, []string{groundwork, asked, oldJob, migration, removed, server, watched}},
		{0, []string{groundwork, asked, oldJob, migration, server, watched}},
	} {
		if r := releaseOn(t, dir, nil, "production", "2.0.0"); r.status != want.status || !slices.Equal(r.steps(), want.steps) {
			t.Errorf("run %d: status %d, want %d:\n%s\nthe steps were\n%s", i+1, r.status, want.status, r.output, strings.Join(r.steps(), "\n"))
		}
	}
}

// When the time is over and nobody can tell, the version before is put back. (It cannot be here, which ends the run.)
func TestAReleaseEndsInTime(t *testing.T) {
	t.Parallel()
	away := strings.Repeat("away\n", 100)
	r := releaseOn(t, standIn(t, map[string]string{"statuses": away, "no-undo": ""}), []string{"RELEASE_TIMEOUT=1s"}, "production", "2.0.0")
	if steps := r.steps(); r.status != 1 || !strings.Contains(r.output, "nobody could tell within 1s") || !slices.Contains(steps, undone) {
		t.Errorf("status %d:\n%s\n%q", r.status, r.output, steps)
	}
	if r := releaseOn(t, standIn(t, nil), []string{"RELEASE_TIMEOUT=soon"}, "production", "2.0.0"); r.status != 1 || !strings.Contains(r.output, "RELEASE_TIMEOUT") {
		t.Errorf("status %d: %s", r.status, r.output)
	}
}

// A job that has not ended yet is waited for.
func TestAReleaseWaitsForTheMigration(t *testing.T) {
	t.Parallel()
	// The stand-in answers by a command in place of a file: still running at first, then complete.
	waiting := strings.Replace(kubectl, "cat job", `echo again >>asked; [ "$(wc -l <asked)" -lt 3 ] || echo "Complete "`, 1)
	r := release(t, map[string]string{"kubectl": waiting}, "production", "2.0.0")
	calls := strings.Join(r.calls, "\n")
	if r.status != 0 || strings.Count(calls, "get job") != 3 || strings.LastIndex(calls, "component=api") < strings.LastIndex(calls, "get job") {
		t.Errorf("status %d, or the server did not wait for the migration:\n%s\n%s", r.status, r.output, calls)
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

// Who interrupts it while it watches is told that the rollout goes on; before that there is nothing to say.
func TestAReleaseThatIsInterruptedSaysWhatGoesOn(t *testing.T) {
	t.Parallel()
	for at, says := range map[string]bool{`*" status "*)`: true, `*" --dry-run=server")`: false} {
		waiting := strings.Replace(kubectl, at, at+" kill -TERM $PPID; exit 1 ;;\nnever)", 1)
		r := release(t, map[string]string{"kubectl": waiting}, "production", "2.0.0")
		if r.status != 1 || strings.Contains(r.output, "release: interrupted. The rollout goes on") != says || slices.Contains(r.steps(), undone) {
			t.Errorf("at %s: status %d:\n%s\n%q", at, r.status, r.output, r.steps())
		}
	}
}
