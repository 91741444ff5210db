package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

const (
	maxRepeats    = 3                      // of a transaction that lost a conflict
	repeatPause   = 10 * time.Millisecond  // doubled each time, ± half
	rollbackGrace = 500 * time.Millisecond // for a rollback after the request's context ended
)

// errCommit marks what failed at the commit, whose outcome is then unknown.
var errCommit = errors.New("commit")

type txKey struct{}

// txValue remembers whose transaction it is: another DB must not join it.
type txValue struct {
	db *DB
	tx *gorm.DB
}

func (db *DB) transaction(ctx context.Context) *gorm.DB {
	if v, ok := ctx.Value(txKey{}).(txValue); ok && v.db == db {
		return v.tx
	}
	return nil
}

// WithinTx runs fn in one READ COMMITTED transaction that travels in its
// context. A nested call joins. An error or a panic of fn rolls back, an error
// of the commit is returned. When PostgreSQL breaks the transaction off for a
// conflict with another (40001, 40P01), fn is run again, at most three times:
// it must have no effect outside the database. It is run again once, too, when
// the connection turns out to be dead before the commit: nothing has happened then.
func (db *DB) WithinTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if db.transaction(ctx) != nil {
		return fn(ctx)
	}
	for repeat := 0; ; repeat++ {
		err := db.runTx(ctx, fn)
		state, lost := lostConflict(err)
		if !lost && repeat == 0 && ctx.Err() == nil && brokenConnection(err) && !errors.Is(err, errCommit) {
			db.suspectIdle()
			continue
		}
		if !lost || repeat == maxRepeats {
			return err
		}
		db.log.WarnContext(ctx, "transaction is repeated", "sqlstate", state, "repeat", repeat+1)
		pause := repeatPause << repeat
		select {
		case <-time.After(pause/2 + rand.N(pause)): // #nosec G404 -- jitter
		case <-ctx.Done():
			return translate(ctx, errors.Join(ctx.Err(), err))
		}
	}
}

func (db *DB) runTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return translate(ctx, err)
	}
	// The statements end with ctx. BEGIN, COMMIT and ROLLBACK have a moment
	// longer, or each request that times out would cost a connection as well.
	outer, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(rollbackGrace, cut) })()

	tx := db.gorm.WithContext(outer).Begin()
	if tx.Error != nil {
		return translate(ctx, tx.Error)
	}
	committed := false
	defer func() {
		if !committed { // an error, a panic or runtime.Goexit
			tx.Rollback() // fails only with the connection, and then there is nothing to undo
		}
	}()
	if err := fn(context.WithValue(ctx, txKey{}, txValue{db, tx})); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // nobody waits for the answer any more
		return translate(ctx, err)
	}
	if err := tx.Commit().Error; err != nil {
		return translate(ctx, fmt.Errorf("%w: %w", errCommit, err))
	}
	committed = true
	return nil
}

// lostConflict tells whether running the transaction again may succeed.
func lostConflict(err error) (sqlState string, lost bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return "", false
	}
	return pg.Code, pg.Code == "40001" || pg.Code == "40P01"
}
