package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// killPatience is how long a process may take to vanish after SIGKILL before Stop gives up on it. It only runs out when the
// process hangs inside the kernel.
const killPatience = 10 * time.Second

// ErrExited says that the process ended by itself while it was expected to serve.
var ErrExited = errors.New("the process ended before it answered")

// Spec says what to start.
type Spec struct {
	Path    string   // absolute path of the program
	Args    []string // its arguments, without the program's name
	Dir     string   // working directory; the account must be able to enter it
	Account *Account // who it runs as; nil means the current user
	Output  *os.File // where its standard output and error go; nil discards them
	Env     []string // NAME=value beside [Environment], which is all that it sees of ours
	// Orphan is the signal that the kernel sends to the program when this process dies, however it dies. Linux only: elsewhere a
	// parent that is killed with SIGKILL leaves its servers running.
	Orphan syscall.Signal
}

// Process is a started program. Its methods may be called from any goroutine.
type Process struct {
	pid  int
	done chan struct{}
	err  error // set before done is closed
}

// Start starts the program in a process group of its own, so that Ctrl-C in a terminal reaches it only through us.
func Start(spec Spec) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the orphan signal to the thread that forked, so that thread must live as long as the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.Command(spec.Path, spec.Args...) // #nosec G204 -- launching a program found on the machine is this package's purpose
		cmd.Dir, cmd.Env = spec.Dir, append(Environment(), spec.Env...)
		cmd.SysProcAttr = attributes(spec.Account, spec.Orphan)
		if spec.Output != nil {
			cmd.Stdout, cmd.Stderr = spec.Output, spec.Output
		}
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", spec.Path, err)
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Environment is what launched programs get to see: nothing of ours, because our environment may hold secrets and variables such
// as PGPORT that would change what a server does.
func Environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// Pid returns the program's process id, also after it ended.
func (p *Process) Pid() int { return p.pid }

// Done is closed once the program has ended and has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal. A program that has ended is os.ErrProcessDone; its id, which may belong to another one by now, is left alone.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return os.ErrProcessDone
	}
	if err := syscall.Kill(p.pid, sig); err != nil {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}

// Kill ends the program with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait(killPatience)
}

func (p *Process) wait(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("process %d is still there %s after SIGKILL", p.pid, limit)
	}
}

// Rung is one step of the ladder by which Stop ends a program: a signal and how long to wait for its effect.
type Rung struct {
	Signal   syscall.Signal
	Patience time.Duration
}

// Stop climbs the ladder until the program has ended, with SIGKILL as the last rung. A context that ends cuts the patience of
// each rung short but skips none. It returns nil when the program is gone, however hard it had to be pushed.
func (p *Process) Stop(ctx context.Context, ladder ...Rung) error {
	// A paused program acts on no other signal until it is continued.
	if err := p.Signal(syscall.SIGCONT); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	for _, rung := range ladder {
		if err := p.Signal(rung.Signal); errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		waiting, cancel := context.WithTimeout(ctx, rung.Patience)
		select {
		case <-p.done:
			cancel()
			return nil
		case <-waiting.Done():
			cancel()
		}
	}
	return p.Kill()
}

// WaitReady calls probe until it succeeds. It fails with ErrExited when the program ends first, and with the probe's last error
// when the context does.
func (p *Process) WaitReady(ctx context.Context, probe func(context.Context) error) error {
	err := Poll(ctx, p.done, probe)
	if errors.Is(err, errStopped) {
		return fmt.Errorf("%w: %w", ErrExited, p.exitError())
	}
	return err
}

func (p *Process) exitError() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("exit status 0")
}

var errStopped = errors.New("stopped")

const (
	pollInterval = 25 * time.Millisecond
	probeLimit   = 2 * time.Second
)

// Poll calls probe every few milliseconds, each call limited to two seconds, until it succeeds, stop is closed or ctx ends.
func Poll(ctx context.Context, stop <-chan struct{}, probe func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, probeLimit)
		err := probe(limited)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-stop:
			return errStopped
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w (%w)", err, ctx.Err())
		case <-ticker.C:
		}
	}
}
