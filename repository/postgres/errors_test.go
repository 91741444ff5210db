package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
)

// What is missing in the schema is told to callers as passing, and to operators as a fault; what does pass is not.
func TestAMissingColumnIsAFault(t *testing.T) {
	for code, fault := range map[string]bool{"42P01": true, "42703": true, "42883": true, "42704": true, "3F000": true, "40001": false, "57P01": false, "55P03": false} {
		got := postgres.Translate(t.Context(), &pgconn.PgError{Code: code})
		if !errors.Is(got, domain.Unavailable) || domain.IsUnexpected(got) != fault {
			t.Errorf("%s: a fault: %t; %v", code, domain.IsUnexpected(got), got)
		}
	}
}

func TestTranslate(t *testing.T) {
	state := func(code string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "internal text"})
	}
	unique := func(constraint string) error { return &pgconn.PgError{Code: "23505", ConstraintName: constraint} }
	cases := []struct {
		err  error
		kind domain.Kind
		code domain.Code
	}{
		{gorm.ErrRecordNotFound, domain.NotFound, domain.CodeNotFound},
		{unique("profiles_handle_key"), domain.Conflict, domain.CodeHandleTaken},
		{unique("profiles_clerk_user_id_key"), domain.Conflict, domain.CodeConflict},
		{unique("anything_else"), domain.Conflict, domain.CodeConflict},
		{state("23503"), domain.Conflict, domain.CodeConflict},
		{state("55P03"), domain.Unavailable, domain.CodeUnavailable},
		{state("40001"), domain.Unavailable, domain.CodeUnavailable},
		{state("40P01"), domain.Unavailable, domain.CodeUnavailable},
		{state("25P03"), domain.Unavailable, domain.CodeUnavailable},
		{state("25006"), domain.Unavailable, domain.CodeUnavailable},
		{state("53300"), domain.Unavailable, domain.CodeUnavailable},
		{state("53100"), domain.Unavailable, domain.CodeUnavailable},
		{state("57P01"), domain.Unavailable, domain.CodeUnavailable},
		{state("57P02"), domain.Unavailable, domain.CodeUnavailable},
		{state("57P03"), domain.Unavailable, domain.CodeUnavailable},
		{state("08006"), domain.Unavailable, domain.CodeUnavailable},
		{state("08P01"), domain.Unavailable, domain.CodeUnavailable},
		{state("28P01"), domain.Unavailable, domain.CodeUnavailable},
		{state("3D000"), domain.Unavailable, domain.CodeUnavailable},
		{state("42P01"), domain.Unavailable, domain.CodeUnavailable},
		{state("42703"), domain.Unavailable, domain.CodeUnavailable},
		{state("57014"), domain.Timeout, domain.CodeTimeout},
		{state("25P04"), domain.Timeout, domain.CodeTimeout},
		{context.DeadlineExceeded, domain.Timeout, domain.CodeTimeout},
		{state("22P05"), domain.Invalid, domain.CodeValidationFailed},
		{state("22021"), domain.Invalid, domain.CodeValidationFailed},
		{state("22003"), domain.Invalid, domain.CodeValidationFailed},
		{state("22P02"), domain.Invalid, domain.CodeValidationFailed},
		{state("23514"), domain.Internal, domain.CodeInternal}, // a check of ours was forgotten
		{state("42601"), domain.Internal, domain.CodeInternal},
		{state(""), domain.Internal, domain.CodeInternal},
		{errors.New("who knows"), domain.Internal, domain.CodeInternal},
		{fmt.Errorf("x: %w", postgres.ErrPoolExhausted), domain.Unavailable, domain.CodeUnavailable},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, domain.Unavailable, domain.CodeUnavailable},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, domain.Unavailable, domain.CodeUnavailable},
		{fmt.Errorf("x: %w", io.EOF), domain.Unavailable, domain.CodeUnavailable},
		{io.ErrUnexpectedEOF, domain.Unavailable, domain.CodeUnavailable},
		{net.ErrClosed, domain.Unavailable, domain.CodeUnavailable},
		{driver.ErrBadConn, domain.Unavailable, domain.CodeUnavailable},
		{sql.ErrConnDone, domain.Unavailable, domain.CodeUnavailable},
	}
	for _, c := range cases {
		got := postgres.Translate(t.Context(), c.err)
		var e *domain.Error
		if !errors.As(got, &e) || !errors.Is(got, c.kind) || e.Code() != c.code {
			t.Errorf("%v: got %v, want %s %s", c.err, got, c.kind, c.code)
			continue
		}
		if c.kind == domain.Unavailable && e.RetryAfter() <= 0 {
			t.Errorf("%v: no Retry-After", c.err)
		}
		if c.kind != domain.NotFound && !errors.Is(got, c.err) {
			t.Errorf("%v: the cause is lost for the log", c.err)
		}
	}
}

func TestTranslateGoesByTheContextFirst(t *testing.T) {
	stopped := &pgconn.PgError{Code: "57014"}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	late, done := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer done()
	if err := postgres.Translate(gone, stopped); !errors.Is(err, context.Canceled) || errors.Is(err, domain.Timeout) {
		t.Errorf("client gone: %v", err)
	}
	for _, cause := range []error{stopped, sql.ErrTxDone, context.DeadlineExceeded, io.EOF} {
		if err := postgres.Translate(late, cause); !errors.Is(err, domain.Timeout) || !errors.Is(err, cause) {
			t.Errorf("deadline passed, %v: %v", cause, err)
		}
	}
	if err := postgres.Translate(gone, gorm.ErrRecordNotFound); !errors.Is(err, domain.NotFound) {
		t.Errorf("an answer that came in time: %v", err)
	}
	known := domain.HandleTaken(nil)
	if err := postgres.Translate(t.Context(), known); !errors.Is(err, known) {
		t.Errorf("a domain error changed: %v", err)
	}
	if err := postgres.Translate(gone, nil); err != nil {
		t.Error(err)
	}
}
