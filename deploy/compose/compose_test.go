// Package compose_test tries the scripts of this folder, in a tree of their own and with a stand-in for docker.
// The containers themselves are tried by the script smoke.
package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tree is a folder with the scripts where they belong.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "deploy", "compose"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"make-env", "up"} {
		text, err := os.ReadFile(filepath.Clean(script))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, "deploy/compose/"+script, string(text), 0o700)
	}
	put(t, dir, "bin/docker", docker, 0o700)
	return dir
}

// docker tells what it was asked to do, and fails when it is told to. The database's image is made of the files in the folder image.
const docker = `#!/bin/sh
case "$*" in
"compose config --services") printf 'valkey\npostgres\napi\n' ;;
"compose config --images postgres") echo "${DATABASE_IMAGE:-postgres:17-alpine}" ;;
"run "*" $DATABASE_IMAGE -c cd "*) cd image && cat Dockerfile pgbackrest.conf archiving.conf entrypoint backup ;;
*)
	echo "$* VERSION=$VERSION COMMIT=$COMMIT" >>docker.log
	[ "${*%% valkey*}" != "compose $DOCKER_FAILS" ] ;;
esac
`

func put(t *testing.T, dir, path, text string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, dir, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, filepath.Clean(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run runs a script with nothing but these variables in its environment.
func run(t *testing.T, dir, script string, environment ...string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "deploy/compose", script))
	cmd.Env = append([]string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}, environment...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, dir, script string, environment ...string) string {
	t.Helper()
	said, err := run(t, dir, script, environment...)
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, said)
	}
	return said
}

// A release stays the version that plain docker compose starts, and so does what a rollback writes there.
func TestTheVersionStaysInEnv(t *testing.T) {
	dir := tree(t)
	if said, err := run(t, dir, "up", "VERSION=1.0.0", "COMMIT=abc"); err == nil || !strings.Contains(said, "make env") {
		t.Errorf("without .env: %v: %s", err, said)
	}
	mustRun(t, dir, "make-env")
	before := get(t, dir, ".env")
	mustRun(t, dir, "up", "VERSION=1.0.0", "COMMIT=abc")
	mustRun(t, dir, "up", "VERSION=1.1.0-3-gdef", "COMMIT=def")
	if want := before + "VERSION=1.1.0-3-gdef\nCOMMIT=def\n"; get(t, dir, ".env") != want {
		t.Errorf("the file is %s\nwant %s", get(t, dir, ".env"), want)
	}
	if info, err := os.Stat(filepath.Join(dir, ".env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file may be read by others: %v, %v", info.Mode(), err)
	}
	want := "compose build valkey postgres api VERSION=1.0.0 COMMIT=abc\ncompose up --detach --wait VERSION=1.0.0 COMMIT=abc\n" +
		"compose build valkey postgres api VERSION=1.1.0-3-gdef COMMIT=def\ncompose up --detach --wait VERSION=1.1.0-3-gdef COMMIT=def\n"
	if log := get(t, dir, "docker.log"); log != want {
		t.Errorf("docker was asked for %s", log)
	}
	// An image that could not be built must not be what a restart looks for.
	if _, err := run(t, dir, "up", "VERSION=2.0.0", "COMMIT=bad", "DOCKER_FAILS=build"); err == nil || !strings.Contains(get(t, dir, ".env"), "VERSION=1.1.0-3-gdef\n") {
		t.Errorf("a build that failed: %v: %s", err, get(t, dir, ".env"))
	}
	for _, wrong := range []string{"", "a b", "1.0\nPOSTGRES_DB=x", "-x", "1:2"} {
		if said, err := run(t, dir, "up", "VERSION="+wrong, "COMMIT=abc"); err == nil {
			t.Errorf("the version %q was taken: %s", wrong, said)
		}
	}
}

// A release leaves the database's image as it is, and with it PostgreSQL, unless a file of it has changed.
func TestAReleaseDoesNotBuildTheDatabasesImage(t *testing.T) {
	dir := tree(t)
	mustRun(t, dir, "make-env")
	for _, file := range []string{"Dockerfile", "pgbackrest.conf", "archiving.conf", "entrypoint", "backup"} {
		for _, folder := range []string{"image/", "deploy/backup/"} {
			put(t, dir, folder+file, file+"\n", 0o600)
		}
	}
	for _, test := range []struct {
		image, file, text string
		built             bool
	}{
		{"profile-api-postgres:17", "deploy/backup/backup", "backup\n", false},
		{"profile-api-postgres:17", "deploy/backup/backup", "another\n", true},
		{"profile-api-postgres:17", "image/backup", "another\n", false},
		{"postgres:17-alpine", "image/backup", "another\n", true}, // without backups it is not built, nor is anything compared
	} {
		put(t, dir, test.file, test.text, 0o600)
		put(t, dir, "docker.log", "", 0o600)
		mustRun(t, dir, "up", "VERSION=1.0.0", "COMMIT=abc", "DATABASE_IMAGE="+test.image)
		if log := get(t, dir, "docker.log"); strings.HasPrefix(log, "compose build valkey postgres api ") != test.built || !strings.HasPrefix(log, "compose build valkey ") {
			t.Errorf("%+v: docker was asked for %s", test, log)
		}
	}
}

