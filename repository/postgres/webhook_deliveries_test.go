package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

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
			_, err := conn.Exec(within(t), `INSERT INTO webhook_deliveries (id, type, state, sealed_data, received_at, updated_at)
				VALUES (gen_random_uuid()::text, 'user.updated', $1::text, CASE WHEN $1::text IN ('received', 'failed', 'dead') THEN 'x' END, now(), now())`, state)
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

// The table itself refuses data that nothing waits for.
func TestTheInboxKeepsNoDataWithoutNeed(t *testing.T) {
	conn := asker(t, migrated(t))
	for state, data := range map[string]any{"applied": "x", "ignored": "x", "received": nil, "failed": nil, "dead": nil, "odd": nil} {
		_, err := conn.Exec(within(t), `INSERT INTO webhook_deliveries (id, type, state, sealed_data, received_at, updated_at)
			VALUES ('m', 'user.updated', $1, $2, now(), now())`, state, data)
		if err == nil {
			t.Errorf("%s with %v is taken", state, data)
		}
	}
}
