// Package postgres keeps the entities in PostgreSQL, through GORM: one file per
// aggregate, one for transactions, one for the translation of errors.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// DB is the pool that GORM and raw pgx share.
type DB struct {
	pool *pgxpool.Pool
	sql  *sql.DB
	gorm *gorm.DB
	opts Options
	log  *slog.Logger

	// brokeAt is the uptime at which a connection last turned out to be dead; 0 when none did.
	brokeAt atomic.Int64
}

// Open makes the pool and connects to nothing yet: the server may come later,
// go and come back. The error tells of options that cannot be read. ctx ends
// nothing but the opening.
func Open(ctx context.Context, opts Options) (*DB, error) {
	opts = opts.withDefaults()
	config, err := opts.poolConfig()
	if err != nil {
		return nil, err
	}
	var pool *pgxpool.Pool
	if opts.MaxIdle < opts.MaxOpen {
		config.AfterRelease = func(*pgx.Conn) bool { return int(pool.Stat().IdleConns()) < opts.MaxIdle }
	}
	db := &DB{opts: opts, log: opts.Logger}
	config.ShouldPing = db.shouldPing
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("make the database pool: %w", err)
	}
	sqlDB := sql.OpenDB(impatientConnector{stdlib.GetPoolConnector(pool), pool, opts.AcquireTimeout})
	sqlDB.SetMaxIdleConns(0) // the pgx pool keeps the idle ones
	g, err := gorm.Open(gormpostgres.New(gormpostgres.Config{Conn: sqlDB}), &gorm.Config{
		SkipDefaultTransaction: true,  // a single statement needs none
		PrepareStmt:            false, // pgx does, and notices when the schema changes
		QueryFields:            true,  // a column added by the next release must not break this one
		DisableAutomaticPing:   true,
		Logger:                 logger.Discard,                               // SQL holds personal data
		NowFunc:                func() time.Time { return time.Now().UTC() }, //nolint:forbidigo // entities bring their times; this is a fallback of GORM's
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open GORM: %w", err)
	}
	db.pool, db.sql, db.gorm = pool, sqlDB, g
	return db, nil
}

// pingAfterIdle is pgxpool's own default.
const pingAfterIdle = time.Second

// shouldPing has a connection tried before it is given out, when it was idle for
// a while, or since before another one turned out to be dead: a server's restart
// kills them all, and each would cost a request.
func (db *DB) shouldPing(_ context.Context, p pgxpool.ShouldPingParams) bool {
	idleSince := uptime() - p.IdleDuration
	return p.IdleDuration > pingAfterIdle || int64(idleSince) < db.brokeAt.Load()
}

// suspectIdle notes that a connection was dead.
func (db *DB) suspectIdle() { db.brokeAt.Store(int64(uptime())) }

// read runs a query, once more when its connection was dead and no transaction depends on it.
func (db *DB) read(ctx context.Context, query func(*gorm.DB) error) error {
	err := query(db.conn(ctx))
	if brokenConnection(err) && db.transaction(ctx) == nil && ctx.Err() == nil {
		db.suspectIdle()
		err = query(db.conn(ctx))
	}
	return translate(ctx, err)
}

// closePatience is how long Close waits for connections in use and for a server
// that does not answer to its goodbye.
const closePatience = 3 * time.Second

// Close waits a moment for what is in flight and closes every connection. The
// error says that some were left: the end of the process closes those.
func (db *DB) Close() error {
	err := db.sql.Close()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		db.pool.Close()
	}()
	select {
	case <-closed:
		return err
	case <-time.After(closePatience):
		return errors.Join(err, errors.New("some connections could not be closed in time"))
	}
}

// conn is where every query begins: in the transaction of the context when
// there is one, else on a connection of its own.
func (db *DB) conn(ctx context.Context) *gorm.DB {
	if tx := db.transaction(ctx); tx != nil {
		return tx.WithContext(ctx)
	}
	return db.gorm.WithContext(ctx)
}

// Check asks the database whether it answers, within ctx. That the pool is
// exhausted does not mean that the database is lost: then a connection of its
// own asks.
func (db *DB) Check(ctx context.Context) error {
	err := db.conn(ctx).Exec("SELECT 1").Error
	if errors.Is(err, errPoolExhausted) {
		err = db.checkAside(ctx)
	}
	return translate(ctx, err)
}

func (db *DB) checkAside(ctx context.Context) (err error) {
	conn, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return conn.Ping(ctx)
}

// errPoolExhausted is the cause when no connection came free in time.
var errPoolExhausted = errors.New("database pool exhausted")

// impatientConnector gives up early when every connection is in use: a request
// that queues for its whole deadline helps nobody, and 503 tells the load
// balancer and the client the truth. While the pool is only making connections,
// it waits on: that has a timeout of its own (ConnectTimeout), and a slow
// server is no exhausted pool.
type impatientConnector struct {
	driver.Connector
	pool    *pgxpool.Pool
	timeout time.Duration
}

// Connect takes a connection from the pool.
func (c impatientConnector) Connect(ctx context.Context) (driver.Conn, error) {
	wait, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	watch := time.AfterFunc(c.timeout, func() {
		for !c.full() {
			select {
			case <-time.After(c.timeout):
			case <-wait.Done():
				return
			}
		}
		giveUp(errPoolExhausted)
	})
	defer watch.Stop()
	conn, err := c.Connector.Connect(wait)
	if err != nil && errors.Is(context.Cause(wait), errPoolExhausted) {
		return nil, fmt.Errorf("%w: none of %d came free within %s", errPoolExhausted, c.pool.Stat().MaxConns(), c.timeout)
	}
	return conn, err
}

func (c impatientConnector) full() bool {
	s := c.pool.Stat()
	return s.AcquiredConns() >= s.MaxConns()
}
