package pglauncher_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/process"
)

const (
	patience       = 60 * time.Second // bounds what must happen sooner or later
	tempPrefix     = "profile-api-pglauncher-test"
	helperVariable = "PGLAUNCHER_TEST_HELPER_DATA"
)

// The test binary is its own helper: with the variable set, it starts a server in that directory, says where, and stops it when its
// standard input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVariable); dir != "" {
		if err := helper(dir); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type report struct {
	Pid int
	URL string
}

func helper(dir string) error {
	server, err := pglauncher.Start(context.Background(), options(dir))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(report{server.Pid(), server.URL("postgres")}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, server.Stop(context.Background()))
}

// startHelper starts the helper and returns it with its standard input and its report.
func startHelper(t *testing.T, cmd *exec.Cmd, dir string) (io.Closer, report) {
	t.Helper()
	cmd.Env = append(os.Environ(), helperVariable+"="+dir)
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the helper said nothing: %v", err)
	}
	var said report
	if err := json.Unmarshal(line, &said); err != nil {
		t.Fatal(err)
	}
	return in, said
}

func options(dir string) pglauncher.Options {
	return pglauncher.Options{DataDir: dir, Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB"}}
}

// dataDir makes a directory that the server's account can reach, unlike the test's own when root runs it.
func dataDir(t *testing.T) string {
	t.Helper()
	account, err := process.Unprivileged("postgres")
	if err != nil {
		t.Fatal(err)
	}
	process.SweepTempDirs(account, tempPrefix)
	dir, err := process.TempDir(account, tempPrefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// start starts a server and stops it with the test.
func start(t *testing.T, options pglauncher.Options) *pglauncher.Server {
	t.Helper()
	server, err := pglauncher.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// major is the version that the search finds on this machine.
func major(t *testing.T) pglauncher.Programs {
	t.Helper()
	programs, err := pglauncher.Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// eventually waits for a condition that must come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := process.Poll(ctx, nil, func(context.Context) error {
		if condition() {
			return nil
		}
		return errors.New(what)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Clean(to), data, 0o755); err != nil {
		t.Fatal(err)
	}
}
