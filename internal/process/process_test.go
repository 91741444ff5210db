package process_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/process"
)

// patience bounds what must happen sooner or later.
const patience = 30 * time.Second

// shell starts a script and ends it with the test.
func shell(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Spec{Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Orphan: syscall.SIGKILL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// waitForFile waits until the script has come as far as making the file.
func waitForFile(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := process.Poll(ctx, nil, func(context.Context) error { _, err := os.Stat(path); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestStopClimbsTheLadder(t *testing.T) {
	const never = time.Hour
	tests := map[string]struct {
		script string
		paused bool
		ladder []process.Rung
	}{
		"the first signal is enough":    {"sleep 1000 & touch $0; wait", false, []process.Rung{{syscall.SIGTERM, never}}},
		"the second signal is needed":   {"trap '' INT; sleep 1000 & touch $0; wait", false, []process.Rung{{syscall.SIGINT, 50 * time.Millisecond}, {syscall.SIGTERM, never}}},
		"only SIGKILL helps":            {"trap '' INT TERM; touch $0; while :; do sleep 1; done", false, []process.Rung{{syscall.SIGTERM, 50 * time.Millisecond}}},
		"a paused program is continued": {"sleep 1000 & touch $0; wait", true, []process.Rung{{syscall.SIGTERM, never}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "ready")
			p := shell(t, strings.ReplaceAll(test.script, "$0", mark))
			waitForFile(t, mark)
			if test.paused {
				if err := p.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Stop(t.Context(), test.ladder...); err != nil {
				t.Fatal(err)
			}
			if p.Running() || process.Alive(p.Pid()) {
				t.Error("the program is still there")
			}
			if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("a signal after the end: %v, want os.ErrProcessDone", err)
			}
			if err := p.Stop(t.Context(), test.ladder...); err != nil {
				t.Errorf("a second Stop: %v", err)
			}
		})
	}
}

func TestStopIsCutShortByTheContext(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ready")
	p := shell(t, "trap '' TERM; touch "+mark+"; while :; do sleep 1; done")
	waitForFile(t, mark)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx, process.Rung{Signal: syscall.SIGTERM, Patience: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if p.Running() {
		t.Error("the program is still there")
	}
}

func TestWaitReadySaysThatTheProgramEnded(t *testing.T) {
	p := shell(t, "exit 3")
	err := p.WaitReady(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, process.ErrExited) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want ErrExited with the exit status", err)
	}
}

func TestWaitReadyGivesUpWithTheContext(t *testing.T) {
	p := shell(t, "sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	reason := errors.New("not yet")
	err := p.WaitReady(ctx, func(context.Context) error { return reason })
	if !errors.Is(err, reason) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the probe's reason and the deadline", err)
	}
}

func TestStartSaysWhatDoesNotStart(t *testing.T) {
	_, err := process.Start(process.Spec{Path: "/nonexistent/server", Dir: "/"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent/server") {
		t.Errorf("got %v", err)
	}
}

func TestProgramsDoNotSeeOurEnvironment(t *testing.T) {
	t.Setenv("CLERK_SECRET_KEY", "sk_live_hidden")
	out, err := process.Run(t.Context(), nil, "/", "/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "hidden") || !strings.Contains(out, "LC_ALL=C") {
		t.Errorf("the program saw %q", out)
	}
}

func TestRunQuotesTheLastWords(t *testing.T) {
	_, err := process.Run(t.Context(), nil, "/", "/bin/sh", "-c", "echo reason >&2; exit 1")
	if err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("got %v, want what the program said", err)
	}
}

func TestLastLines(t *testing.T) {
	for text, want := range map[string]string{"": "", "a\n\n b \nc\n": "b | c", "only": "only"} {
		if got := process.LastLines(text, 2); got != want {
			t.Errorf("LastLines(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestPorts(t *testing.T) {
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatalf("the free port %d cannot be used: %v", port, err)
	}
	if process.PortFree(port) {
		t.Error("a port that is listened on counts as free")
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFindLooksAlongPath(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "profile-api-test-program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got, ok := process.Find("profile-api-no-such-program", "profile-api-test-program"); !ok || got != program {
		t.Errorf("Find = %q, %v, want %q", got, ok, program)
	}
	if got, ok := process.Find("profile-api-no-such-program"); ok {
		t.Errorf("Find found %q", got)
	}
}
