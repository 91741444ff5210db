package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/profile-api/profile-api/migrations"
)

// MigrationState is one migration and whether it was applied.
type MigrationState struct {
	Version   int64
	Name      string // file name
	AppliedAt time.Time
	Applied   bool
}

// Migrator changes the schema. A session lock makes two at once safe: one
// waits, and then finds nothing to do. Through PgBouncer's transaction mode
// there are no session locks: point it at PostgreSQL itself.
type Migrator struct {
	db       *DB
	sql      *sql.DB // outside the pool: a migration may take longer than a statement of a request
	provider *goose.Provider
	versions []int64
}

// Migrator makes the migrator of this database; it connects to nothing yet.
// Close it after use.
func (db *DB) Migrator() (*Migrator, error) {
	config := db.pool.Config().ConnConfig
	config.RuntimeParams["application_name"] = ApplicationName + "-migrate"
	if !throughPgBouncer(config) {
		config.RuntimeParams["statement_timeout"] = "0"
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // every second, for 5 min
	if err != nil {
		return nil, fmt.Errorf("make the migration lock: %w", err)
	}
	m := &Migrator{db: db, sql: stdlib.OpenDB(*config)}
	m.provider, err = goose.NewProvider(goose.DialectPostgres, m.sql, migrations.FS,
		goose.WithSessionLocker(locker), goose.WithSlog(db.log), goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(migrations.Go()...))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the migrations: %w", err), m.sql.Close())
	}
	for _, s := range m.provider.ListSources() {
		m.versions = append(m.versions, s.Version)
	}
	return m, nil
}

// Close closes the migrator's own connections.
func (m *Migrator) Close() error { return m.sql.Close() }

// Up applies what is pending, each in a transaction of its own (River's tables
// in several), and lists it.
func (m *Migrator) Up(ctx context.Context) ([]MigrationState, error) {
	results, err := m.provider.Up(ctx)
	return states(results), err
}

// Down goes back one step and tells which; ok is false when there is none left.
func (m *Migrator) Down(ctx context.Context) (undone MigrationState, ok bool, err error) {
	result, err := m.provider.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) || err == nil && result == nil {
		return MigrationState{}, false, nil
	}
	if err != nil {
		return MigrationState{}, false, err
	}
	return states([]*goose.MigrationResult{result})[0], true, nil
}

// Status lists every migration, oldest first.
func (m *Migrator) Status(ctx context.Context) ([]MigrationState, error) {
	list, err := m.provider.Status(ctx)
	out := make([]MigrationState, 0, len(list))
	for _, s := range list {
		out = append(out, MigrationState{
			Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt, Applied: s.State == goose.StateApplied,
		})
	}
	return out, err
}

// Pending tells whether a migration of this program is not applied yet. One
// statement on the pool: readiness asks often. A newer schema is not pending,
// so that the release before a migration works on.
func (m *Migrator) Pending(ctx context.Context) (bool, error) {
	var applied int64
	err := m.db.conn(ctx).Raw(
		"SELECT count(DISTINCT version_id) FROM goose_db_version WHERE is_applied AND version_id IN ?", m.versions,
	).Scan(&applied).Error
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" { // nothing was ever migrated
		return true, nil
	}
	return applied < int64(len(m.versions)), translate(ctx, err)
}

// Newer counts the migrations in the database that this program does not know:
// a newer release made them, as after a rollback.
func (m *Migrator) Newer(ctx context.Context) (n int64, err error) {
	err = m.db.conn(ctx).Raw(
		"SELECT count(DISTINCT version_id) FROM goose_db_version WHERE is_applied AND version_id > ?", slices.Max(m.versions),
	).Scan(&n).Error
	return n, translate(ctx, err)
}

func states(results []*goose.MigrationResult) []MigrationState {
	out := make([]MigrationState, 0, len(results))
	for _, r := range results {
		out = append(out, MigrationState{Version: r.Source.Version, Name: r.Source.Path, Applied: r.Direction == "up" && r.Error == nil})
	}
	return out
}
