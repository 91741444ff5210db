package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
)

// stillGivenUp counts the discarded jobs whose work is undone, by kind. River keeps
// a discarded job for its retention whatever has become of its work, so it is asked
// where that can be seen: see [DB.DiscardedJobs]. IN and EXCEPT look at each row
// once, as in [WebhookDeliveries.Orphans].
const stillGivenUp = `SELECT kind, count(*) FROM river_job WHERE state = 'discarded' AND CASE kind
	WHEN $2 THEN args->>'id' IN (SELECT id FROM webhook_deliveries WHERE state IN ('received', 'failed')
		EXCEPT SELECT args->>'id' FROM river_job WHERE kind = $2 AND state = ANY (CAST($1::text[] AS river_job_state[])))
	WHEN $3 THEN args->>'id' IN (SELECT id::text FROM clerk_deletions)
	WHEN $4 THEN finalized_at > coalesce((SELECT max(begun_at) FROM reconciliation_runs WHERE outcome IN ('completed', 'refused')), '-infinity')
	WHEN $5 THEN finalized_at > coalesce((SELECT max(finished_at) FROM reconciliation_runs WHERE outcome IN ('completed', 'refused')), '-infinity')
	WHEN $6 THEN finalized_at > coalesce((SELECT max(finalized_at) FROM river_job WHERE kind = $6 AND state = 'completed'), '-infinity')
	ELSE true END GROUP BY kind`

// DiscardedJobs counts, by kind, the jobs that were tried for the last time and
// failed, and whose work nothing has done since:
//   - a delivery's when that still waits and has no other job. A dead one is
//     counted by [DB.OpenDeliveries]; one that was applied, ignored or dismissed is repaired;
//   - a deletion's while the person is noted as to be deleted at Clerk;
//   - a refresh's until a reconciliation that began later has come to its end, which sees everybody;
//   - a reconciliation's until a run has come to its end, by whichever process;
//   - a purge's until a later one is completed.
func (db *DB) DiscardedJobs(ctx context.Context) (map[string]int64, error) {
	rows, err := db.pool.Query(ctx, stillGivenUp, unfinishedStates(), domain.WebhookDeliveryJob{}.Kind(), domain.ClerkDeletionJob{}.Kind(),
		domain.ProfileRefreshJob{}.Kind(), domain.ReconcileJob{}.Kind(), domain.PurgeJob{}.Kind())
	if err != nil {
		return nil, translate(ctx, err)
	}
	counts := map[string]int64{}
	var kind string
	var jobs int64
	_, err = pgx.ForEachRow(rows, []any{&kind, &jobs}, func() error {
		counts[kind] = jobs
		return nil
	})
	return counts, translate(ctx, err)
}
