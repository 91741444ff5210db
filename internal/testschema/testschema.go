// Package testschema gives tests databases with the service's own schema.
package testschema

import (
	"context"
	"errors"
	"testing"

	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/postgres"
)

// Database gives the URL of a fresh database with the whole schema, which goes
// when the test ends. It is a copy: the migrations run once in a process.
func Database(tb testing.TB) string {
	tb.Helper()
	return testservers.DatabaseFromTemplate(tb, "schema", Up)
}

// Up applies every migration to a database.
func Up(ctx context.Context, url string) (err error) {
	db, err := postgres.Open(ctx, postgres.Options{URL: url})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := db.Migrator()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	_, err = m.Up(ctx)
	return err
}
