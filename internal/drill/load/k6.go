package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// thresholdsFailed is k6's exit status when a threshold was crossed (its errext/exitcodes, ThresholdsHaveFailed).
const thresholdsFailed = 99

// ErrThresholds says that a run crossed a threshold.
var ErrThresholds = errors.New("a threshold was crossed")

// summary is what people.js keeps of a run.
type summary struct {
	Metrics map[string]struct {
		Values     map[string]float64 `json:"values"`
		Thresholds map[string]struct {
			OK bool `json:"ok"`
		} `json:"thresholds"`
	} `json:"metrics"`
}

// k6Run is one run of a script.
type k6Run struct {
	program, script string // paths
	summary         string // where the summary goes
	baseURL, tokens string
	webhookSecret   string
	duration        string // of the script, its own when empty
	env             []string
	output          io.Writer
	started         func(pid int) // told of k6's process; may be nil
}

// tool is the path of k6, built when it is missing.
func tool(ctx context.Context, source string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(source, "internal/tools/tool"), "k6") // #nosec G204 -- our own script
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("get k6: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// run runs the script to its end. A crossed threshold is ErrThresholds, with the summary all the same.
func (r k6Run) run(ctx context.Context) (s summary, err error) {
	// The usage report of k6 would go to its maker, and the address of its own API is of no use here.
	cmd := exec.CommandContext(ctx, r.program, "run", "--no-usage-report", "--quiet", "--address", "", r.script) // #nosec G204 -- the pinned tool
	cmd.Env = append([]string{
		"HOME=" + filepath.Dir(r.summary), "PATH=" + os.Getenv("PATH"), "BASE_URL=" + r.baseURL, "TOKENS_FILE=" + r.tokens,
		"WEBHOOK_SECRET=" + r.webhookSecret, "DURATION=" + r.duration, "SUMMARY_FILE=" + r.summary,
	}, r.env...)
	cmd.Stdout, cmd.Stderr = r.output, r.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to pass on
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return s, err
	}
	if r.started != nil {
		r.started(cmd.Process.Pid)
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == thresholdsFailed {
		err = ErrThresholds
	}
	if err != nil && !errors.Is(err, ErrThresholds) {
		return s, fmt.Errorf("k6 %s: %w", filepath.Base(r.script), err)
	}
	text, readErr := os.ReadFile(r.summary)
	if readErr != nil {
		return s, errors.Join(err, readErr)
	}
	return s, errors.Join(err, json.Unmarshal(text, &s))
}
