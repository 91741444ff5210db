package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// retryAfter is what clients are told to wait while the database is away.
const retryAfter = time.Second

var (
	errNotFound = domain.NewError(domain.NotFound, domain.CodeNotFound, "There is no such resource.")
	errConflict = domain.NewError(domain.Conflict, domain.CodeConflict, "The resource was changed by somebody else; nothing was changed.")
	errInternal = domain.NewError(domain.Internal, domain.CodeInternal, "Something went wrong on our side.")
	errInvalid  = domain.ValidationFailed()
)

// translate turns an error of GORM, pgx or database/sql into one of the
// domain's, once, for every query. The original stays as the cause, for the
// log. When the caller is gone, the result is context.Canceled.
func translate(ctx context.Context, err error) error {
	var known *domain.Error
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, gorm.ErrRecordNotFound):
		return errNotFound
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return domain.TimeoutError(err)
	case lostConnection(err): // before PgError: a refused connection holds one
		return domain.UnavailableError(err, retryAfter)
	case errors.As(err, &pg):
		if mayQuote(pg) {
			err = unquoted{pg, err}
		}
		return translateState(pg, err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return domain.TimeoutError(err)
	}
	return errInternal.WithCause(err)
}

// lostConnection tells whether there was no connection to be had or it broke.
func lostConnection(err error) bool {
	var connect *pgconn.ConnectError
	var network *net.OpError
	return errors.Is(err, errPoolExhausted) || errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err)
}

// brokenConnection tells whether a connection failed that had been made before,
// such as one that sat in the pool while the server restarted. That no new
// one could be made, or that none was free, is not meant: trying again at once is no help then.
func brokenConnection(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, errPoolExhausted), errors.As(err, &connect):
		return false
	case errors.As(err, &pg):
		return pg.Code == "57P01" || pg.Code == "57P02" // admin_shutdown, crash_shutdown
	}
	return lostConnection(err)
}

// translateState goes by SQLSTATE (PostgreSQL's documentation, appendix A), and
// for unique keys by the constraint's name.
func translateState(pg *pgconn.PgError, err error) error {
	switch pg.Code {
	case "23505": // unique_violation
		if pg.ConstraintName == handleKey {
			return domain.HandleTaken(err)
		}
		return errConflict.WithCause(err)
	case "23503": // foreign_key_violation: the other row is gone meanwhile
		return errConflict.WithCause(err)
	case "57014", "25P04": // query_canceled by statement_timeout; transaction_timeout
		return domain.TimeoutError(err)
	case "55P03", // lock_not_available
		"40001", "40P01", // serialization_failure, deadlock_detected: repeated in vain
		"25P03",                                     // idle_in_transaction_session_timeout
		"25006",                                     // read_only_sql_transaction: a standby after a failover
		"57P01", "57P02", "57P03", "57P04", "57P05": // shutting down, starting up, database or session dropped
		return domain.UnavailableError(err, retryAfter)
	case "42P01", "42703", "42883", "42704", "3F000": // a table, column, function, type or schema is missing
		// To the caller it may pass: a migration is pending, or one is undone. But a replica is ready only
		// when its schema is there, so that a release with a wrong name, or a step taken too early, shows like this.
		return domain.UnavailableError(domain.Unexpected(err), retryAfter)
	case "22P05", "22021", "22003", "22001", "22P02": // untranslatable or out of the column's range
		return errInvalid.WithCause(err)
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "53", "28", "3D": // connection, insufficient resources, authorization, database missing
		return domain.UnavailableError(err, retryAfter)
	}
	return errInternal.WithCause(err)
}
