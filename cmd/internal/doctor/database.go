package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
)

// databaseVariables are those that a connection is made by.
var databaseVariables = []string{
	"DATABASE_URL", "DB_MAX_OPEN_CONNS", "DB_CONNECT_TIMEOUT", "DB_STATEMENT_TIMEOUT", "DB_LOCK_TIMEOUT", "DB_IDLE_IN_TRANSACTION_TIMEOUT",
}

const oldestPostgres = 140000 // as server_version_num

// withDatabase opens the database for one look, with the server's own settings
// but few connections. What cannot be opened or asked is the check's failure; that
// the database does not answer at all is the failure of the check database alone.
func (d *doctor) withDatabase(ctx context.Context, check string, ask func(*postgres.DB) ([]Finding, error)) []Finding {
	opts := service.DatabaseOptions(d.s, d.log)
	opts.MaxOpen, opts.MaxIdle = 2, 2
	db, err := postgres.Open(ctx, opts)
	if err != nil {
		return []Finding{fail(check, "DATABASE_URL cannot be used", "repair DATABASE_URL")}
	}
	defer func() { _ = db.Close() }() // the end of the process closes what is left
	findings, err := ask(db)
	passing := errors.Is(err, domain.Unavailable) || errors.Is(err, domain.Timeout)
	if passing && !domain.IsUnexpected(err) && check != "database" {
		return []Finding{warn(check, "it could not be looked at: the database does not answer", "see the line database")}
	}
	if err != nil {
		return []Finding{fail(check, "the database cannot be asked: "+cause(err), databaseRemedy(err))}
	}
	return findings
}

func (d *doctor) database(ctx context.Context) []Finding {
	return d.withDatabase(ctx, "database", func(db *postgres.DB) ([]Finding, error) {
		seen, err := db.Inspect(ctx, d.clock.Now)
		if err != nil {
			return nil, err
		}
		return []Finding{
			pass("database", "it answers"),
			databaseVersion(&seen), databaseWritable(&seen), databaseTLS(&seen, d.s.Production()), databaseTimeouts(&seen, d.s),
			databaseConnections(&seen, d.s.DBMaxOpenConns), databaseRole(&seen, d.s.Production()), auditTrail(&seen),
			skew("clock_database", "the database's", seen.Now, 0, seen.Asked, seen.Answered),
		}, nil
	})
}

func databaseVersion(seen *postgres.Inspection) Finding {
	version := fmt.Sprintf("PostgreSQL %d.%d", seen.Version/10000, seen.Version%10000)
	if seen.Version < oldestPostgres {
		return fail("database_version", version+" is too old", fmt.Sprintf("upgrade to PostgreSQL %d or newer", oldestPostgres/10000))
	}
	return pass("database_version", version)
}

func databaseWritable(seen *postgres.Inspection) Finding {
	if seen.ReadOnly {
		return fail("database_writable", "nothing can be written: the server is a standby, or default_transaction_read_only is on",
			"point DATABASE_URL at the primary (docs/runbooks/failover.md), or switch default_transaction_read_only off")
	}
	return pass("database_writable", "it takes writes")
}

func databaseTLS(seen *postgres.Inspection, production bool) Finding {
	const check = "database_tls"
	switch {
	case seen.Local:
		return pass(check, "the connection stays on this machine")
	case !seen.Encrypted && production:
		return fail(check, "the connection is in the clear", "add sslmode=verify-full to DATABASE_URL")
	case !seen.Encrypted:
		return warn(check, "the connection is in the clear", "add sslmode=verify-full to DATABASE_URL")
	case !seen.CertificateProven:
		return warn(check, "the connection is encrypted, but the server's certificate is not checked: somebody between could pose as the server",
			"say sslmode=verify-full in DATABASE_URL, and sslrootcert=… when the authority is your own")
	}
	return pass(check, "the connection is encrypted and the certificate checked")
}

func databaseTimeouts(seen *postgres.Inspection, s *config.Settings) Finding {
	const check = "database_timeouts"
	var none, others []string
	for _, want := range []struct {
		name, variable string
		value          time.Duration
	}{
		{"statement_timeout", "DB_STATEMENT_TIMEOUT", s.DBStatementTimeout},
		{"lock_timeout", "DB_LOCK_TIMEOUT", s.DBLockTimeout},
		{"idle_in_transaction_session_timeout", "DB_IDLE_IN_TRANSACTION_TIMEOUT", s.DBIdleInTransactionTimeout},
	} {
		switch got := seen.Timeouts[want.name]; got {
		case want.value:
		case 0:
			none = append(none, want.name)
		default:
			others = append(others, fmt.Sprintf("%s is %s and %s says %s", want.name, got, want.variable, want.value))
		}
	}
	remedy := "take options=… and the timeouts' names out of DATABASE_URL"
	if seen.ThroughPgBouncer {
		remedy = fmt.Sprintf("set them on the role, through PgBouncer they cannot be sent: ALTER ROLE … SET statement_timeout = '%dms'; "+
			"ALTER ROLE … SET lock_timeout = '%dms'; ALTER ROLE … SET idle_in_transaction_session_timeout = '%dms'; then reconnect PgBouncer",
			s.DBStatementTimeout.Milliseconds(), s.DBLockTimeout.Milliseconds(), s.DBIdleInTransactionTimeout.Milliseconds())
	}
	switch {
	case len(none) > 0:
		return fail(check, "not in force on a connection: "+strings.Join(none, ", "), remedy)
	case len(others) > 0:
		return warn(check, strings.Join(others, "; "), remedy)
	}
	return pass(check, "in force on a connection, as the settings say")
}

