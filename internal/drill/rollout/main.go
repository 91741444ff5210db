// Command rollout rehearses releases on this machine (make rollout-drill): three
// replicas behind HAProxy, callers at a constant rate, and new versions that get
// 10 %, 50 % and 100 % of the requests, judged at each step by what they answer. A
// good one must be promoted and lose no request, bad ones must go back from 10 %;
// then a replica crashes. It ends with 1 when anything went otherwise.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
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
	people := newCallers("http://"+front.addr, func(who int) string {
		return stage.Clerk.Mint(clerkstandin.WithUser(clerkstandin.UserID(fmt.Sprint("drill", who))))
	})
	f := &fleet{
		dir: stage.Dir(), front: front, traffic: drill.Traffic{Rate: rate, Call: people.call},
		env: stage.Settings(postgres.URL("postgres")).With("SHUTDOWN_DRAIN_DELAY", "2s"),
	}
	defer f.killAll()
	return f.rehearse(ctx, builder{stage, tree}, people)
}
