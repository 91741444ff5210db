// load runs the load tests of deploy/load against the production program, on a
// PostgreSQL, a Valkey and a stand-in for Clerk of its own, watches who uses
// the processor meanwhile, and writes reports. Its status is 1 when a threshold
// was crossed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/profile-api/profile-api/internal/drill"
)

// plan is one run: a script against a number of replicas with settings.
type plan struct {
	name, script string
	replicas     int
	duration     string
	settings     []string // name and value in turn
}

// soakShort is how long the soak of PROFILE=all lasts unless DURATION says so.
const soakShort = "180s"

func plans(profile, duration string, replicas int) ([]plan, error) {
	scripts := map[string]string{"smoke": "smoke", "100": "load-100", "1000": "load-1000", "spike": "spike", "soak": "soak"}
	if script, ok := scripts[profile]; ok {
		return []plan{{name: script, script: script, replicas: replicas, duration: duration}}, nil
	}
	if profile != "all" {
		return nil, fmt.Errorf("PROFILE is %q: expected smoke, 100, 1000, spike, soak or all", profile)
	}
	if duration == "" {
		duration = soakShort
	}
	return []plan{
		{name: "smoke", script: "smoke", replicas: replicas},
		{name: "load-100", script: "load-100", replicas: replicas},
		{name: "load-1000", script: "load-1000", replicas: replicas},
		{name: "spike", script: "spike", replicas: replicas},
		// The same people for the same time, with one thing changed: only their ratios say something.
		{name: "pool of 25", script: "load-1000", replicas: 1, duration: "40s"},
		{name: "pool of 5", script: "load-1000", replicas: 1, duration: "40s", settings: []string{"DB_MAX_OPEN_CONNS", "5", "DB_MAX_IDLE_CONNS", "5"}},
		{name: "two replicas", script: "load-1000", replicas: 2, duration: "40s"},
		{name: "soak", script: "soak", replicas: replicas, duration: duration},
	}, nil
}

func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		say("FAILED: %s", err)
		os.Exit(1)
	}
	say("all thresholds were kept")
}

func run(ctx context.Context) (err error) {
	profile := flag.String("profile", "smoke", "smoke, 100, 1000, spike, soak or all")
	duration := flag.String("duration", "", "of the run, such as 45s, 10m or 2h; with all, that of the soak")
	replicas := flag.Int("replicas", 1, "how many run")
	out := flag.String("out", "bin/load", "directory of the reports")
	flag.Parse()
	todo, err := plans(*profile, *duration, *replicas)
	if err != nil {
		return err
	}
	if *replicas < 1 || *replicas > 8 {
		return errors.New("REPLICAS must be a number from 1 to 8")
	}
	k6, err := tool(ctx, ".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o750); err != nil {
		return err
	}
	s, err := newStack(ctx, ".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	var results []result
	for _, p := range todo {
		r, runErr := s.perform(ctx, k6, *out, p)
		if runErr != nil && !errors.Is(runErr, ErrThresholds) {
			return errors.Join(runErr, err)
		}
		results = append(results, r)
		if runErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, runErr))
		}
		if err := write(*out, results, s.machine(ctx, k6)); err != nil { // after each, so that an end in between loses none
			return err
		}
	}
	say("reports: %s and report.html beside it", filepath.Join(*out, "report.md"))
	return err
}

// perform carries one plan out.
func (s *stack) perform(ctx context.Context, k6, out string, p plan) (r result, err error) {
	say("%s: starting %d replica(s) %s", p.name, p.replicas, strings.Join(p.settings, " "))
	if err := s.start(ctx, p.replicas, p.settings...); err != nil {
		return r, errors.Join(err, s.stop(ctx))
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	path, err := filepath.Abs(filepath.Join(out, strings.ReplaceAll(p.name, " ", "-")+".json"))
	if err != nil {
		return r, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	samples := make(chan []sample, 1)
	watched := false
	summary, err := k6Run{
		program: k6, script: filepath.Join("deploy/load", p.script+".js"), summary: path, baseURL: s.baseURL(), tokens: s.tokens,
		webhookSecret: drill.WebhookSecret, duration: p.duration, output: os.Stdout,
		started: func(pid int) { watched = true; go func() { samples <- watch(watching, s, pid) }() },
	}.run(ctx)
	stop()
	r = result{plan: p, summary: summary, crossed: crossed(summary)}
	if watched {
		r.samples = <-samples
	}
	if p.script == "soak" && err == nil {
		if growth := r.growth(); growth != "" {
			r.crossed = append(r.crossed, growth)
			err = fmt.Errorf("%w: %s", ErrThresholds, growth)
		}
	}
	say("%s", r.bottleneck())
	return r, err
}

// crossed lists the thresholds that were not kept.
func crossed(s summary) (all []string) {
	for name, m := range s.Metrics {
		for rule, t := range m.Thresholds {
			if !t.OK {
				all = append(all, name+" "+rule)
			}
		}
	}
	slices.Sort(all)
	return all
}
