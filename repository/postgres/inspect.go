package postgres

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Inspection is what a deployment's checklist wants to know of the server, as one
// connection of the pool sees it.
type Inspection struct {
	Version  int  // server_version_num: 170002 is 17.2
	ReadOnly bool // a standby, or switched to read-only: nothing can be written

	Now               time.Time // the server's clock, read between Asked and Answered
	Asked, Answered   time.Time // by the clock of the caller
	Local             bool      // through a socket or loopback
	Encrypted         bool      // what this program speaks is TLS, whatever a pooler speaks behind it
	CertificateProven bool      // and the server's certificate is checked
	ThroughPgBouncer  bool      // the URL says so; the timeouts are then the role's

	Timeouts map[string]time.Duration // in force: statement_timeout, lock_timeout, idle_in_transaction_session_timeout; 0 is none

	MaxConnections   int // of the server, for those who are no superusers
	RoleConnections  int // limit of the role; -1 is none
	BaseConnections  int // limit of the database; -1 is none
	Superuser        bool
	MayCreate        bool     // roles or databases, bypass row security, replicate
	Lacking          []string // tables and sequences of the schema that the role may not use as the program does
	AuditTable       bool     // there is one
	AuditOwned       bool     // the role may become an owner of audit_events or of its schema, and so undo what keeps it
	AuditTriggerOn   bool     // for every session
	AuditMayOverride bool     // the role has UPDATE, DELETE or TRUNCATE on it; the trigger alone refuses
}

// Inspect asks on one connection of the pool. It changes nothing. Errors keep
// what pgx says as their cause; that text may hold a user's or host's name.
func (db *DB) Inspect(ctx context.Context, now func() time.Time) (Inspection, error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return Inspection{}, err
	}
	defer conn.Release()
	seen := Inspection{ThroughPgBouncer: throughPgBouncer(conn.Conn().Config())}
	seen.transport(conn.Conn())
	seen.Asked = now()
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&seen.Now); err != nil {
		return seen, err
	}
	seen.Answered = now()
	for _, look := range []func(context.Context, *pgx.Conn) error{seen.server, seen.timeouts, seen.rights, seen.audit} {
		if err := look(ctx, conn.Conn()); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// transport looks at the socket itself: with a pooler between, pg_stat_ssl
// tells of the pooler's connection.
func (i *Inspection) transport(conn *pgx.Conn) {
	socket := conn.PgConn().Conn()
	if _, i.Encrypted = socket.(*tls.Conn); i.Encrypted {
		t := conn.Config().TLSConfig // verify-ca checks by a function of the driver's own
		i.CertificateProven = t != nil && (!t.InsecureSkipVerify || t.VerifyPeerCertificate != nil)
	}
	switch addr := socket.RemoteAddr().(type) {
	case *net.UnixAddr:
		i.Local = true
	case *net.TCPAddr:
		i.Local = addr.IP.IsLoopback()
	}
}

func (i *Inspection) server(ctx context.Context, conn *pgx.Conn) error {
	var reserved int
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('transaction_read_only')::boolean,
			current_setting('max_connections')::int,
			current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
			r.rolconnlimit, d.datconnlimit, r.rolsuper, r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls OR r.rolreplication
		FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`).
		Scan(&i.Version, &i.ReadOnly, &i.MaxConnections, &reserved, &i.RoleConnections, &i.BaseConnections, &i.Superuser, &i.MayCreate)
	i.MaxConnections -= reserved
	return err
}

func (i *Inspection) timeouts(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT name, setting FROM pg_settings
		WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')`) // their unit is the millisecond
	if err != nil {
		return err
	}
	i.Timeouts = map[string]time.Duration{}
	var name, setting string
	_, err = pgx.ForEachRow(rows, []any{&name, &setting}, func() error {
		ms, err := strconv.ParseInt(setting, 10, 64)
		i.Timeouts[name] = time.Duration(ms) * time.Millisecond
		return err
	})
	return err
}

// rights lists nothing while there is no schema. The program reads every table and
// writes all but those that migrations alone write; the audit trail it adds to, and
// changes nothing of it. A sequence needs a right where a default asks it for the
// next number: an identity column needs none (PostgreSQL's documentation, GRANT).
func (i *Inspection) rights(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `WITH ours AS (
			SELECT c.oid, c.relname, c.relname IN ('goose_db_version', 'river_migration') AS migrations FROM pg_class c
			WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('profiles')) AND c.relkind IN ('r', 'p'))
		SELECT relname FROM ours
		WHERE NOT has_table_privilege(oid, 'SELECT')
			OR NOT migrations AND NOT has_table_privilege(oid, 'INSERT')
			OR NOT migrations AND relname <> 'audit_events' AND NOT (has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
		UNION
		SELECT s.relname FROM ours JOIN pg_depend d ON d.refobjid = ours.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'
			JOIN pg_class s ON s.oid = d.objid AND d.classid = 'pg_class'::regclass
		WHERE CASE WHEN s.relkind = 'S' AND NOT migrations THEN NOT has_sequence_privilege(s.oid, 'USAGE') END -- it takes nothing but sequences
		ORDER BY relname`)
	if err != nil {
		return err
	}
	i.Lacking, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

func (i *Inspection) audit(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT
			pg_has_role(c.relowner, 'MEMBER') OR pg_has_role(n.nspowner, 'MEMBER'),
			EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'audit_events_append_only' AND t.tgenabled = 'A'),
			has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('audit_events')`)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&i.AuditOwned, &i.AuditTriggerOn, &i.AuditMayOverride}, func() error {
		i.AuditTable = true
		return nil
	})
	return err
}
