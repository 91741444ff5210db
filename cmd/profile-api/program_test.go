package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/testlog"
)

// program is one running replica.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr capture
	api, ops       string // host:port
	done           chan struct{}
	expected       int // exit status that the test wants; 0 unless it says otherwise
}

// start runs `serve` and waits until it listens. At the end of the test it is
// told to stop, and must have ended well: status 0, nothing but JSON written.
func start(t *testing.T, env settings) *program {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return startFrom(t, path, env)
}

// startFrom is start of another build of the program.
func startFrom(t *testing.T, path string, env settings) *program {
	t.Helper()
	p := &program{cmd: exec.Command(path, "serve"), done: make(chan struct{})}
	p.cmd.Env = env.environ()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := startTied(p.cmd, p.done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.finish(t) })
	eventually(t, "the program listens", func() bool {
		if p.ended() {
			t.Fatalf("serve ended with status %d", p.status())
		}
		line, ok := p.line("serving")
		p.api, p.ops = text(line["http_addr"]), text(line["ops_addr"])
		return ok
	})
	return p
}

func text(v any) string { s, _ := v.(string); return s }

// finish stops the program, if the test has not, and judges its end.
func (p *program) finish(t *testing.T) {
	t.Helper()
	if !p.ended() {
		p.signal(t, syscall.SIGTERM)
		p.wait(t)
	}
	if status := p.status(); status != p.expected && !p.killedBy(syscall.SIGTERM) {
		t.Errorf("serve ended with status %d, want %d", status, p.expected)
	}
	if p.status() == raceStatus || strings.Contains(p.stderr.String(), "DATA RACE") {
		t.Errorf("the race detector saw a race")
	}
	p.logLines(t) // all of it must be JSON
	if s := p.stderr.String(); s != "" && p.expected == 0 {
		t.Errorf("standard error is not empty: %s", tail(s))
	}
	if t.Failed() {
		t.Logf("the program on %s said at last:\n%s", p.api, p.telling())
	}
}

// telling are the last log lines that say more than that a request was answered.
func (p *program) telling() string {
	var list []string
	for _, raw := range p.stdout.lines() {
		if line := string(raw); !strings.Contains(line, `"level":"INFO","msg":"request"`) && !strings.Contains(line, `"level":"DEBUG"`) {
			list = append(list, line)
		}
	}
	return tail(strings.Join(list, "\n"))
}

// stop ends the program as an operator would and expects it to end well.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.wait(t)
	if s := p.status(); s != 0 {
		t.Errorf("after SIGTERM the status is %d, not 0", s)
	}
}

func (p *program) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal the program: %v", err)
	}
}

// wait gives the program time to end, then kills it: a program that must be killed has failed.
func (p *program) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Errorf("the program does not end within %s", patience)
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-p.done
	}
}

func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *program) status() int { return p.cmd.ProcessState.ExitCode() }

func (p *program) killedBy(sig syscall.Signal) bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig
}

// line finds the first log line with the message.
func (p *program) line(message string) (map[string]any, bool) {
	for _, raw := range p.stdout.lines() {
		var line map[string]any
		if json.Unmarshal(raw, &line) == nil && line["msg"] == message {
			return line, true
		}
	}
	return nil, false
}

// logLines parses every log line.
func (p *program) logLines(t *testing.T) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, raw := range p.stdout.lines() {
		var line map[string]any
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Errorf("a log line is no JSON object: %q", raw)
			continue
		}
		for _, name := range []string{"time", "level", "msg"} {
			if text(line[name]) == "" {
				t.Errorf("a log line has no %s: %s", name, raw)
			}
		}
		list = append(list, line)
	}
	return list
}

func tail(s string) string {
	const most = 3000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// capture keeps what a program writes.
type capture struct{ testlog.Buffer }

// lines are the whole lines so far.
func (c *capture) lines() [][]byte {
	all := []byte(c.String())
	end := bytes.LastIndexByte(all, '\n')
	if end < 0 {
		return nil
	}
	return bytes.Split(all[:end], []byte("\n"))
}
