package tools_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A tree with one small program, in git, that no check has anything against.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{
		"go.mod": "module example.org/small\n\ngo 1.26\n",
		"cmd/profile-api/main.go": "// Package main is small.\npackage main\n\nimport (\n\t\"fmt\"\n\t\"net/url\"\n)\n\n" +
			"func main() {\n\tu, err := url.Parse(\"https://example.org\")\n\tfmt.Println(u, err)\n}\n",
		"Dockerfile": "FROM golang:1.26-alpine AS build\nCOPY . .\nRUN go build -o /out ./cmd/profile-api\n" +
			"FROM gcr.io/distroless/static-debian12:nonroot AS profile-api\nCOPY --from=build /out /profile-api\nUSER 65532:65532\n",
		".dockerignore": "*\n!cmd\n!go.mod\n",
		".gitignore":    "/bin/\n/.env\n",
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		write(t, filepath.Join(dir, name), text)
	}
	git(t, dir, "init", "-q")
	commit(t, dir)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	args = append([]string{"-C", dir, "-c", "user.name=somebody", "-c", "user.email=somebody@invalid", "-c", "commit.gpgsign=false"}, args...)
	if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git: %v\n%s", err, out)
	}
}

func commit(t *testing.T, dir string) {
	t.Helper()
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "--no-verify", "-m", "change")
}

// security runs the script on the tree and gives its exit status and all that it printed.
func security(t *testing.T, dir string, env []string, checks ...string) (status int, printed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./security", append([]string{"-C", dir}, checks...)...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func want(t *testing.T, status int, printed string, wantStatus int, texts ...string) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("exit status %d, want %d", status, wantStatus)
	}
	for _, text := range texts {
		if !strings.Contains(strings.Join(strings.Fields(printed), " "), text) {
			t.Errorf("%q is not said", text)
		}
	}
	if t.Failed() {
		t.Log(printed)
	}
}

// A secret as Clerk's would look, put together so that this file has none.
var secret = "sk_live_" + strings.Repeat("a7Qx4", 8)

const (
	distroless   = "FROM gcr.io/distroless/static-debian12:nonroot AS a\nUSER 65532\n"
	databaseFile = "deploy/backup/Dockerfile"
)

