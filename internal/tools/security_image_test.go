package tools_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// path puts programs of the given names, shell scripts, before all others.
func path(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n")
		if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// docker answers as an engine would that has the image: its user, a file in it, a command of its history.
func docker(user, file, command string) string {
	return `case "$1 $2 $3" in
"image inspect --format") echo '` + user + `' ;;
"image inspect "*) echo '[]' ;;
"create "*) echo container ;;
"export container "*) d=$(mktemp -d) && mkdir -p "$d/$(dirname '` + file + `')" && : >"$d/` + file + `" && tar -C "$d" -cf - . && rm -r "$d" ;;
"rm "*) ;;
"history "*) echo '` + command + `' ;;
*) exit 1 ;;
esac`
}

func TestSecurityLooksIntoTheImage(t *testing.T) {
	t.Parallel()
	dir := tree(t, nil)
	for name, c := range map[string]struct {
		user, file, command string
		status              int
		want                string
	}{
		"sound":     {"65532:65532", "profile-api", "COPY /out /profile-api", 0, "image ok"},
		"root":      {"", "profile-api", "", 1, "it runs as ''"},
		"by name":   {"nonroot", "profile-api", "", 1, "it runs as 'nonroot'"},
		"a shell":   {"65532", "bin/sh", "", 1, "there is a shell in it"},
		"settings":  {"65532", "src/.env", "", 1, "files of this machine are in it"},
		"in layers": {"65532", "profile-api", "ENV CLERK_SECRET_KEY=" + secret, 1, "a secret is in its history or settings"},
	} {
		t.Run(name, func(t *testing.T) {
			status, printed := security(t, dir, []string{path(t, map[string]string{"docker": docker(c.user, c.file, c.command)})}, "image")
			want(t, status, printed, c.status, c.want)
			if strings.Contains(printed, secret) {
				t.Error("the secret is repeated")
			}
		})
	}
}

func TestSecurityAsksAScanner(t *testing.T) {
	t.Parallel()
	dir := tree(t, nil)
	write(t, filepath.Join(dir, "bin/sbom.json"), "{}")
	for name, c := range map[string]struct {
		scripts map[string]string
		status  int
		want    string
	}{
		"trivy finds nothing":   {map[string]string{"docker": "exit 1", "trivy": "exit 0"}, 0, "scan ok nothing high or critical in the sbom"},
		"trivy finds something": {map[string]string{"docker": "exit 1", "trivy": "echo CVE-1; exit 9"}, 1, "scan FOUND"},
		"trivy's database away": {map[string]string{"docker": "exit 1", "trivy": "echo away >&2; exit 1"}, 0, "scan not run the scanner ended with status 1"},
		"the image, if there":   {map[string]string{"docker": docker("65532", "x", ""), "trivy": `[ "$1" = image ] && exit 9`}, 1, "scan FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			status, printed := security(t, dir, []string{path(t, c.scripts)}, "scan")
			want(t, status, printed, c.status, c.want)
		})
	}
}
