package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/testservers"
)

// These tests start the real production program, as processes of its own, with
// production settings, and know nothing of it but the contract. What it talks
// to is real too, but for Clerk, whose place the stand-in takes over HTTP.
func TestMain(m *testing.M) { testservers.Main(m) }

const (
	// patience bounds every wait for something that must happen by itself. It says nothing of how fast that should be.
	patience = 60 * time.Second
	// raceStatus is the exit status of a program in which the race detector saw a race.
	raceStatus = 66
)

// builtVersion is put in by the linker, so that the version command has something to show.
const builtVersion = "v0.0.0-blackbox"

// binary builds the program once, with the race detector where cgo can be had. It
// lies beside the test binary, in the directory that go test removes at the end.
var binary = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), fmt.Sprintf("profile-api-%d", os.Getpid()))
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	args := []string{"build", "-ldflags", "-X main.version=" + builtVersion + " -X main.commit=abcdef0", "-o", path}
	if cgo() {
		args = append(args, "-race")
	} else {
		fmt.Fprintln(os.Stderr, "blackbox: no cgo, so the program runs without the race detector")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// cgo tells whether the race detector can be linked in.
func cgo() bool {
	out, err := exec.Command("go", "env", "CGO_ENABLED", "CC").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 || fields[0] != "1" {
		return false
	}
	_, err = exec.LookPath(fields[1])
	return err == nil
}

// slots bounds how many tests with servers of their own run at once, whatever -parallel says.
var slots = make(chan struct{}, 4)

// parallel lets the test run beside others, a few at a time.
func parallel(t *testing.T) {
	t.Helper()
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

// result is how a command ended.
type result struct {
	status         int
	stdout, stderr string
}

// command runs the program to its end.
func command(t *testing.T, env settings, args ...string) result {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r, err := runCommand(path, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func runCommand(path string, env settings, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = env.environ()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if ctx.Err() != nil || r.status == raceStatus || strings.Contains(r.stderr, "DATA RACE") {
		return r, fmt.Errorf("%v did not end well: status %d\n%s%s", args, r.status, r.stdout, r.stderr)
	}
	return r, nil
}

// eventually waits until ok tells true. What it waits for must come by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited %s in vain: %s", patience, what)
}