// This tree's own, and such as are built of several stages.
func TestDockerfilesThatAreRight(t *testing.T) {
	t.Parallel()
	several := tree(t, map[string]string{
		"Dockerfile": "from golang:1.26-alpine\nENV A=b \\\n # c\n CGO_ENABLED=0\nRUN a\nFROM --platform=linux/amd64 gcr.io/distroless/static-debian12:nonroot\nCOPY --from=0 /a /a\nUSER 65532\n",
		databaseFile: "FROM postgres:17-alpine\nRUN a\nCOPY --chmod=755 a b /c/\n", "deploy/backup/a": "a", "deploy/backup/b": "b",
	})
	for _, dir := range []string{"../..", several} {
		if out, err := exec.CommandContext(t.Context(), "./check-dockerfile", dir).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func TestSecurityFindsNothingInACleanTree(t *testing.T) {
	t.Parallel()
	status, printed := security(t, tree(t, nil), nil, "gosec", "secrets", "history", "modules", "sbom", "image")
	want(t, status, printed, 0, "gosec ok", "secrets ok", "history ok", "modules ok", "sbom ok", "Dockerfile ok", "image not run", "0 with findings, 1 not run")
}

func TestSecurityFailsOnWhatItFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		check string
		want  string
	}{
		"weak hash":              {map[string]string{"a.go": "package a\n\nimport \"crypto/md5\"\n\nvar Sum = md5.Sum\n"}, "gosec", "gosec FOUND"},
		"excuse without reason":  {map[string]string{"a.go": "package a\n\nimport \"crypto/md5\" // #nosec\n\nvar Sum = md5.Sum // #nosec\n"}, "gosec", "gosec FOUND"},
		"secret in a file":       {map[string]string{"settings": "CLERK_SECRET_KEY=" + secret + "\n"}, "secrets", "secrets FOUND"},
		"webhook secret":         {map[string]string{"settings": "it=whsec_" + secret[8:] + "\n"}, "secrets", "secrets FOUND"},
		"root":                   {map[string]string{"Dockerfile": "FROM gcr.io/distroless/static-debian12:nonroot AS a\nUSER 0\n"}, "image", `runs as "0"`},
		"a shell":                {map[string]string{"Dockerfile": "FROM alpine AS a\nUSER 65532\n"}, "image", "not at a distroless static one"},
		"files of the machine":   {map[string]string{"Dockerfile": "FROM gcr.io/distroless/static-debian12:nonroot AS a\nCOPY . /\nUSER 65532\n"}, "image", "COPY without --from"},
		"secret in a layer":      {map[string]string{"Dockerfile": "FROM gcr.io/distroless/static-debian12:nonroot AS a\nARG NPM_TOKEN\nUSER 65532\n"}, "image", "would stay in the layers"},
		"second secret of ENV":   {map[string]string{"Dockerfile": distroless + "ENV A=b DATABASE_URL=c\n"}, "image", "Dockerfile:3: ENV DATABASE_URL: its value would stay"},
		"second secret of ARG":   {map[string]string{"Dockerfile": distroless + "ARG A B_TOKEN\n"}, "image", "ARG B_TOKEN: its value would stay"},
		"old form of ENV":        {map[string]string{"Dockerfile": distroless + "ENV CLERK_SECRET_KEY a b\n"}, "image", "ENV CLERK_SECRET_KEY: its value would stay"},
		"behind a comment":       {map[string]string{"Dockerfile": distroless + "ENV A=b \\\n # c\n\n CLERK_SECRET_KEY=c\n"}, "image", "ENV CLERK_SECRET_KEY: its value would stay"},
		"a stage without a name": {map[string]string{"Dockerfile": distroless + "FROM alpine\nUSER 65532\n"}, "image", "image 1 begins at alpine, not at a distroless static one"},
		"another Dockerfile":     {map[string]string{"deploy/x/Dockerfile": "FROM alpine AS a\nUSER 65532\n"}, "image", "deploy/x/Dockerfile:1: image a begins at alpine"},
		"the database's base":    {map[string]string{databaseFile: "FROM alpine\n"}, "image", "deploy/backup/Dockerfile:1: image 0 begins at alpine, not at the official postgres"},
		"the database's version": {map[string]string{databaseFile: "FROM postgres:latest\n"}, "image", "not at the official postgres with its major version"},
		"the database's secret":  {map[string]string{databaseFile: "FROM postgres:17-alpine\nENV PGDATA=/d POSTGRES_PASSWORD=x\n"}, "image", "ENV POSTGRES_PASSWORD: its value would stay"},
		"the database's files":   {map[string]string{databaseFile: "FROM postgres:17-alpine\nCOPY . /\n"}, "image", "has COPY of . in line 2"},
		"the database's folders": {map[string]string{databaseFile: "FROM postgres:17-alpine\nCOPY c /\n", "deploy/backup/c/d": "d"}, "image", "has COPY of c in line 2"},
		"the database's address": {map[string]string{databaseFile: "FROM postgres:17-alpine\nADD https://example.org/a /\n"}, "image", "has ADD in line 2"},
		"secrets of a folder":    {map[string]string{".dockerignore": "*\n!deploy/secrets\n"}, "image", "!deploy/secrets may let secrets"},
		"secrets, with a space":  {map[string]string{".dockerignore": "*\n ! secrets\n"}, "image", "may let secrets"},
		"history in the context": {map[string]string{".dockerignore": "*\n!.git\n"}, "image", "may let secrets or the history in"},
		"all in the context":     {map[string]string{".dockerignore": "bin\n"}, "image", "begin with *"},
	} {
		t.Run(name, func(t *testing.T) {
			status, printed := security(t, tree(t, c.files), nil, c.check)
			want(t, status, printed, 1, c.want, "1 with findings")
			if strings.Contains(printed, secret[8:]) {
				t.Error("the secret is repeated")
			}
		})
	}
}

// It was there once, so it has leaked; also when it came and went with a merge.
func TestSecurityFindsWhatTheHistoryKeeps(t *testing.T) {
	t.Parallel()
	removed := tree(t, map[string]string{"settings": "CLERK_SECRET_KEY=" + secret + "\n"})
	git(t, removed, "rm", "-q", "settings")
	commit(t, removed)

	merged := tree(t, nil)
	git(t, merged, "checkout", "-q", "-b", "side")
	write(t, filepath.Join(merged, "side"), "side\n")
	commit(t, merged)
	git(t, merged, "checkout", "-q", "-")
	git(t, merged, "merge", "-q", "--no-ff", "--no-commit", "side")
	write(t, filepath.Join(merged, "settings"), "CLERK_SECRET_KEY="+secret+"\n")
	commit(t, merged)
	git(t, merged, "rm", "-q", "settings")
	commit(t, merged)

	for name, dir := range map[string]string{"removed": removed, "merged": merged} {
		status, printed := security(t, dir, nil, "secrets", "history")
		if want(t, status, printed, 1, "secrets ok", "history FOUND"); t.Failed() {
			t.Fatal(name)
		}
	}
}

// The machine's own secrets are where they belong, in files that git ignores.
func TestSecurityLeavesIgnoredFilesAlone(t *testing.T) {
	t.Parallel()
	dir := tree(t, nil)
	write(t, filepath.Join(dir, ".env"), "CLERK_SECRET_KEY="+secret+"\n")
	status, printed := security(t, dir, nil, "secrets")
	want(t, status, printed, 0, "secrets ok")
	write(t, filepath.Join(dir, "new"), "CLERK_SECRET_KEY="+secret+"\n") // and not yet added, but it would be
	status, printed = security(t, dir, nil, "secrets")
	want(t, status, printed, 1, "secrets FOUND")
}