// Each secret that .env's stack needs is written once, and never over one that is there.
func TestEnvWritesWhatIsMissing(t *testing.T) {
	dir := tree(t)
	mustRun(t, dir, "make-env")
	secrets := contents(t, dir)
	if len(secrets) < 10 {
		t.Fatalf("only %d secrets were written", len(secrets))
	}
	env := get(t, dir, ".env")
	if said, err := run(t, dir, "make-env"); err == nil || !strings.Contains(said, "FORCE=1") {
		t.Errorf("with nothing to do: %v: %s", err, said)
	}
	for name := range secrets {
		if name == "clerk_secret_key" { // it belongs to .env's Clerk application, and no random one will do
			continue
		}
		if err := os.Remove(filepath.Join(dir, "secrets", name)); err != nil {
			t.Fatal(err)
		}
		if said := mustRun(t, dir, "make-env"); !strings.Contains(said, "missing: secrets/"+name+"\n") {
			t.Errorf("%s: %s", name, said)
		}
		now := contents(t, dir)
		if now[name] == "" {
			t.Errorf("%s was not written", name)
		}
		now[name] = secrets[name]
		for other := range secrets {
			if now[other] != secrets[other] {
				t.Errorf("without %s, %s was changed", name, other)
			}
		}
		put(t, dir, "secrets/"+name, secrets[name], 0o600)
	}
	if get(t, dir, ".env") != env {
		t.Error(".env was changed")
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		all[f.Name()] = get(t, dir, "secrets/"+f.Name())
	}
	return all
}

// Another Clerk application takes nothing else away: neither the version, nor the role that a rotation has left in use.
func TestAnotherEnvKeepsWhatIsOnes(t *testing.T) {
	dir := tree(t)
	mustRun(t, dir, "make-env")
	rotated := "postgres://profile_api_b:new@postgres:5432/profile_api?sslmode=disable\n"
	put(t, dir, "secrets/database_url", rotated, 0o600)
	own := "VERSION=1.2.0\nLOG_LEVEL=debug\nEXTRA=\"one\nCLERK_LIKE=two\nthree\"\nEMPTY=\"\"\nPLAIN='it is'\nCLERK_STANDIN_PORT=18081\nCOMPOSE_FILE=docker-compose.yml:deploy/backup/compose.yml\n"
	put(t, dir, ".env", get(t, dir, ".env")+"CLERK_JWT_KEY='-----BEGIN\nOLD=KEY\n-----END'\nCOMPOSE_PROFILES=standin\n# a remark\n"+own, 0o600)
	old := get(t, dir, ".env")
	said := mustRun(t, dir, "make-env", "FORCE=1", "CLERK_SECRET_KEY=sk_live_x", "CLERK_PUBLISHABLE_KEY=pk_live_y")
	env := get(t, dir, ".env")
	if _, taken, _ := strings.Cut(env, "# Taken over from before.\n"); taken != own {
		t.Errorf("taken over was %q, want %q", taken, own)
	}
	for _, gone := range []string{"OLD=KEY", "standin", "CLERK_STANDIN="} {
		if strings.Contains(env, gone) {
			t.Errorf("%s is still there: %s", gone, env)
		}
	}
	if !strings.Contains(said, "VERSION LOG_LEVEL EXTRA") || !regexp.MustCompile(`(?m)^In \.env\.old alone.*: CLERK_STANDIN CLERK_API_URL CLERK_JWT_KEY COMPOSE_PROFILES $`).MatchString(said) || get(t, dir, ".env.old") != old {
		t.Errorf("said %s; kept %s", said, get(t, dir, ".env.old"))
	}
	if got := get(t, dir, "secrets/database_url"); got != rotated {
		t.Errorf("the API's role is %s", got)
	}
	put(t, dir, "secrets/database_url", "postgres://profile_api:owner@postgres:5432/profile_api\n", 0o600)
	mustRun(t, dir, "make-env", "FORCE=1")
	if got := get(t, dir, "secrets/database_url"); !regexp.MustCompile(`^postgres://profile_api_a:[0-9a-f]{64}@`).MatchString(got) {
		t.Errorf("a URL from before there were two roles is %s", got)
	}
}
