// Command rollout rehearses releases on this machine (make rollout-drill): three
// replicas behind HAProxy, callers at a constant rate, a good version, bad ones
// as canaries, and a crash. It ends with 1 when a request was lost that should
// not have been, or when a bad version was not noticed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "the drill failed:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, time.Now().Format("15:04:05 ")+format+"\n", args...) // nothing to do about a closed standard output
}

func run(ctx context.Context) (err error) {
	tree, err := os.Getwd()
	if err != nil {
		return err
	}
	stage, err := drill.NewStage(ctx, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close(ctx)) }()
	account, err := process.Unprivileged("postgres")
	if err != nil {
		return err
	}
	data, err := process.TempDir(account, "profile-api-rollout")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	postgres, err := pglauncher.Start(ctx, pglauncher.Options{DataDir: data, Install: true, Progress: func(m string) { say("%s", m) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop(context.WithoutCancel(ctx))) }()
	front, err := startProxy(ctx, tree, stage.Dir(), say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.stop(context.WithoutCancel(ctx))) }()
	f := &fleet{
		stage: stage, front: front, replicas: make([]*drill.Replica, len(front.replicas)),
		env: stage.Settings(postgres.URL("postgres")).With("SHUTDOWN_DRAIN_DELAY", "2s"), callers: newCallers(stage.Clerk, "http://"+front.addr),
	}
	defer f.killAll()
	return f.rehearse(ctx, builder{stage, tree})
}

// fleet are the replicas behind the proxy.
type fleet struct {
	stage    *drill.Stage
	front    *proxy
	env      drill.Settings
	callers  *callers
	replicas []*drill.Replica
	started  int
	rows     []string // of the summary
	faults   []error
}

// note keeps a row of the summary; fault, when not empty, is why the drill fails.
func (f *fleet) note(what string, r drill.Report, more, fault string) {
	mark := "ok"
	if fault != "" {
		mark = "FAILED: " + fault
		f.faults = append(f.faults, fmt.Errorf("%s: %s", what, fault))
	}
	say("%s: %s. %s", what, r, more)
	f.rows = append(f.rows, fmt.Sprintf("%-28s %5d sent %4d lost  p95 %-8s %s; %s",
		what, r.Sent, r.Lost, r.Percentile(95).Round(100*time.Microsecond), more, mark))
}

func (f *fleet) rehearse(ctx context.Context, b builder) error {
	first, err := b.good(ctx, "v1", false)
	if err != nil {
		return err
	}
	second, err := b.good(ctx, "v2", true)
	if err != nil {
		return err
	}
	if _, err := drill.Command(ctx, first, f.env, "migrate", "up"); err != nil {
		return err
	}
	for i := range f.replicas {
		if err := f.start(ctx, i, first); err != nil {
			return err
		}
	}
	if err := f.goodRelease(ctx, second); err != nil {
		return err
	}
	for _, bad := range []struct {
		name string
		fault
		mayHurt bool
	}{{"never-ready", neverReady, false}, {"fails", oftenFails, true}, {"slow", tooSlow, true}} {
		binary, err := b.bad(ctx, bad.name, bad.fault)
		if err != nil {
			return err
		}
		if err := f.badRelease(ctx, bad.name, binary, second, bad.mayHurt); err != nil {
			return err
		}
	}
	if err := f.crash(ctx, second); err != nil {
		return err
	}
	acknowledged, gone, err := f.callers.missing(ctx)
	if err != nil {
		return err
	}
	if gone > 0 {
		f.faults = append(f.faults, fmt.Errorf("%d acknowledged writes are gone", gone))
	}
	say("summary\n%s\nof %d acknowledged writes %d are missing", strings.Join(f.rows, "\n"), acknowledged, gone)
	return errors.Join(f.faults...)
}

// start puts a replica into the slot and waits until it may have traffic and the proxy gives it some.
func (f *fleet) start(ctx context.Context, slot int, binary string) error {
	if err := f.launch(ctx, slot, binary); err != nil {
		return err
	}
	if err := f.replicas[slot].AwaitReady(ctx); err != nil {
		return err
	}
	time.Sleep(1500 * time.Millisecond) // two checks of the proxy's
	return nil
}

