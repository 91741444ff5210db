package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/testlog"
)

// patience is how long a step may take on a busy machine before the test gives up.
const patience = 2 * time.Minute

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "profile-api-local-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "local")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// A newcomer starts the stack, pastes the printed line, and finds the same
// profile after a restart.
func TestNewcomersFirstCallAndRestart(t *testing.T) {
	env := stackEnv(t)
	first := startStack(t, env)
	mine := callMe(t, first.curlToken(t), first.api())
	if mine.Handle == "" || mine.ID == "" {
		t.Fatalf("the first call gave %+v", mine)
	}
	if other := callMe(t, strings.TrimSpace(runLocal(t, env, "token", "grace").stdout), first.api()); other.ID == mine.ID {
		t.Error("grace and ada share a profile")
	}
	page := get(t, "http://"+envValue(env, "CLERK_ADDR")+"/")
	for _, name := range []string{"ada", "grace", "alan", "barbara"} {
		if !strings.Contains(strings.ToLower(page), name) {
			t.Errorf("the stand-in's page does not offer %s", name)
		}
	}
	docs := first.api() + "/docs"
	if !strings.Contains(first.output(), docs) || !strings.Contains(get(t, docs), "swagger-ui") {
		t.Errorf("the banner does not lead to the docs")
	}
	pids := first.postgresPIDs(t)
	if len(pids) != 1 || !process.Alive(pids[0]) {
		t.Fatalf("one PostgreSQL should be running, found %v", pids)
	}
	if code := first.stop(t, syscall.SIGINT); code != 0 {
		t.Errorf("Ctrl-C ended the stack with status %d:\n%s", code, first.output())
	}
	for _, pid := range pids {
		if process.Alive(pid) {
			t.Errorf("PostgreSQL (pid %d) outlived Ctrl-C", pid)
		}
	}

	second := startStack(t, env)
	if again := callMe(t, second.curlToken(t), second.api()); again != mine {
		t.Errorf("after a restart the profile is %+v, was %+v", again, mine)
	}
}

// SIGKILL gives the stack no chance to clean up; PostgreSQL must end all the same.
func TestNoOrphanAfterSIGKILL(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel's parent-death signal is Linux's alone")
	}
	s := startStack(t, stackEnv(t))
	pids := s.postgresPIDs(t)
	if len(pids) == 0 || !process.Alive(pids[0]) {
		t.Fatalf("no PostgreSQL is running: %v", pids)
	}
	s.stop(t, syscall.SIGKILL)
	eventually(t, "PostgreSQL ends after its parent was killed", func() bool { return !process.Alive(pids[0]) })
}

func TestTokenPrintsATokenAndNothingElse(t *testing.T) {
	env := stackEnv(t)
	for _, name := range []string{"ada", "grace", "alan", "barbara"} {
		r := runLocal(t, env, "token", name)
		if r.code != 0 || !regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+\n$`).MatchString(r.stdout) || r.stderr != "" {
			t.Errorf("token %s: status %d, stdout %q, stderr %q", name, r.code, r.stdout, r.stderr)
		}
	}
	if r := runLocal(t, env, "token", "mallory"); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "mallory") {
		t.Errorf("an unknown person: status %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if r := runLocal(t, env, "tokn", "ada"); r.code != 2 || !strings.Contains(r.stderr, "token NAME") {
		t.Errorf("an unknown command: status %d, stderr %q", r.code, r.stderr)
	}
}

func TestATakenPortIsNamedBeforeAnythingStarts(t *testing.T) {
	env := stackEnv(t)
	l, err := net.Listen("tcp", envValue(env, "HTTP_ADDR"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	r := runLocal(t, env)
	if r.code != 1 || !strings.Contains(r.stderr, envValue(env, "HTTP_ADDR")) || !strings.Contains(r.stderr, "HTTP_ADDR") {
		t.Errorf("status %d, stderr %q", r.code, r.stderr)
	}
	if strings.Contains(r.stderr, "starting PostgreSQL") {
		t.Error("PostgreSQL was started before the port was tried")
	}
}

// stack is a running `go run ./cmd/local`.
type stack struct {
	cmd    *exec.Cmd
	env    []string
	out    *testlog.Buffer
	exited chan struct{}
}

func startStack(t *testing.T, env []string) *stack {
	t.Helper()
	s := &stack{cmd: exec.Command(binary), env: env, out: &testlog.Buffer{}, exited: make(chan struct{})}
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = env, s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // the state is read from the command
	}()
	t.Cleanup(func() { s.stop(t, syscall.SIGINT) })
	eventually(t, "the banner is printed", func() bool {
		select {
		case <-s.exited:
			t.Fatalf("the stack ended early:\n%s", s.output())
		default:
		}
		return strings.Contains(s.output(), "curl ")
	})
	return s
}

func (s *stack) stop(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	default:
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Errorf("signal the stack: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Errorf("the stack does not stop:\n%s", s.output())
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	return s.cmd.ProcessState.ExitCode()
}

func (s *stack) output() string { return s.out.String() }
func (s *stack) api() string    { return "http://" + envValue(s.env, "HTTP_ADDR") }

func (s *stack) curlToken(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`curl .*Bearer ([\w.-]+)'? ?.*` + regexp.QuoteMeta(s.api()+"/v1/profiles/me")).FindStringSubmatch(s.output())
	if m == nil {
		t.Fatalf("no curl line for %s in:\n%s", s.api(), s.output())
	}
	return m[1]
}

// postgresPIDs reads the pid files below the stack's data directory.
func (s *stack) postgresPIDs(t *testing.T) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(envValue(s.env, "PROFILE_API_LOCAL_DIR"), "postgres", "*", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := bufio.NewReader(bytes.NewReader(b)).ReadLine()
		pid, err := strconv.Atoi(string(line))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

type result struct {
	code           int
	stdout, stderr string
}

func runLocal(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	_ = cmd.Run() // the status is what is looked at
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// stackEnv keeps the stack's data in a directory that PostgreSQL's account may
// enter, and puts it on ports of its own.
func stackEnv(t *testing.T) []string {
	t.Helper()
	account, err := process.Unprivileged("postgres", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := process.TempDir(account, "profile-api-local-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	env := append(os.Environ(), "PROFILE_API_LOCAL_DIR="+dir)
	for _, name := range []string{"HTTP_ADDR", "OPS_ADDR", "CLERK_ADDR"} {
		port, err := process.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"=127.0.0.1:"+strconv.Itoa(port))
	}
	return env
}

func envValue(env []string, name string) (value string) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

type profile struct {
	ID     string `json:"id"`
	Handle string `json:"handle"`
}

func callMe(t *testing.T, token, api string) profile {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api+"/v1/profiles/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET /v1/profiles/me: %d %s %v", res.StatusCode, body, err)
	}
	var p profile
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %v", url, res.StatusCode, err)
	}
	return string(body)
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}
