package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"
)

// riverVersion is the version of River's own schema that this migration brings.
// It is pinned: when a later River wants a newer one, a migration of a later
// number goes from here to there.
const riverVersion = 7

// river makes the tables of the job queue by River's own migrations, which are
// in its module and not copied here. Each of them runs in a transaction of its
// own, and River notes it there: PostgreSQL does not let a value that was added
// to an enum be used before the commit, so they cannot all run in one. When this
// breaks off in the middle it is simply run again.
func river() *goose.Migration {
	return goose.NewGoMigration(9, &goose.GoFunc{RunDB: riverUp}, &goose.GoFunc{RunDB: riverDown})
}

func riverUp(ctx context.Context, db *sql.DB) error { return riverUpTo(ctx, db, riverVersion) }

// riverUpTo brings River's schema to the target, from wherever it is below.
func riverUpTo(ctx context.Context, db *sql.DB, target int) error {
	m, err := riverMigrator(db)
	if err != nil {
		return err
	}
	there, err := m.ExistingVersions(ctx)
	if err != nil {
		return fmt.Errorf("read River's versions: %w", err)
	}
	// With the target among those applied, River would go on to its latest.
	if slices.ContainsFunc(there, func(v rivermigrate.Migration) bool { return v.Version >= target }) {
		return nil
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: target})
	return err
}

func riverDown(ctx context.Context, db *sql.DB) error {
	m, err := riverMigrator(db)
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1}) // all of it
	return err
}

func riverMigrator(db *sql.DB) (*rivermigrate.Migrator[*sql.Tx], error) {
	m, err := rivermigrate.New(riverdatabasesql.New(db), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("make River's migrator: %w", err)
	}
	return m, nil
}
