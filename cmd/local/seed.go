package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/seed"
	"github.com/profile-api/profile-api/repository/postgres"
)

// seedOptions are the arguments of local seed.
type seedOptions struct {
	database string // URL; empty: that of the local stack
	seed     uint64
	rebuild  bool
	rows     int
}

func parseSeed(args []string) (o seedOptions, err error) {
	flags := flag.NewFlagSet("seed", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the usage says it all
	flags.StringVar(&o.database, "database", "", "")
	flags.Uint64Var(&o.seed, "seed", 1, "")
	flags.BoolVar(&o.rebuild, "rebuild-indexes", false, "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return o, errUsage
	}
	if o.rows, err = strconv.Atoi(flags.Arg(0)); err != nil || o.rows < 1 || o.rows > seed.MaxRows {
		return o, fmt.Errorf("seed: N must be a number from 1 to %d", seed.MaxRows)
	}
	return o, nil
}

// runSeed fills the local stack's database, or the one that a flag names. The
// environment names none: a DATABASE_URL of another project must not be filled
// by accident.
func runSeed(ctx context.Context, args []string) (err error) {
	o, err := parseSeed(args)
	if err != nil {
		return err
	}
	url := o.database
	if url == "" {
		var stop func() error
		if url, stop, err = stackDatabase(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err := schemaReady(ctx, url, o.database == ""); err != nil {
		return err
	}
	bar := seed.NewProgress(os.Stderr, isTerminal(os.Stderr), o.rows, time.Now)
	result, err := seed.Run(ctx, url, seed.Options{
		Rows: o.rows, Seed: o.seed, Until: time.Now().UTC().Truncate(24 * time.Hour), // the same people all day
		RebuildIndexes: o.rebuild, Progress: bar.Show,
	})
	if err != nil {
		return err
	}
	seconds := max(result.Writing.Seconds(), 1e-3)
	rows := result.Profiles + result.Preferences + result.Events
	fmt.Printf("%s profiles, as many preferences and %s audit events in %.1f s: %s people/s, %s rows/s; then %.1f s for VACUUM ANALYZE\n",
		seed.Grouped(result.Profiles), seed.Grouped(result.Events), seconds,
		seed.Grouped(int(float64(result.Profiles)/seconds)), seed.Grouped(int(float64(rows)/seconds)), result.Vacuuming.Seconds())
	return nil
}

// stackDatabase gives the URL of the local stack's database: of the server that
// the running stack has, else of one started for the purpose. stop ends the latter.
func stackDatabase(ctx context.Context) (url string, stop func() error, err error) {
	st, err := findState()
	if err != nil {
		return "", nil, err
	}
	options := pglauncher.Options{DataDir: st.postgres, Install: true, Progress: progress}
	url, found, err := pglauncher.Running(ctx, options, databaseName)
	if err != nil {
		return "", nil, fmt.Errorf("use the running stack's PostgreSQL: %w", err)
	}
	if found {
		progress("using the PostgreSQL of the stack that is running")
		return url, func() error { return nil }, nil
	}
	progress("starting PostgreSQL")
	pg, err := pglauncher.Start(ctx, options)
	if err != nil {
		return "", nil, err
	}
	stop = func() error {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return pg.Stop(bounded)
	}
	if err := pg.EnsureDatabase(ctx, databaseName); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return pg.URL(databaseName), stop, nil
}

// schemaReady migrates the stack's database; of any other it only asks for a current schema.
func schemaReady(ctx context.Context, url string, ours bool) (err error) {
	db, err := postgres.Open(ctx, postgres.Options{URL: url, MaxOpen: 2})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := db.Migrator()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if ours {
		if _, err := m.Up(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		return nil
	}
	pending, err := m.Pending(ctx)
	if err != nil {
		return fmt.Errorf("look at the schema: %w", err)
	}
	if pending {
		return errors.New("the database's schema is not current: run profile-api migrate up on it first")
	}
	return nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
