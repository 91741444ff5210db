package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	_ usecase.EventOutbox = (*postgres.EventOutbox)(nil)
	_ usecase.EventQueue  = (*postgres.EventOutbox)(nil)
	_ usecase.Purger      = (*postgres.EventOutbox)(nil)
)

func TestEvents(t *testing.T) {
	storetest.Events(t, func(t *testing.T) storetest.OutboxStores {
		db := openDB(t, postgres.Options{URL: migrated(t), AcquireTimeout: 20 * time.Second})
		return storetest.OutboxStores{Tx: db, Open: func(sinks ...string) storetest.Outbox { return postgres.NewEventOutbox(db, sinks...) }}
	})
}

// While an endpoint is away for long, what waits for it makes the search for what
// is due no slower. Without the planner's statistics it may look at all that is due.
func TestAClaimDoesNotWalkOverWhatWaits(t *testing.T) {
	url := migrated(t)
	conn, err := pgxpool.New(within(t), url)
	must(t, err)
	t.Cleanup(conn.Close)
	for _, statement := range []string{
		// Refused for an hour: the first of ten events of each of 10,000 profiles was tried, all are put off.
		`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, attempts, next_attempt_at)
			SELECT gen_random_uuid(), 'a', ('00000000-0000-7000-8000-' || lpad(to_hex(i % 10000), 12, '0'))::uuid, 'profile.updated', timestamptz '2026-03-01 11:00Z', '{}',
				CASE WHEN i < 10000 THEN 9 ELSE 0 END, timestamptz '2026-03-01 12:05Z' + i * interval '1 ms' FROM generate_series(0, 99999) i`,
		// And three new ones of each of 1,000 others are due.
		`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
			SELECT gen_random_uuid(), 'a', ('00000000-0000-7000-9000-' || lpad(to_hex(i % 1000), 12, '0'))::uuid, 'profile.updated', timestamptz '2026-03-01 11:59Z', '{}',
				timestamptz '2026-03-01 11:59Z' + i * interval '1 ms' FROM generate_series(0, 2999) i`,
	} {
		_, err := conn.Exec(within(t), statement)
		must(t, err)
	}
	seen := &recorder{}
	box := postgres.NewEventOutbox(openDB(t, postgres.Options{URL: url, Tracer: seen}), "a")
	for _, c := range []struct {
		before string
		limits
	}{{"SELECT 1", limits{20_000, 10_000}}, {"ANALYZE event_outbox", limits{1000, 200}}} {
		_, err := conn.Exec(within(t), c.before)
		must(t, err)
		seen.take()
		claimed, err := box.Claim(within(t), domain.EventClaim{Sink: "a", Now: storetest.Now, Until: storetest.Now.Add(time.Minute), Fresh: 8, Retry: 4})
		if err != nil || len(claimed) != 8 {
			t.Fatalf("claimed %d, %v", len(claimed), err)
		}
		got := explain(t, &big{conn: conn}, seen.take())
		t.Log(got)
		for _, fault := range c.faults(got) {
			t.Error(fault)
		}
	}
}
