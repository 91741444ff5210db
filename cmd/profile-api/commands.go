package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/repository/postgres"
)

func serve(ctx context.Context) error {
	s, err := config.Load(config.Options{})
	if err != nil {
		return err
	}
	log := service.NewLogger(os.Stdout, s)
	defer httpserver.IgnoreHangups(ctx, log)()
	return service.Run(ctx, s, service.Build{Version: version, Commit: commit}, log)
}

func migrate(ctx context.Context, out io.Writer, direction string) (err error) {
	if direction != "up" && direction != "down" && direction != "status" {
		return errUsage
	}
	s, err := config.Load(config.Options{})
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, service.DatabaseOptions(s, service.NewLogger(os.Stderr, s)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := db.Migrator()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	switch direction {
	case "up":
		return migrateUp(ctx, out, m)
	case "down":
		return migrateDown(ctx, out, m)
	}
	return migrationStatus(ctx, out, m)
}

func migrateUp(ctx context.Context, out io.Writer, m *postgres.Migrator) error {
	applied, err := m.Up(ctx)
	for _, a := range applied {
		fmt.Fprintln(out, "applied", a.Name)
	}
	if err != nil {
		return fmt.Errorf("migrate up: %w", err)
	}
	fmt.Fprintln(out, "the schema is current")
	return nil
}

func migrateDown(ctx context.Context, out io.Writer, m *postgres.Migrator) error {
	undone, ok, err := m.Down(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("migrate down: %w", err)
	case !ok:
		fmt.Fprintln(out, "nothing to undo")
	default:
		fmt.Fprintln(out, "undid", undone.Name)
	}
	return nil
}

func migrationStatus(ctx context.Context, out io.Writer, m *postgres.Migrator) error {
	list, err := m.Status(ctx)
	if err != nil {
		return fmt.Errorf("migrate status: %w", err)
	}
	for _, s := range list {
		state := "pending"
		if s.Applied {
			state = "applied " + s.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(out, "%-40s %s\n", s.Name, state)
	}
	return nil
}

func showConfig(out io.Writer, args []string) error {
	asJSON := len(args) == 1 && args[0] == "--json"
	if len(args) > 0 && !asJSON {
		return errUsage
	}
	lines, fault := config.Inspect(config.Options{})
	write := config.WriteTable
	if asJSON {
		write = config.WriteJSON
	}
	return errors.Join(write(out, lines), fault)
}

// healthcheck asks the server in the same container. Settings that do not load
// are a failure too: the server could not have started with them.
func healthcheck(ctx context.Context) error {
	s, err := config.Load(config.Options{})
	if err != nil {
		return err
	}
	return httpserver.Live(ctx, s.HTTPAddr)
}

func showVersion(out io.Writer) error {
	_, err := fmt.Fprintf(out, "profile-api %s\ncommit %s\n%s\n", version, commit, runtime.Version())
	return err
}