// database makes one of vulnerabilities that knows one: of net/url's symbol.
func database(t *testing.T, symbol string) string {
	t.Helper()
	dir := t.TempDir()
	const id, at = "GO-2026-9999", `"modified":"2026-01-01T00:00:00Z"`
	write(t, filepath.Join(dir, "index/db.json"), "{"+at+"}")
	write(t, filepath.Join(dir, "index/modules.json"), fmt.Sprintf(`[{"path":"stdlib","vulns":[{"id":%q,%s,"fixed":"99.0.0"}]}]`, id, at))
	write(t, filepath.Join(dir, "index/vulns.json"), fmt.Sprintf(`[{"id":%q,%s}]`, id, at))
	write(t, filepath.Join(dir, "ID", id+".json"), fmt.Sprintf(`{"schema_version":"1.3.1","id":%[1]q,%[2]s,"published":"2026-01-01T00:00:00Z","summary":"planted",
		"affected":[{"package":{"name":"stdlib","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"99.0.0"}]}],
		"ecosystem_specific":{"imports":[{"path":"net/url","symbols":[%[3]q]}]}}],
		"database_specific":{"url":"https://pkg.go.dev/vuln/%[1]s"}}`, id, at, symbol))
	return "GOVULNDB=file://" + dir
}

func TestSecurityAsksTheVulnerabilityDatabase(t *testing.T) {
	t.Parallel()
	dir := tree(t, nil)
	t.Run("a fault in what is called", func(t *testing.T) {
		status, printed := security(t, dir, []string{database(t, "Parse")}, "vulnerabilities")
		want(t, status, printed, 1, "GO-2026-9999", "vulnerabilities FOUND")
	})
	t.Run("a fault in what is not called", func(t *testing.T) {
		status, printed := security(t, dir, []string{database(t, "JoinPath")}, "vulnerabilities")
		want(t, status, printed, 0, "vulnerabilities ok")
	})
	t.Run("out of reach", func(t *testing.T) {
		away := "GOVULNDB=https://vulnerabilities.invalid"
		status, printed := security(t, dir, []string{away}, "vulnerabilities")
		want(t, status, printed, 0, "security: vulnerabilities was not run: the database https://vulnerabilities.invalid is out of reach", "0 with findings, 1 not run")
		status, printed = security(t, dir, []string{away, "SECURITY_STRICT=1"}, "vulnerabilities")
		want(t, status, printed, 1, "asks for all of them")
	})
	t.Run("no database where one should be", func(t *testing.T) {
		status, printed := security(t, dir, []string{"GOVULNDB=file://" + t.TempDir()}, "vulnerabilities")
		want(t, status, printed, 1, "vulnerabilities BROKEN")
	})
	t.Run("code that does not compile", func(t *testing.T) {
		status, printed := security(t, tree(t, map[string]string{"a.go": "package a\n\nvar A int = \"\"\n"}), []string{database(t, "Parse")}, "vulnerabilities")
		want(t, status, printed, 1, "vulnerabilities BROKEN")
	})
}

// tools makes an internal/tools/tool whose only tool is the given shell script.
func tools(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "fake"), "#!/bin/sh\n"+script+"\n")
	write(t, filepath.Join(dir, "tool"), "#!/bin/sh\necho "+filepath.Join(dir, "fake")+"\n")
	for _, name := range []string{"fake", "tool"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return "SECURITY_TOOL=" + filepath.Join(dir, "tool")
}

// A look that cannot find passes nothing.
func TestSecurityDoesNotTrustItsTools(t *testing.T) {
	t.Parallel()
	status, printed := security(t, tree(t, nil), []string{tools(t, "exit 0")}, "secrets", "history")
	want(t, status, printed, 1, "secrets BROKEN a planted CLERK_SECRET_KEY in a file was not found", "2 with findings")

	// This module's own program, whose modules the bill leaves out but for one.
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	write(t, filepath.Join(dir, "cmd/profile-api/main.go"), "package main\n\nimport (\n\t_ \"github.com/google/uuid\"\n\t_ \"golang.org/x/text/language\"\n)\n\nfunc main() {}\n")
	bill := `while [ "$1" != -output ]; do shift; done; echo '"pkg:golang/golang.org/x/text@none?", "pkg:golang/github.com/google/uuid@` + versionOf(t, root, "github.com/google/uuid") + `?"' >"$2"`
	status, printed = security(t, dir, []string{tools(t, bill)}, "sbom")
	want(t, status, printed, 1, "sbom FOUND bin/sbom.json lacks golang.org/x/text@v")
	if strings.Contains(printed, "google/uuid") {
		t.Error("what is there is missed")
	}
}

func versionOf(t *testing.T, dir, module string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestSecurityKnowsItsChecks(t *testing.T) {
	t.Parallel()
	status, printed := security(t, tree(t, nil), nil, "nothing")
	want(t, status, printed, 2, "no check is called nothing")
}
