package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
)

// ApplicationName is how our connections show in pg_stat_activity.
const ApplicationName = "profile-api"

// Options tune the pool. A zero takes the default.
type Options struct {
	URL string // postgres://…; required

	MaxOpen         int           // connections at most; 25
	MaxIdle         int           // of them kept while idle, none when negative; MaxOpen
	ConnMaxLifetime time.Duration // up to a tenth is added at random, so that not all end at once; 10 min
	ConnMaxIdleTime time.Duration // 5 min
	ConnectTimeout  time.Duration // for one attempt to connect; 10 s
	AcquireTimeout  time.Duration // wait for a free connection while all are in use; 1 s

	// Set on every connection as it starts, except with PgBouncer (see
	// [Options.throughPgBouncer]), which refuses them.
	StatementTimeout         time.Duration // 30 s
	LockTimeout              time.Duration // 10 s
	IdleInTransactionTimeout time.Duration // 60 s

	Logger *slog.Logger    // nil: silent
	Tracer pgx.QueryTracer // sees every statement; nil: none
	Spans  trace.Tracer    // makes spans of statements and jobs; nil: none
}

func (o Options) withDefaults() Options {
	o.MaxOpen = cmp.Or(o.MaxOpen, 25)
	o.MaxIdle = min(cmp.Or(o.MaxIdle, o.MaxOpen), o.MaxOpen)
	o.ConnMaxLifetime = cmp.Or(o.ConnMaxLifetime, 10*time.Minute)
	o.ConnMaxIdleTime = cmp.Or(o.ConnMaxIdleTime, 5*time.Minute)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 10*time.Second)
	o.AcquireTimeout = cmp.Or(o.AcquireTimeout, time.Second)
	o.StatementTimeout = cmp.Or(o.StatementTimeout, 30*time.Second)
	o.LockTimeout = cmp.Or(o.LockTimeout, 10*time.Second)
	o.IdleInTransactionTimeout = cmp.Or(o.IdleInTransactionTimeout, time.Minute)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// poolConfig turns the options into pgx's. It touches no network.
func (o Options) poolConfig() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err) // pgx masks the password
	}
	c.MaxConns = int32(min(o.MaxOpen, 1<<20)) // #nosec G115 -- bounded
	c.MinConns, c.MinIdleConns = 0, 0
	c.MaxConnLifetime = o.ConnMaxLifetime
	c.MaxConnLifetimeJitter = o.ConnMaxLifetime / 10
	c.MaxConnIdleTime = o.ConnMaxIdleTime
	c.AfterConnect = readTimesAsUTC
	o.tuneConn(c.ConnConfig)
	return c, nil
}

// tuneConn sets what every connection has, pooled or not.
func (o Options) tuneConn(c *pgx.ConnConfig) {
	c.ConnectTimeout = o.ConnectTimeout
	c.Tracer = o.queryTracer()
	c.RuntimeParams["application_name"] = ApplicationName
	c.RuntimeParams["timezone"] = "UTC"
	timeouts := map[string]time.Duration{
		"statement_timeout":                   o.StatementTimeout,
		"lock_timeout":                        o.LockTimeout,
		"idle_in_transaction_session_timeout": o.IdleInTransactionTimeout,
	}
	for name, d := range timeouts {
		if throughPgBouncer(c) {
			delete(c.RuntimeParams, name)
		} else {
			c.RuntimeParams[name] = strconv.FormatInt(d.Milliseconds(), 10)
		}
	}
	c.BuildContextWatcherHandler = cancelOnServer
}

// throughPgBouncer tells that the URL names a query mode that keeps nothing in
// the session: default_query_exec_mode=cache_describe (or describe_exec, exec,
// simple_protocol), as PgBouncer's transaction mode needs. PgBouncer refuses
// timeouts at the start of a connection, so there the operator sets them:
//
//	ALTER ROLE profile_api SET statement_timeout = '30s';
//	ALTER ROLE profile_api SET lock_timeout = '10s';
//	ALTER ROLE profile_api SET idle_in_transaction_session_timeout = '60s';
func throughPgBouncer(c *pgx.ConnConfig) bool {
	return c.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement
}

func readTimesAsUTC(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}
