package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// reconcileConnections is enough for one walker and the renewal of its lease.
const reconcileConnections = 4

// reconcileFlags are what the command line may say.
type reconcileFlags struct{ dryRun, force, json bool }

func parseReconcile(args []string) (f reconcileFlags, err error) {
	for _, arg := range args {
		switch arg {
		case "--dry-run":
			f.dryRun = true
		case "--force":
			f.force = true
		case "--json":
			f.json = true
		default:
			return f, errUsage
		}
	}
	return f, nil
}

// reconcile walks through Clerk's users. Progress goes to standard error, the
// summary to out. No error means that everybody is in step now, or, in a dry run,
// would be.
func reconcile(ctx context.Context, out io.Writer, args []string) (err error) {
	flags, err := parseReconcile(args)
	if err != nil {
		return err
	}
	s, err := config.Load(config.Options{})
	if err != nil {
		return err
	}
	opts := service.DatabaseOptions(s, service.NewLogger(os.Stderr, s))
	opts.MaxOpen, opts.MaxIdle = min(opts.MaxOpen, reconcileConnections), min(opts.MaxIdle, reconcileConnections)
	db, err := openCurrent(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	users, err := service.NewClerkUsers(s, nil)
	if err != nil {
		return err
	}
	walk, err := service.NewReconcile(s, db, users)
	if err != nil {
		return err
	}
	show := newProgress(os.Stderr, flags.dryRun)
	run, err := walk.Run(ctx, usecase.ReconcileOptions{DryRun: flags.dryRun, Force: flags.force, Tell: show.tell})
	if run.ID != "" {
		sum := newSummary(&run, flags, show.resumed)
		write := sum.writeText
		if flags.json {
			write = sum.writeJSON
		}
		if fault := write(out); fault != nil {
			return errors.Join(err, fault)
		}
	}
	return judgeRun(ctx, &run, err, flags, s.ReconcileMaxErasePercent)
}

// judgeRun says why the exit status is not 0, and what to do. A dry run ends as
// the run itself would.
func judgeRun(ctx context.Context, run *domain.Reconciliation, err error, flags reconcileFlags, percent int) error {
	c := run.Counts
	switch {
	case err != nil && flags.dryRun:
		return fmt.Errorf("reconcile broke off, nothing was changed: %w", plain(ctx, err))
	case err != nil && run.ID == "":
		return fmt.Errorf("reconcile has not begun: %w", plain(ctx, err))
	case err != nil:
		return fmt.Errorf("reconcile broke off: %w; what was done is kept, and profile-api reconcile goes on behind person %d within 24 hours",
			plain(ctx, err), run.NextOffset)
	case run.EndedAs(domain.ReconcileRefused) && run.NextOffset == 0:
		return fmt.Errorf("refused: Clerk showed nobody at all, while there are %d profiles from before; nobody was erased. %s", run.Profiles, refusedAdvice)
	case run.EndedAs(domain.ReconcileRefused):
		created := "were created"
		if flags.dryRun {
			created = "would have been created"
		}
		return fmt.Errorf("refused: %d profiles have nobody on Clerk's list, more than RECONCILE_MAX_ERASE_PERCENT=%d allows of the %d from before %s; "+
			"nobody was erased. %d profiles %s in this run: if these are strangers, the key is another instance's, and to force would erase everybody else. %s",
			c.Refused, percent, run.Profiles, run.JudgedBefore.Format(time.RFC3339), c.Created, created, refusedAdvice)
	case !c.Repaired():
		return fmt.Errorf("not everybody is in step: %d could not be read and %d could not be repaired; the reasons are above", c.Unreadable, c.Failed)
	}
	return nil
}

const refusedAdvice = "Look whether CLERK_SECRET_KEY and CLERK_API_URL belong to this database; if they do, run: profile-api reconcile --force"

// plain is of an error what may be shown: a cause may hold values of people's.
func plain(ctx context.Context, err error) error {
	var e *domain.Error
	var database interface{ SQLState() string }
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.As(err, &database):
		return errors.New("the database answered with SQLSTATE " + database.SQLState())
	case errors.As(err, &e):
		return errors.New(e.Message())
	}
	return fmt.Errorf("an error of the type %T", err)
}
