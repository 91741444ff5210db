//go:build !linux

package main_test

import "os/exec"

// startTied starts the command and closes done when it has ended.
func startTied(cmd *exec.Cmd, done chan<- struct{}) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // the status is in ProcessState
		close(done)
	}()
	return nil
}
