package pglauncher

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHighestVersionFirst(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "17", "15"} {
		if err := os.MkdirAll(filepath.Join(root, "pg-"+version, "bin"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// The number is looked for in the whole path, so the test must not have one before it.
	t.Chdir(root)
	want := []string{"pg-17/bin", "pg-15/bin", "pg-9.6/bin"}
	if got := highestFirst("pg-*/bin"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLinksInPathAreResolved(t *testing.T) {
	installed, path := t.TempDir(), t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(installed, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(installed, "postgres"), filepath.Join(path, "postgres")); err != nil {
		t.Fatal(err)
	}
	resolved, err := filepath.EvalSymlinks(installed)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	if got := candidates(t.Context()); !slices.Contains(got, resolved) || slices.Contains(got, path) {
		t.Errorf("candidates %v, want %s and not %s", got, resolved, path)
	}
}

// install writes programs that say what the real ones would.
func install(t *testing.T, version, share string) string {
	t.Helper()
	dir := t.TempDir()
	scripts := map[string]string{
		"postgres": "echo '" + version + "'",
		"initdb":   "echo 'share_path=" + share + "'; echo 'POSTGRES_BKI=" + share + "/postgres.bki'",
	}
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInspect(t *testing.T) {
	share := t.TempDir()
	if err := os.WriteFile(filepath.Join(share, "postgres.bki"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "postgres (PostgreSQL) 17.4 (Debian 17.4-1)"
	tests := map[string]struct {
		version, share string
		major          int
		says           string
	}{
		"good":           {good, share, 17, ""},
		"beta":           {"postgres (PostgreSQL) 18beta1", share, 18, ""},
		"too old":        {"postgres (PostgreSQL) 13.9", share, 0, "version 13"},
		"not PostgreSQL": {"hello", share, 0, "cannot make out the version"},
		"no share files": {good, "/nonexistent", 0, "share files are incomplete"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := install(t, test.version, test.share)
			got, err := inspect(t.Context(), nil, dir)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v, want %q", err, test.says)
				}
				return
			}
			if err != nil || got.Major != test.major || got.BinDir != dir {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestFindNamesWhatItRejected(t *testing.T) {
	dir := install(t, "postgres (PostgreSQL) 12.1", "/nonexistent")
	_, err := Find(t.Context(), dir)
	if !errors.Is(err, ErrNoPrograms) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrNoPrograms that names %s", err, dir)
	}
}

func TestSocketDirectoryIsDroppedWhenItsPathIsTooLong(t *testing.T) {
	for dir, want := range map[string]string{"/short": "unix_socket_directories=/short/run", "/" + strings.Repeat("x", 100): "unix_socket_directories="} {
		s := &Server{cluster: &cluster{dir: dir}}
		if !slices.Contains(s.arguments(), want) {
			t.Errorf("%s: %v, want %q", dir, s.arguments(), want)
		}
	}
}
