package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/process"
)

func (f *fleet) rehearse(ctx context.Context, b builder, people *callers) error {
	first, err := b.good(ctx, "v1", false)
	if err != nil {
		return err
	}
	second, err := b.good(ctx, "v2", true)
	if err != nil {
		return err
	}
	if err := f.migrate(ctx, first); err != nil {
		return err
	}
	if err := f.fillStable(ctx, first); err != nil {
		return err
	}
	if err := f.goodRelease(ctx, second, f.migrate); err != nil {
		return err
	}
	for _, bad := range []struct {
		name string
		fault
	}{{"never-ready", neverReady}, {"fails", oftenFails}, {"slow", tooSlow}} {
		binary, err := b.bad(ctx, bad.name, bad.fault)
		if err != nil {
			return err
		}
		if err := f.badRelease(ctx, bad.name, binary); err != nil {
			return err
		}
	}
	if err := f.crash(ctx, second); err != nil {
		return err
	}
	acknowledged, gone, err := people.missing(ctx)
	if err != nil {
		return err
	}
	if gone > 0 {
		f.faults = append(f.faults, fmt.Errorf("%d acknowledged writes are gone", gone))
	}
	say("summary\n%s\nof %d acknowledged writes %d are missing", strings.Join(f.rows, "\n"), acknowledged, gone)
	return errors.Join(f.faults...)
}

// note keeps a row of the summary; faults are why the drill fails.
func (f *fleet) note(what string, r drill.Report, more string, faults ...string) {
	mark := "ok"
	for _, fault := range faults {
		mark = "FAILED: " + strings.Join(faults, "; ")
		f.faults = append(f.faults, fmt.Errorf("%s: %s", what, fault))
	}
	say("%s: %s. %s", what, r, more)
	f.rows = append(f.rows, fmt.Sprintf("%-28s %5d sent %4d lost  p95 %-8s %s; %s",
		what, r.Sent, r.Lost, r.Percentile(95).Round(100*time.Microsecond), more, mark))
}

func (f *fleet) migrate(ctx context.Context, binary string) error {
	out, err := drill.Command(ctx, binary, f.env, "migrate", "up")
	if err == nil {
		say("%s", process.LastLines(out, 2))
	}
	return err
}

// goodRelease lets out a version that must be promoted; first is what comes before its first replica.
func (f *fleet) goodRelease(ctx context.Context, binary string, first func(ctx context.Context, binary string) error) error {
	say("a good version: its migration first, then step by step")
	stop := f.traffic.Start(ctx)
	defer stop()
	if err := first(ctx, binary); err != nil {
		return err
	}
	r, err := f.release(ctx, binary)
	if err != nil {
		return err
	}
	report := stop()
	f.note("a good version", report, fmt.Sprintf("%s, promoted after %s", r.shares(), r.took), r.faultsOfGood(report)...)
	return nil
}

// badRelease lets out a version that must be rolled back.
func (f *fleet) badRelease(ctx context.Context, name, binary string) error {
	say("a version that is bad: %s", name)
	stop := f.traffic.Start(ctx)
	defer stop()
	r, err := f.release(ctx, binary)
	if err != nil {
		return err
	}
	report := stop()
	f.note("a bad one: "+name, report, fmt.Sprintf("%s, %q after %s, gone after %s; it gave %s, the others %.0f",
		r.shares(), r.verdict, r.noticed, r.took, r.met, r.others()), r.faultsOfBad(report)...)
	return nil
}

// crash kills a replica under traffic. What it was about to answer is lost, which is told and no fault; that it ends is. The
// proxy sees it by the next check at the latest, and sends a second's worth of calls to nobody in no case.
func (f *fleet) crash(ctx context.Context, binary string) error {
	say("a replica is killed")
	stop := f.traffic.Start(ctx)
	defer stop()
	time.Sleep(2 * time.Second)
	last := len(f.stable) - 1
	if err := f.stable[last].Kill(); err != nil {
		return err
	}
	f.stable = f.stable[:last]
	time.Sleep(3 * time.Second)
	lost, killed := stop(), []string(nil)
	if lost.Lost > f.traffic.Rate {
		killed = append(killed, "more was lost than one replica had in flight")
	}
	f.note("kill -9 of a replica", lost, "reads are repeated elsewhere, writes in flight are not", killed...)
	after := f.traffic.Start(ctx)
	defer after()
	if err := f.fillStable(ctx, binary); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	report, faults := after(), []string(nil)
	if report.Lost > 0 {
		faults = append(faults, "requests were lost")
	}
	f.note("on two replicas, then three", report, "a new replica came", faults...)
	return nil
}
