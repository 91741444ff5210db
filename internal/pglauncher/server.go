package pglauncher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/process"
)

const (
	superuser = "postgres"
	// startLimit bounds a start, crash recovery included, when the caller's context has no deadline of its own.
	startLimit = 60 * time.Second
	// portTries is how many free ports are tried when somebody else takes the chosen one first.
	portTries = 5
	// relaunchPause is how long to wait for the processes of a killed server, which hold its shared memory until they notice.
	relaunchPause = 100 * time.Millisecond
	// maxSocketPath is what fits every system's socket address (104 bytes on macOS), the file name included.
	maxSocketPath = 80
)

// stopLadder is fast shutdown, then immediate shutdown (the next start recovers), then SIGKILL.
var stopLadder = []process.Rung{
	{Signal: syscall.SIGINT, Patience: 20 * time.Second},
	{Signal: syscall.SIGQUIT, Patience: 10 * time.Second},
}

// Server is a running PostgreSQL, or one that was stopped or killed and can be started again. Its methods other than URL and Pid
// must not be called at the same time.
type Server struct {
	cluster *cluster
	options Options
	port    int
	process *process.Process
}

// Start finds the programs, opens or makes the data directory, starts the server and waits until it answers a query. On Linux the
// server dies with this process, whatever ends it. The error wraps ErrNoPrograms, ErrInUse, ErrPortInUse or ErrVersion where one of
// them is the reason.
func Start(ctx context.Context, options Options) (*Server, error) {
	// First of all, because an installation may bring the account that everything else depends on.
	programs, err := FindOrInstall(ctx, options)
	if err != nil {
		return nil, err
	}
	if options.DataDir == "" {
		if options.DataDir, err = DefaultDataDir(); err != nil {
			return nil, err
		}
	}
	opened, err := openCluster(ctx, options, programs)
	if err != nil {
		return nil, err
	}
	s := &Server{cluster: opened, options: options}
	if options.Port != 0 {
		s.port = options.Port
		if err := s.Start(ctx); err != nil {
			return nil, err
		}
		return s, nil
	}
	for range portTries {
		if s.port, err = process.FreePort(); err != nil {
			return nil, err
		}
		if err = s.Start(ctx); !errors.Is(err, ErrPortInUse) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// FindOrInstall is Find, followed by an installation when nothing is found and Options.Install allows it. Of the options, it uses BinDir,
// Install and Progress.
func FindOrInstall(ctx context.Context, options Options) (Programs, error) {
	programs, err := Find(ctx, options.BinDir)
	if err == nil || !options.Install || options.BinDir != "" || !errors.Is(err, ErrNoPrograms) {
		return programs, err
	}
	if installErr := process.Install(ctx, options.progress, "postgresql"); installErr != nil {
		return Programs{}, fmt.Errorf("%w (%w)", err, installErr)
	}
	return Find(ctx, "")
}

// Start starts a server that was stopped or killed, on the same port and data.
func (s *Server) Start(ctx context.Context) error {
	if s.process != nil && s.process.Running() {
		return fmt.Errorf("PostgreSQL is running already, as process %d", s.process.Pid())
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := s.launch(ctx)
		if !errors.Is(err, errMemoryHeld) || ctx.Err() != nil {
			return err
		}
		time.Sleep(relaunchPause)
	}
}

func (s *Server) launch(ctx context.Context) error {
	if err := s.cluster.checkUnused(); err != nil {
		return err
	}
	if !process.PortFree(s.port) {
		return fmt.Errorf("%w: 127.0.0.1:%d", ErrPortInUse, s.port)
	}
	log, err := s.cluster.account.Log(s.cluster.log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own copy
	s.process, err = process.Start(process.Spec{
		Path: s.cluster.programs.path("postgres"), Args: s.arguments(), Dir: s.cluster.dir,
		Account: s.cluster.account, Output: log, Orphan: syscall.SIGINT,
	})
	if err != nil {
		return err
	}
	err = s.process.WaitReady(ctx, s.probe)
	if err == nil {
		return nil
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	defer cancel()
	return errors.Join(s.explain(err), s.process.Stop(stopping, stopLadder...))
}

func (s *Server) arguments() []string {
	sockets := s.cluster.sockets()
	if len(sockets) > maxSocketPath {
		sockets = "" // too long for a socket; everybody connects over TCP anyway
	}
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=" + sockets, "logging_collector=off",
	}
	for name, value := range s.options.Settings {
		settings = append(settings, name+"="+value)
	}
	slices.Sort(settings[4:])
	args := []string{"-D", s.cluster.data()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (s *Server) probe(ctx context.Context) error {
	connection, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	return connection.Close(ctx)
}

// errMemoryHeld says that processes of a killed server are still ending.
var errMemoryHeld = errors.New("processes of the server that was killed are still ending")

// explain turns the server's own last words into an error that callers can tell apart.
func (s *Server) explain(err error) error {
	text, readErr := os.ReadFile(s.cluster.log())
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	said := process.LastLines(string(text), 6)
	kind := err
	switch {
	case strings.Contains(said, "lock file \"postmaster.pid\" already exists"):
		kind = ErrInUse
	case strings.Contains(said, "pre-existing shared memory block"):
		kind = errMemoryHeld
	case strings.Contains(said, "Address already in use"):
		kind = ErrPortInUse
	}
	return fmt.Errorf("PostgreSQL did not start in %s: %w; it said: %s", s.cluster.data(), kind, said)
}

// URL returns a connection URL for a database of this server, as its superuser, with the generated password in it. Give it to no log.
func (s *Server) URL(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, s.cluster.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}).String()
}

// Port returns the port on 127.0.0.1. It stays the same through Stop, Kill and Start.
func (s *Server) Port() int { return s.port }

// Pid returns the process id of the server's parent process.
func (s *Server) Pid() int { return s.process.Pid() }

// Programs returns the installation that runs.
func (s *Server) Programs() Programs { return s.cluster.programs }

// Done is closed when the running server ends, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// EnsureDatabase creates the database when it is not there.
func (s *Server) EnsureDatabase(ctx context.Context, name string) (err error) {
	connection, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, connection.Close(ctx)) }()
	var found bool
	if err := connection.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found); err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	if found {
		return nil
	}
	if _, err := connection.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	return nil
}

// Stop shuts the server down: clients are disconnected and everything is written. When that takes too long, or ctx ends, it is
// pushed harder; no committed data is lost by that. A server that has ended already is nil.
func (s *Server) Stop(ctx context.Context) error { return s.process.Stop(ctx, stopLadder...) }

// Kill ends the server's parent process with SIGKILL, as a crash would. Start recovers the data.
func (s *Server) Kill() error { return s.process.Kill() }

// Restart stops and starts the server, on the same port and data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}