func (f *fleet) launch(ctx context.Context, slot int, binary string) (err error) {
	f.started++
	log := filepath.Join(f.stage.Dir(), fmt.Sprintf("replica-%d.log", f.started))
	f.replicas[slot], err = drill.StartReplica(ctx, binary, log, f.env.With("HTTP_ADDR", f.front.replicas[slot]))
	return err
}

func (f *fleet) replace(ctx context.Context, slot int, binary string) error {
	if err := f.replicas[slot].Stop(ctx); err != nil {
		return err
	}
	return f.start(ctx, slot, binary)
}

func (f *fleet) goodRelease(ctx context.Context, binary string) error {
	say("rolling to v2: its migration first, then replica by replica")
	stop := f.callers.start(ctx)
	defer stop()
	out, err := drill.Command(ctx, binary, f.env, "migrate", "up")
	if err != nil {
		return err
	}
	say("%s", process.LastLines(out, 2))
	for slot := range f.replicas {
		if err := f.replace(ctx, slot, binary); err != nil {
			return err
		}
		verdict, figures, err := judge(ctx, f.replicas[slot], f.replicas[(slot+1)%len(f.replicas)])
		if err != nil {
			return err
		}
		say("replica %d is v2. %s", slot+1, figures)
		if verdict != "" {
			f.faults = append(f.faults, fmt.Errorf("the good version was judged bad: %s", verdict))
		}
	}
	r, fault := stop(), ""
	if r.Lost > 0 {
		fault = "requests were lost"
	}
	f.note("to a good version", r, "3 replicas replaced, migration applied", fault)
	return nil
}

// badRelease rolls one replica to the build, watches it and goes back.
func (f *fleet) badRelease(ctx context.Context, name, binary, good string, mayHurt bool) error {
	say("rolling to a version that is bad: %s", name)
	stop := f.callers.start(ctx)
	defer stop()
	if err := f.replicas[0].Stop(ctx); err != nil {
		return err
	}
	begin := time.Now()
	if err := f.launch(ctx, 0, binary); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, canaryLimit)
	defer cancel()
	verdict, figures := "it does not become ready", ""
	if err := f.replicas[0].AwaitReady(limited); err == nil {
		if verdict, figures, err = judge(limited, f.replicas[0], f.replicas[1]); err != nil {
			return err
		}
	}
	noticed := time.Since(begin).Round(100 * time.Millisecond)
	say("after %s: %q. %s; rolling back", noticed, verdict, figures)
	if err := f.replace(ctx, 0, good); err != nil {
		return err
	}
	took := time.Since(begin).Round(100 * time.Millisecond)
	r, fault := stop(), ""
	switch {
	case verdict == "":
		fault = "it was not noticed"
	case r.Lost > 0 && !mayHurt:
		fault = "requests were lost"
	}
	f.note("canary: "+name, r, fmt.Sprintf("noticed after %s (%s), rolled back after %s", noticed, verdict, took), fault)
	return nil
}

// crash kills a replica under traffic; what is lost is told and no fault, but that it ends is.
func (f *fleet) crash(ctx context.Context, binary string) error {
	say("a replica is killed")
	stop := f.callers.start(ctx)
	defer stop()
	time.Sleep(2 * time.Second)
	if err := f.replicas[1].Kill(); err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	during := stop()
	f.note("kill -9 of a replica", during, "reads are repeated elsewhere, writes in flight are not", "")
	after := f.callers.start(ctx)
	defer after()
	if err := f.start(ctx, 1, binary); err != nil {
		return err
	}
	r, fault := after(), ""
	if r.Lost > 0 {
		fault = "requests were lost"
	}
	f.note("on two replicas, then three", r, "a new replica came", fault)
	return nil
}

func (f *fleet) killAll() {
	for _, r := range f.replicas {
		if r != nil {
			_ = r.Kill() // it may have ended
		}
	}
}
