package runbooks_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/runbooks"
	"github.com/profile-api/profile-api/internal/testschema"
)

const patience = time.Minute

// wreck is a database in which everything is wrong that a page repairs, so that a
// repair that would touch nothing is noticed.
const wreck = `
INSERT INTO river_job (kind, args, queue, state, attempt, max_attempts, finalized_at) VALUES
	('clerk_deletion', '{"id":"1"}', 'default', 'discarded', 2000, 2000, now()),
	('purge', '{}', 'default', 'completed', 1, 3, now() - interval '2 days');
INSERT INTO clerk_deletions VALUES ('01980000-0000-7000-8000-000000000000', 'x', now());
INSERT INTO river_queue (name, paused_at, updated_at) VALUES ('default', now(), now());
INSERT INTO webhook_deliveries (id, type, state, received_at, updated_at, expires_at) VALUES ('msg_1', 'user.updated', 'applied', now(), now(), now() - interval '1 hour');
INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, attempts, next_attempt_at, last_error)
	OVERRIDING SYSTEM VALUE SELECT gen_random_uuid(), 'stream', gen_random_uuid(), 'profile.updated', now(), '{}', 3, now() + interval '9 minutes', 'The sink answered 500.';
INSERT INTO event_outbox (seq, event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
	OVERRIDING SYSTEM VALUE SELECT 0, gen_random_uuid(), 'stream', gen_random_uuid(), 'profile.updated', now(), '{}', now();
INSERT INTO idempotency_keys (key_hash, request_hash, status, headers, body, created_at, expires_at) VALUES ('k', 'r', 200, '{}', '', now(), now() - interval '1 hour');
INSERT INTO reconciliation_runs VALUES (gen_random_uuid(), true, now(), now(), 'walking', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, gen_random_uuid(), NULL, NULL);
`

// Every SQL block runs on the schema as it is. What is for looking ("read") runs
// where nothing can be written, repairs in a transaction that is rolled back, and
// what no transaction takes ("alone") by itself.
func TestSQLRuns(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, testschema.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // the database goes with the test
	execute(ctx, t, conn, "the wreck", wreck)
	count := map[string]int{}
	for _, p := range pages(t) {
		for _, b := range p.Of("sql") {
			where := fmt.Sprintf("%s.md:%d", p.Name, b.Line)
			count[b.Info]++
			runBlock(ctx, t, conn, where, b)
		}
	}
	if count["sql read"] < 15 || count["sql repair"] < 8 {
		t.Errorf("only these blocks were found: %v", count)
	}
}

func runBlock(ctx context.Context, t *testing.T, conn *pgx.Conn, where string, b runbooks.Block) {
	t.Helper()
	switch b.Info {
	case "sql read":
		execute(ctx, t, conn, where, "BEGIN READ ONLY")
	case "sql repair":
		execute(ctx, t, conn, where, "BEGIN")
	case "sql alone":
		execute(ctx, t, conn, where, b.Text)
		return
	default:
		t.Errorf("%s: the fence says %q, want sql read, sql repair or sql alone", where, b.Info)
		return
	}
	for _, touched := range execute(ctx, t, conn, where, b.Text) {
		if b.Info == "sql repair" && touched == 0 {
			t.Errorf("%s: the repair touches nothing where there is something to be repaired", where)
		}
	}
	execute(ctx, t, conn, where, "ROLLBACK")
}

// execute runs statements as psql would, and tells how many rows each change of a
// table touched. (Which backends there are to be ended, no test can say.)
func execute(ctx context.Context, t *testing.T, conn *pgx.Conn, where, sql string) (touched []int64) {
	t.Helper()
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, sql)
	}
	for _, r := range results {
		if tag := r.CommandTag; tag.Update() || tag.Delete() || tag.Insert() {
			touched = append(touched, tag.RowsAffected())
		}
	}
	return touched
}

var snakeCase = regexp.MustCompile(`^[a-z]+(?:_[a-z0-9]+)+$`)

// A table or column that the text names beside its SQL exists; so does whatever of
// PostgreSQL's own is named, its settings included. What is neither is the
// program's, or the backups' script's: metrics and labels are held against these beside the commands.
func TestNamesInTheTextExist(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, testschema.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // the database goes with the test
	rows, err := conn.Query(ctx, `SELECT table_name::text FROM information_schema.tables UNION SELECT column_name::text FROM information_schema.columns
		UNION SELECT name FROM pg_settings UNION SELECT proname::text FROM pg_proc`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, n := range append(names, others...) {
		known[n] = true
	}
	source := sources(t)
	script, err := os.ReadFile("../../deploy/backup/backup")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages(t) {
		for _, s := range p.Spans {
			word, _, _ := strings.Cut(s, "{")
			if !snakeCase.MatchString(word) || known[word] || strings.Contains(source, `"`+word+`"`) || strings.Contains(string(script), "# TYPE "+word+" ") {
				continue
			}
			t.Errorf("%s.md names `%s`, which neither the schema nor the program knows", p.Name, word)
		}
	}
}

// others are names of neither.
var others = []string{
	"blocked_by", "in_query", // columns of a page's own queries
	"process_resident_memory_bytes", "process_cpu_seconds_total", // of client_golang
	"free_percent", "latency_ms", // written by struct tags
	"refused_local",                                     // an outcome that is put together
	"pg_wal",                                            // a directory
	"profile_api_a", "profile_api_b", "profile_api_app", // roles, of deploy/database/roles.sql
}
