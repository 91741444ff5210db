// Command backup rehearses the loss of the database: it makes a PostgreSQL that
// archives as deploy/backup says, runs the real program with callers, takes
// backups, kills the server and removes its data, restores to a moment and
// compares everything with what was true then. make backup-drill runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options say how long the rehearsal is.
type options struct {
	source         string        // the source tree
	archiveTimeout string        // empty: what deploy/backup/archiving.conf says
	people, rate   int           // who write, and writes a second
	stretch        time.Duration // of traffic before, between and after the backups
	wrong          bool          // restores to a later moment on purpose
	kubernetes     bool          // the form of deploy/backup/kubernetes: an object store, and pgBackRest's server beside PostgreSQL
	short          bool          // leaves out what follows the first restore but for the comparison and the erasures
}

func main() {
	var o options
	flag.StringVar(&o.archiveTimeout, "archive-timeout", "", "PostgreSQL's archive_timeout instead of the one in deploy/backup/archiving.conf")
	flag.IntVar(&o.people, "people", 40, "people who write")
	flag.IntVar(&o.rate, "rate", 60, "writes a second")
	flag.DurationVar(&o.stretch, "stretch", 10*time.Second, "traffic before, between and after the backups, each")
	flag.BoolVar(&o.wrong, "wrong-target", false, "restore to a later moment: the drill must then fail")
	flag.BoolVar(&o.kubernetes, "kubernetes", false, "back up as deploy/backup/kubernetes does: into an object store, through pgBackRest's server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	begin := time.Now()
	say := func(format string, args ...any) {
		// A terminal that is gone cannot be told.
		_, _ = fmt.Fprintf(os.Stdout, "backup-drill %6.1fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	err := func() error {
		defer stop()
		var err error
		if o.source, err = sourceTree(); err != nil {
			return err
		}
		return rehearse(ctx, o, say)
	}()
	if err != nil {
		say("FAILED: %v", err)
		os.Exit(1)
	}
	say("passed")
}

// sourceTree is the nearest directory above the working directory with a go.mod.
func sourceTree() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("run the drill inside the source tree")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
