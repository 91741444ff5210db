package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// What the log shows of an error of PostgreSQL's quotes no value of a row, and stays of use where it can quote none.
func TestCausesQuoteNoValue(t *testing.T) {
	for code, quotes := range map[string]bool{"22P02": true, "22012": true, "23514": true, "23505": true, "P0001": true, "XX000": true, "": true, "42501": false, "42P01": false, "53300": false} {
		pg := &pgconn.PgError{Code: code, Message: "value ada@example.com", TableName: "profiles", ConstraintName: "profiles_bio_check", Routine: "ExecConstraints"}
		got := translate(t.Context(), pg)
		if strings.Contains(got.Error(), "ada@example.com") == quotes {
			t.Errorf("%s: %s", code, got)
		}
		if quotes && (!strings.Contains(got.Error(), "SQLSTATE "+code+", table profiles") || !strings.Contains(got.Error(), "profiles_bio_check")) {
			t.Errorf("%s tells too little: %s", code, got)
		}
		var inner *pgconn.PgError
		if !errors.As(got, &inner) || inner != pg {
			t.Errorf("%s: the cause is lost: %v", code, got)
		}
	}
}
