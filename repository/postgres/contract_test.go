package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
)

func openStores(t *testing.T) storetest.Stores {
	url := migrated(t)
	conn := asker(t, url)
	t.Cleanup(func() { noDeadlocks(t, conn) }) // after the pool is closed
	return stores(t, url, conn)
}

// stores works through the URL; conn looks at the database from beside.
func stores(t *testing.T, url string, conn *pgx.Conn) storetest.Stores {
	t.Helper()
	// The suites race more people than the pool has connections; a machine
	// under load must not turn their patience into failures.
	db := openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second})
	return storetest.Stores{
		Deps: deps(db),
		Put: func(t *testing.T, p domain.Profile) {
			inserted, err := postgres.NewProfiles(db).Insert(within(t), &p)
			if err != nil || !inserted {
				t.Fatalf("put a profile: %v, %v", inserted, err)
			}
		},
		MarkErased: func(t *testing.T, hash string) {
			must(t, postgres.NewIdentities(db).MarkErased(within(t), hash, storetest.Now))
		},
		Events: func(t *testing.T) []domain.AuditEvent { return events(t, conn) },
		Counts: func(t *testing.T) (int, int, int) { return counts(t, conn) },
		Refreshes: func(t *testing.T) []storetest.Refresh {
			rows, err := conn.Query(within(t), "SELECT args, scheduled_at FROM river_job WHERE kind = $1 ORDER BY id", domain.ProfileRefreshJob{}.Kind())
			must(t, err)
			list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[storetest.Refresh])
			must(t, err)
			return list
		},
	}
}

func events(t *testing.T, conn *pgx.Conn) []domain.AuditEvent {
	t.Helper()
	rows, err := conn.Query(within(t), `SELECT id, occurred_at, action, actor_kind, actor_id, impersonator, profile_id,
		changed_fields, request_id, client_network FROM audit_events ORDER BY occurred_at, id`)
	must(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[domain.AuditEvent])
	must(t, err)
	for i := range list {
		list[i].OccurredAt = list[i].OccurredAt.UTC()
	}
	return list
}

func TestPorts(t *testing.T) { storetest.Ports(t, openStores) }

func TestMirror(t *testing.T) { storetest.Mirror(t, openStores) }

func TestProfiles(t *testing.T) { storetest.Profiles(t, openStores) }
