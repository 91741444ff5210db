package postgres_test

import (
	"context"
	"fmt"
	"net/url"
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

func TestEvents(t *testing.T) { storetest.Events(t, outboxIn("")) }

// PgBouncer's transaction mode needs the first of these, see Options.
func TestEventsInOtherQueryModes(t *testing.T) {
	for _, mode := range []string{"cache_describe", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) { storetest.Events(t, outboxIn("default_query_exec_mode="+mode)) })
	}
}

func outboxIn(parameter string) func(t *testing.T) storetest.OutboxStores {
	return func(t *testing.T) storetest.OutboxStores {
		u, err := url.Parse(migrated(t))
		must(t, err)
		u.RawQuery += "&" + parameter
		db := openDB(t, postgres.Options{URL: u.String(), AcquireTimeout: 20 * time.Second})
		return storetest.OutboxStores{Tx: db, Open: func(sinks ...string) storetest.Outbox { return postgres.NewEventOutbox(db, sinks...) }}
	}
}

// What waits behind an event that failed is put off with it, for its sink alone, and its reason is there for operators.
func TestAFailurePutsOffWhatWaitsBehindIt(t *testing.T) {
	url := migrated(t)
	conn, db := asker(t, url), openDB(t, postgres.Options{URL: url})
	box := postgres.NewEventOutbox(db, "a", "b")
	poor, other := domain.NewID(storetest.Now), domain.NewID(storetest.Now)
	for v := range int64(3) {
		for _, profile := range []string{poor, other} {
			must(t, db.WithinTx(within(t), func(ctx context.Context) error { return box.Append(ctx, storetest.Event(profile, v+1, storetest.Now)) }))
		}
	}
	claimed, err := box.Claim(within(t), domain.EventClaim{Sink: "a", Now: storetest.Now, Until: storetest.Now.Add(time.Second), Fresh: 1})
	must(t, err)
	again := storetest.Now.Add(time.Hour)
	must(t, box.Failed(within(t), claimed[0], "The endpoint answered with status 500.", again))
	got := ask[string](t, conn, `SELECT string_agg(DISTINCT sink || ' ' || (profile_id = $1)::text || ' ' || n, ', ') FROM (
		SELECT sink, profile_id, count(*) AS n FROM event_outbox WHERE next_attempt_at = $2 GROUP BY 1, 2) AS put_off`, claimed[0].ProfileID, again)
	if got != "a true 3" {
		t.Errorf("put off: %s", got)
	}
	if got := ask[string](t, conn, "SELECT string_agg(last_error, ', ') FROM event_outbox"); got != "The endpoint answered with status 500." {
		t.Errorf("reasons: %s", got)
	}
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
		`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, attempts, last_error, next_attempt_at)
			SELECT gen_random_uuid(), 'a', ('00000000-0000-7000-8000-' || lpad(to_hex(i % 10000), 12, '0'))::uuid, 'profile.updated', timestamptz '2026-03-01 11:00Z', '{}',
				CASE WHEN i < 10000 THEN 9 ELSE 0 END, CASE WHEN i < 10000 THEN 'x' END, timestamptz '2026-03-01 12:05Z' + i * interval '1 ms' FROM generate_series(0, 99999) i`,
		// And three new ones of each of 1,000 others are due.
		`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
			SELECT gen_random_uuid(), 'a', ('00000000-0000-7000-9000-' || lpad(to_hex(i % 1000), 12, '0'))::uuid, 'profile.updated', timestamptz '2026-03-01 11:59Z', '{}',
				timestamptz '2026-03-01 11:59Z' + i * interval '1 ms' FROM generate_series(0, 2999) i`,
	} {
		_, err := conn.Exec(within(t), statement)
		must(t, err)
	}
	seen := &recorder{}
	db := openDB(t, postgres.Options{URL: url, Tracer: seen})
	box := postgres.NewEventOutbox(db, "a")
	// And 2,000 of the profiles that wait were changed since, longer ago than what is due.
	must(t, db.WithinTx(within(t), func(ctx context.Context) error {
		for i := range 2000 {
			e := storetest.Event(fmt.Sprintf("00000000-0000-7000-8000-%012x", i), 11, storetest.Now.Add(-time.Minute-time.Second))
			if err := box.Append(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}))
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