// databaseConnections also wants room for a second replica: there are two while
// one is replaced.
func databaseConnections(seen *postgres.Inspection, each int) Finding {
	const check = "database_connections"
	room := seen.MaxConnections
	for _, most := range []int{seen.RoleConnections, seen.BaseConnections} {
		if most >= 0 {
			room = min(room, most)
		}
	}
	message := fmt.Sprintf("DB_MAX_OPEN_CONNS=%d, and the server has room for %d connections of this role: %d replicas", each, room, room/each)
	const remedy = "lower DB_MAX_OPEN_CONNS, or raise max_connections or the CONNECTION LIMIT of role or database; count every replica, and one more for a rollout"
	switch {
	case room < each:
		return fail(check, message, remedy)
	case room < 2*each:
		return warn(check, message, remedy)
	}
	return pass(check, message)
}

const rolesRemedy = "let migrations log in as the owner and the server as a role without its rights: run deploy/database/roles.sql as a superuser and " +
	"put profile_api_a or profile_api_b into DATABASE_URL"

func databaseRole(seen *postgres.Inspection, production bool) Finding {
	const check = "database_role"
	switch {
	case seen.Superuser && production:
		return fail(check, "the role is a superuser: whoever breaks into the program owns the database server", rolesRemedy)
	case seen.Superuser:
		return warn(check, "the role is a superuser", rolesRemedy)
	case len(seen.Lacking) > 0:
		return fail(check, "the role may not read or write as the program does: "+strings.Join(seen.Lacking, ", "), "run deploy/database/roles.sql as a superuser")
	case seen.MayCreate:
		return warn(check, "the role may create roles or databases, replicate, or bypass row security, and needs none of it",
			"ALTER ROLE … NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS")
	}
	return pass(check, "the role is no superuser, and may read and write every table as the program does")
}

func auditTrail(seen *postgres.Inspection) Finding {
	const check = "audit_trail"
	switch {
	case !seen.AuditTable:
		return warn(check, "there is no audit trail yet", "run profile-api migrate up")
	case !seen.AuditTriggerOn:
		return fail(check, "the trigger that keeps the audit trail is off or gone: events can be changed and deleted",
			"find out who did that, then as the owner: ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only")
	case seen.AuditOwned:
		return warn(check, "the role may switch off what keeps the audit trail: it owns audit_events or its schema, or may become the owner", rolesRemedy)
	case seen.AuditMayOverride:
		return warn(check, "the role has UPDATE, DELETE or TRUNCATE on audit_events, and only the trigger refuses",
			"REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM the role, or run deploy/database/roles.sql as a superuser")
	}
	return pass(check, "append-only, and the role cannot change that")
}

func (d *doctor) migrations(ctx context.Context) []Finding {
	return d.withDatabase(ctx, "migrations", func(db *postgres.DB) ([]Finding, error) {
		m, err := db.Migrator()
		if err != nil {
			return nil, err
		}
		defer func() { _ = m.Close() }()
		pending, err := m.Pending(ctx)
		if err != nil {
			return nil, err
		}
		if pending {
			return []Finding{fail("migrations", "the schema is older than this program", "run profile-api migrate up")}, nil
		}
		newer, err := m.Newer(ctx)
		if err != nil {
			return nil, err
		}
		if newer > 0 {
			return []Finding{pass("migrations", fmt.Sprintf("the schema is newer than this program by %d migrations, as after a rollback", newer))}, nil
		}
		return []Finding{pass("migrations", "the schema is current")}, nil
	})
}

func (d *doctor) discardedJobs(ctx context.Context) []Finding {
	return d.withDatabase(ctx, "discarded_jobs", func(db *postgres.DB) ([]Finding, error) {
		counts, err := db.DiscardedJobs(ctx)
		if err != nil {
			return nil, err
		}
		if len(counts) == 0 {
			return []Finding{pass("discarded_jobs", "no job was given up whose work is undone")}, nil
		}
		var kinds []string
		for kind, n := range counts {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
		}
		slices.SortFunc(kinds, cmp.Compare)
		return []Finding{warn("discarded_jobs", "jobs were given up: "+strings.Join(kinds, ", "),
			"docs/runbooks/dead-jobs.md has the commands that show why and try them again")}, nil
	})
}
