// Package valkeylauncher runs a private Valkey or Redis server on 127.0.0.1 that keeps nothing: tests start it, pause it and kill it.
package valkeylauncher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/process"
)

// Errors that callers can tell apart with errors.Is.
var (
	// ErrNoProgram says that neither valkey-server nor redis-server was found. The message holds the remedies.
	ErrNoProgram = errors.New("no valkey-server or redis-server found")
	// ErrPortInUse says that another program listens on the port that was asked for.
	ErrPortInUse = errors.New("the port is in use by another program")
)

const (
	// Databases is how many logical databases a launched server has.
	Databases  = 1024
	startLimit = 30 * time.Second
	portTries  = 5
	tempPrefix = "profile-api-valkey"
)

var stopLadder = []process.Rung{{Signal: syscall.SIGTERM, Patience: 5 * time.Second}}

// Options say how to run the server. The zero value is good.
type Options struct {
	Program  string            // path of the program; empty means to search
	Port     int               // on 127.0.0.1; 0 takes a free one
	Settings map[string]string // configuration directives on top of ours, for example maxmemory=64mb
	// Install allows to install redis-server with the system's package manager when there is no program (root on Debian and its
	// relatives only). The system's own server is not started.
	Install  bool
	Progress func(message string) // when set, told in a few words what takes time
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Server is a running server, or one that was stopped or killed and can be started again, empty. Its methods other than URL, Addr
// and Pid must not be called at the same time.
type Server struct {
	program string
	account *process.Account
	options Options
	dir     string
	port    int
	process *process.Process
}

// Find searches for the program, valkey-server first.
func Find() (string, error) {
	if path, ok := process.Find("valkey-server", "redis-server"); ok {
		return path, nil
	}
	remedy := "Install it with `apt-get install redis-server` (Debian, Ubuntu), `dnf install valkey` (Fedora), `apk add valkey` (Alpine) " +
		"or `pacman -S valkey` (Arch)"
	if runtime.GOOS == "darwin" {
		remedy = "Install it with `brew install valkey`"
	}
	return "", fmt.Errorf("%w. %s", ErrNoProgram, remedy)
}

// Start finds the program, starts the server without persistence in a temporary directory of its own and waits until it answers.
// On Linux the server is killed when this process dies, whatever ends it. Close removes the directory as well.
func Start(ctx context.Context, options Options) (*Server, error) {
	program, err := findOrInstall(ctx, options)
	if err != nil {
		return nil, err
	}
	account, err := process.Unprivileged("valkey", "redis")
	if err != nil {
		return nil, err
	}
	process.SweepTempDirs(account, tempPrefix)
	dir, err := process.TempDir(account, tempPrefix)
	if err != nil {
		return nil, err
	}
	s := &Server{program: program, account: account, options: options, dir: dir, port: options.Port}
	if err := s.startSomewhere(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) startSomewhere(ctx context.Context) (err error) {
	if s.options.Port != 0 {
		return s.Start(ctx)
	}
	for range portTries {
		if s.port, err = process.FreePort(); err != nil {
			return err
		}
		if err = s.Start(ctx); !errors.Is(err, ErrPortInUse) {
			return err
		}
	}
	return err
}

func findOrInstall(ctx context.Context, options Options) (string, error) {
	if options.Program != "" {
		return options.Program, nil
	}
	program, err := Find()
	if err == nil || !options.Install {
		return program, err
	}
	if installErr := process.Install(ctx, options.progress, "redis-server"); installErr != nil {
		return "", fmt.Errorf("%w (%w)", err, installErr)
	}
	return Find()
}

// Start starts a server that was stopped or killed again, empty, on the same port.
func (s *Server) Start(ctx context.Context) error {
	if s.process != nil && s.process.Running() {
		return fmt.Errorf("the server is running already, as process %d", s.process.Pid())
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if !process.PortFree(s.port) {
		return fmt.Errorf("%w: 127.0.0.1:%d", ErrPortInUse, s.port)
	}
	log, err := s.account.Log(s.log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own copy
	// A paused server would sleep through any gentler signal when we die.
	s.process, err = process.Start(process.Spec{
		Path: s.program, Args: s.arguments(), Dir: s.dir, Account: s.account, Output: log, Orphan: syscall.SIGKILL,
	})
	if err != nil {
		return err
	}
	if err := s.process.WaitReady(ctx, s.probe); err != nil {
		return errors.Join(s.explain(err), s.process.Kill())
	}
	return nil
}

func (s *Server) log() string { return filepath.Join(s.dir, "server.log") }

func (s *Server) arguments() []string {
	args := []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--daemonize", "no", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--databases", strconv.Itoa(Databases),
	}
	for name, value := range s.options.Settings {
		args = append(args, "--"+name, value)
	}
	return args
}

func (s *Server) probe(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true})
	return errors.Join(client.Ping(ctx).Err(), client.Close())
}

func (s *Server) explain(err error) error {
	text, readErr := os.ReadFile(s.log())
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	said := process.LastLines(string(text), 6)
	if strings.Contains(said, "Address already in use") {
		err = ErrPortInUse
	}
	return fmt.Errorf("%s did not start: %w; it said: %s", s.program, err, said)
}

// URL returns the connection URL of logical database 0.
func (s *Server) URL() string { return "redis://" + s.Addr() + "/0" }

// Addr returns host:port. It stays the same through Stop, Kill and Start.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Program returns the path of the program that runs.
func (s *Server) Program() string { return s.program }

// Pid returns the process id.
func (s *Server) Pid() int { return s.process.Pid() }

// Done is closed when the running server ends, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Pause suspends the server: connections stay open and are accepted by the kernel, but nothing is answered until Resume.
func (s *Server) Pause() error { return s.process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() error { return s.process.Signal(syscall.SIGCONT) }

// Kill ends the server with SIGKILL, as a crash would.
func (s *Server) Kill() error { return s.process.Kill() }

// Stop ends the server, a paused one too; what it held is gone. A server that has ended already is nil.
func (s *Server) Stop(ctx context.Context) error { return s.process.Stop(ctx, stopLadder...) }

// Restart stops the server and starts it again, empty, on the same port.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Close stops the server for good and removes its directory.
func (s *Server) Close(ctx context.Context) error {
	return errors.Join(s.Stop(ctx), os.RemoveAll(s.dir))
}
