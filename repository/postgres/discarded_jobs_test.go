package postgres_test

import (
	"maps"
	"testing"

	"github.com/profile-api/profile-api/repository/postgres"
)

// River keeps a discarded job for months. It counts only as long as its work is undone.
func TestDiscardedJobsAreThoseWhoseWorkIsUndone(t *testing.T) {
	url := migrated(t)
	conn, db := asker(t, url), openDB(t, postgres.Options{URL: url})
	const (
		deletion = "01980000-0000-7000-8000-000000000001"
		jobs     = "INSERT INTO river_job (kind, state, max_attempts, attempt, finalized_at, args) VALUES "
		delivery = "INSERT INTO webhook_deliveries (id, type, state, sealed_data, subject_hash, received_at, updated_at) VALUES ('msg_1', 'user.updated', "
		runs     = `INSERT INTO reconciliation_runs SELECT gen_random_uuid(), false, now() + b, now(), 'done', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, gen_random_uuid(), o, now() + e
			FROM (VALUES (CAST('-2 h' AS interval), 'completed', CAST('-1 h' AS interval)), `
	)
	discarded := func(kind, args string) string {
		return jobs + "('" + kind + "', 'discarded', 1, 1, now(), '" + args + "')"
	}
	for _, c := range []struct {
		what string
		make []string
		want map[string]int64
	}{
		{"a kind that nobody knows", []string{discarded("other", "{}")}, map[string]int64{"other": 1}},
		{"a delivery that was applied", []string{discarded("webhook_delivery", `{"id":"msg_1"}`), delivery + "'applied', NULL, NULL, now(), now())"}, nil},
		{"a delivery that was dismissed", []string{discarded("webhook_delivery", `{"id":"msg_1"}`), delivery + "'ignored', NULL, NULL, now(), now())"}, nil},
		{"a delivery that is forgotten", []string{discarded("webhook_delivery", `{"id":"msg_1"}`)}, nil},
		{"a delivery that is dead, and counted as such", []string{discarded("webhook_delivery", `{"id":"msg_1"}`), delivery + "'dead', 'x', 'x', now(), now())"}, nil},
		{"a delivery that waits for nothing", []string{discarded("webhook_delivery", `{"id":"msg_1"}`), delivery + "'failed', 'x', 'x', now(), now())"},
			map[string]int64{"webhook_delivery": 1}},
		{"a delivery that is replayed", []string{discarded("webhook_delivery", `{"id":"msg_1"}`), delivery + "'received', 'x', 'x', now(), now())",
			jobs + `('webhook_delivery', 'retryable', 1, 1, NULL, '{"id":"msg_1"}')`}, nil},
		{"somebody is still at Clerk", []string{discarded("clerk_deletion", `{"id":"`+deletion+`"}`), "INSERT INTO clerk_deletions VALUES ('" + deletion + "', 'x', now())"},
			map[string]int64{"clerk_deletion": 1}},
		{"somebody is gone at Clerk", []string{discarded("clerk_deletion", `{"id":"`+deletion+`"}`)}, nil},
		{"a refresh", []string{discarded("profile_refresh", "{}"), runs + "('-1 h', 'completed', '1 h')) v(b, o, e)"}, map[string]int64{"profile_refresh": 1}},
		{"a run has begun and ended since the refresh", []string{discarded("profile_refresh", "{}"), runs + "('1 h', 'refused', '2 h')) v(b, o, e)"}, nil},
		{"a run was abandoned", []string{discarded("profile_refresh", "{}"), discarded("reconcile", "{}"), runs + "('1 h', 'abandoned', '2 h')) v(b, o, e)"},
			map[string]int64{"profile_refresh": 1, "reconcile": 1}},
		{"two of a run that was never ended", []string{discarded("reconcile", "{}"), discarded("reconcile", "{}")}, map[string]int64{"reconcile": 2}},
		{"a run was gone on with and ended", []string{discarded("reconcile", "{}"), runs + "('-1 h', 'completed', '1 h')) v(b, o, e)"}, nil},
		{"a purge came before", []string{discarded("purge", "{}"), jobs + "('purge', 'completed', 1, 1, now() - interval '1 h', '{}')"}, map[string]int64{"purge": 1}},
		{"a purge came after", []string{discarded("purge", "{}"), jobs + "('purge', 'completed', 1, 1, now() + interval '1 h', '{}')"}, nil},
	} {
		for _, sql := range append(c.make, "ANALYZE river_job") {
			_, err := conn.Exec(within(t), sql)
			must(t, err)
		}
		if got, err := db.DiscardedJobs(within(t)); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.what, got, err, c.want)
		}
		for _, table := range []string{"river_job", "webhook_deliveries", "clerk_deletions", "reconciliation_runs"} {
			_, err := conn.Exec(within(t), "DELETE FROM "+table)
			must(t, err)
		}
	}
}
