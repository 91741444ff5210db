package process

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// Run runs a short program to its end as the account and returns what it printed. The error carries the last lines of it.
func Run(ctx context.Context, account *Account, dir, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...) // #nosec G204 -- as Start
	cmd.Dir, cmd.Env = dir, Environment()
	cmd.SysProcAttr = attributes(account, 0)
	// Asked politely, a program such as initdb removes what it has half made.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killPatience
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", path, err, LastLines(string(out), 5))
	}
	return string(out), nil
}

// LastLines returns the last n lines of text that are not blank, joined by " | " so that they fit an error message.
func LastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
