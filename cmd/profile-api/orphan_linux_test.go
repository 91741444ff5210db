package main_test

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startTied starts the command so that it dies with the test binary, however
// that ends, and closes done when the command has ended.
func startTied(cmd *exec.Cmd, done chan<- struct{}) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the signal comes when the thread that forked ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the status is in ProcessState
			close(done)
		}
	}()
	return <-started
}
