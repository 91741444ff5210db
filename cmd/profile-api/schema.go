package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/profile-api/profile-api/repository/postgres"
)

// openCurrent opens the database for a command, and refuses one whose schema this
// program does not know: half of the work might be done before that shows.
func openCurrent(ctx context.Context, opts postgres.Options) (*postgres.DB, error) {
	db, err := postgres.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := currentSchema(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func currentSchema(ctx context.Context, db *postgres.DB) (err error) {
	m, err := db.Migrator()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	pending, err := m.Pending(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("the database cannot be asked: %w", err)
	case pending:
		return errors.New("the schema is not current: run profile-api migrate up first")
	}
	return nil
}
