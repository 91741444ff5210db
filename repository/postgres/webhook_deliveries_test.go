package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	_ usecase.WebhookDeliveries = (*postgres.WebhookDeliveries)(nil)
	_ usecase.SubjectDeliveries = (*postgres.WebhookDeliveries)(nil)
	_ usecase.Purger            = (*postgres.WebhookDeliveries)(nil)
)

func TestInbox(t *testing.T) {
	storetest.Inbox(t, func(t *testing.T) storetest.InboxStore {
		url := migrated(t)
		conn, db := asker(t, url), openDB(t, postgres.Options{URL: url, AcquireTimeout: liveness})
		queue, err := postgres.NewJobQueue(db)
		must(t, err)
		return storetest.InboxStore{
			Tx: db, Deliveries: postgres.NewWebhookDeliveries(db), Queue: queue,
			Queued: func(t *testing.T) []string {
				rows, err := conn.Query(within(t), "SELECT args->>'id' FROM river_job WHERE kind = 'webhook_delivery' ORDER BY id")
				must(t, err)
				list, err := pgx.CollectRows(rows, pgx.RowTo[string])
				must(t, err)
				return list
			},
		}
	})
}

func TestOpenDeliveries(t *testing.T) {
	url := migrated(t)
	conn, db := asker(t, url), openDB(t, postgres.Options{URL: url})
	for state, n := range map[domain.WebhookState]int{"received": 1, "failed": 2, "dead": 3, "applied": 4, "ignored": 5} {
		for range n {
			_, err := conn.Exec(within(t), `INSERT INTO webhook_deliveries (id, type, state, sealed_data, subject_hash, received_at, updated_at)
				SELECT gen_random_uuid()::text, 'user.updated', $1::text, kept, kept, now(), now() FROM (SELECT CASE WHEN $1::text IN ('received', 'failed') THEN 'x' END AS kept) k`, state)
			must(t, err)
		}
	}
	counts, err := db.OpenDeliveries(within(t))
	if err != nil || len(counts) != 3 || counts["received"] != 1 || counts["failed"] != 2 || counts["dead"] != 3 {
		t.Errorf("%v, %v", counts, err)
	}
	_, err = conn.Exec(within(t), "DELETE FROM webhook_deliveries")
	must(t, err)
	if counts, err = db.OpenDeliveries(within(t)); err != nil || len(counts) != 3 || counts["dead"] != 0 {
		t.Errorf("of none: %v, %v", counts, err)
	}
}

// Fifty thousand deliveries that wait, each with its job, while the planner still
// believes in empty tables: each is looked at a few times and not once for every
// other, and none is read with its data.
func TestOrphansAmongManyDeliveries(t *testing.T) {
	const many = 50_000
	url, seen := migrated(t), &recorder{}
	db := openDB(t, postgres.Options{URL: url, Tracer: seen})
	conn, err := pgxpool.New(within(t), url)
	must(t, err)
	defer conn.Close()
	for _, sql := range []string{
		"ALTER TABLE webhook_deliveries SET (autovacuum_enabled = false)", "ALTER TABLE river_job SET (autovacuum_enabled = false)",
		"ANALYZE webhook_deliveries, river_job",
		fmt.Sprintf(`INSERT INTO webhook_deliveries (id, type, state, subject_hash, sealed_data, received_at, updated_at)
			SELECT 'msg_' || i, 'user.updated', 'received', 'h' || i, 'x', now(), timestamptz '2026-01-01' FROM generate_series(0, %d) i`, many),
		fmt.Sprintf(`INSERT INTO river_job (kind, args, max_attempts, state)
			SELECT 'webhook_delivery', jsonb_build_object('id', 'msg_' || i), 34, 'available' FROM generate_series(1, %d) i`, many),
	} {
		_, err := conn.Exec(within(t), sql)
		must(t, err)
	}
	for _, statistics := range []string{"old", "new"} {
		seen.take()
		found, err := postgres.NewWebhookDeliveries(db).Orphans(within(t), storetest.Now, 1000)
		if err != nil || len(found) != 1 || found[0].ID != "msg_0" || found[0].SealedData != nil {
			t.Fatalf("with %s statistics: %v, %v", statistics, found, err)
		}
		sent := seen.take()
		got := explain(t, &big{conn: conn}, sent)
		t.Logf("with %s statistics: %s", statistics, got)
		if got.rows > 4*many || strings.Contains(sent[len(sent)-1].sql, "sealed_data") {
			t.Errorf("with %s statistics: %.0f rows are looked at by %s", statistics, got.rows, sent[len(sent)-1].sql)
		}
		_, err = conn.Exec(within(t), "ANALYZE webhook_deliveries, river_job")
		must(t, err)
	}
}

// The table itself refuses data that nothing waits for, data that no erasure
// could find, and a delivery that waits without data.
func TestTheInboxKeepsNoDataWithoutNeed(t *testing.T) {
	conn := asker(t, migrated(t))
	insert := func(state string, subject, data any) error {
		_, err := conn.Exec(within(t), `INSERT INTO webhook_deliveries (id, type, state, subject_hash, sealed_data, received_at, updated_at)
			VALUES (gen_random_uuid()::text, 'user.updated', $1, $2, $3, now(), now())`, state, subject, data)
		return err
	}
	for state, kept := range map[string][]any{
		"received": {"x"}, "failed": {"x"}, "dead": {"x", nil}, "applied": {nil}, "ignored": {nil}, "odd": nil,
	} {
		for _, data := range []any{"x", nil} {
			if err := insert(state, data, data); (err == nil) != slices.Contains(kept, data) {
				t.Errorf("%s with %v: %v", state, data, err)
			}
		}
		if insert(state, nil, "x") == nil || insert(state, "x", nil) == nil {
			t.Errorf("%s with data and no subject, or the other way round, is taken", state)
		}
	}
}
