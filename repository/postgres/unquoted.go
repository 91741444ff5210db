package postgres

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// unquoted is an error of PostgreSQL's without its message, for the log: of some
// errors the message quotes the value that was at fault, which may be a person's.
type unquoted struct {
	pg    *pgconn.PgError
	cause error // pg, and what is around it
}

// Error says where and what kind, in PostgreSQL's own names.
func (e unquoted) Error() string {
	parts := []string{"SQLSTATE " + e.pg.Code}
	for _, p := range []struct{ name, value string }{
		{"table", e.pg.TableName}, {"column", e.pg.ColumnName}, {"constraint", e.pg.ConstraintName}, {"routine", e.pg.Routine},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ") + " (its message may quote a value and is left out)"
}

// Unwrap is the whole error.
func (e unquoted) Unwrap() error { return e.cause }

// frank are the classes of SQLSTATE (PostgreSQL's documentation, appendix A) whose
// messages tell of the server, the schema or the statement, and of no value in a row.
var frank = []string{"08", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"}

func mayQuote(pg *pgconn.PgError) bool {
	return !slices.Contains(frank, pg.Code[:min(2, len(pg.Code))])
}
