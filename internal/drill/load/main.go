// Command load runs the k6 scripts of deploy/load against the real program on
// this machine: PostgreSQL, Valkey and a stand-in for Clerk of its own, the
// production program with its usual pool, people with tokens. It watches the
// processes meanwhile, so that the report says what was busy. `make load` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/profile-api/profile-api/internal/drill"
)

var shapes = []string{"smoke", "load-100", "load-1000", "spike", "soak"}

type options struct {
	shapes   []string
	duration string
	pool     string
	replicas int
	people   int
	report   string
}

func main() {
	var o options
	shape := flag.String("profile", "smoke", "smoke, load-100, load-1000, spike, soak, or all")
	flag.StringVar(&o.duration, "duration", "", "of the main part, such as 30s; empty takes the script's")
	flag.StringVar(&o.pool, "pool", "", "DB_MAX_OPEN_CONNS; empty takes the default")
	flag.IntVar(&o.replicas, "replicas", 1, "how many replicas behind a balancer of this program")
	flag.IntVar(&o.people, "people", 1000, "who has a token")
	flag.StringVar(&o.report, "report", "bin/load", "folder for the reports")
	flag.Parse()
	o.shapes = []string{*shape}
	if *shape == "all" {
		o.shapes = shapes
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, "load: "+format+"\n", args...) // nothing to do about a closed standard output
}

func run(ctx context.Context, o options) (err error) {
	k6, err := findTool(ctx, "k6")
	if err != nil {
		return err
	}
	if o.report, err = filepath.Abs(o.report); err != nil {
		return err
	}
	if err := os.MkdirAll(o.report, 0o750); err != nil {
		return err
	}
	stage, err := drill.NewStage(ctx, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close(ctx)) }()
	target, err := start(ctx, stage, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.stop(context.WithoutCancel(ctx))) }()
	tokens, err := target.mint(stage, o.people)
	if err != nil {
		return err
	}
	var broken []string
	for _, shape := range o.shapes {
		say("%s begins", shape)
		watch := target.watch(ctx)
		cmd := command(ctx, k6, target.url, tokens, shape, o)
		failure := cmd.Run()
		say("%s: %s", shape, watch(cmd.ProcessState))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failure != nil {
			broken = append(broken, shape)
		}
	}
	say("reports are in %s", o.report)
	if len(broken) > 0 {
		return fmt.Errorf("limits were broken: %s", strings.Join(broken, ", "))
	}
	return nil
}

// command is one run of the scripts; its error is a limit that was broken, or a script that cannot run.
func command(ctx context.Context, k6, url, tokens, shape string, o options) *exec.Cmd {
	cmd := exec.CommandContext(ctx, k6, "run", "--quiet", "--no-usage-report", "deploy/load/profile-api.js") // #nosec G204 -- the pinned tool
	cmd.Env = append(os.Environ(), "BASE_URL="+url, "TOKENS="+tokens, "PROFILE="+shape, "DURATION="+o.duration, "REPORT="+o.report, "K6_NO_COLOR=true")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	return cmd
}

// findTool has the pinned tool built when it is not there yet.
func findTool(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "internal/tools/tool", name) // #nosec G204 -- our own script
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
