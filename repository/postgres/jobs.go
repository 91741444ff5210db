package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivertype"
	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// clerkDeletionAttempts is how often a deletion is tried that Clerk answers with
// something that no waiting mends, such as a wrong secret key: nearly three
// months, at the retry policy's hour between two. That Clerk is away is no such
// answer and uses up no attempt.
const clerkDeletionAttempts = 2000

// refreshAttempts is how often a look at Clerk's record is tried that fails for
// another reason than that something is away. A reconciliation looks as well.
const refreshAttempts = 10

// webhookDeliveryAttempts is how often a delivery is tried that cannot be applied:
// about a day, at the retry policy's two seconds that double to an hour. That the
// database is away uses up no attempt.
const webhookDeliveryAttempts = 34

// Whose turn it is when a worker is free: the lowest first. What asks Clerk may
// hang for seconds each, and must not keep back what needs nobody. The periodic
// jobs come last.
const (
	priorityWebhook  = 1
	priorityDeletion = 2
	priorityRefresh  = 3
)

// errNoTransaction is a fault of ours: a job inserted by itself could run before
// what it is about is there, or although it never came.
var errNoTransaction = errInternal.WithCause(errors.New("a job must be inserted inside a transaction"))

// JobQueue inserts jobs into River's tables.
type JobQueue struct {
	db     *DB
	client *river.Client[*sql.Tx]
}

// NewJobQueue makes the queue; it needs no connection.
func NewJobQueue(db *DB) (*JobQueue, error) {
	client, err := river.NewClient(riverdatabasesql.New(nil), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("make the job queue: %w", err)
	}
	return &JobQueue{db, client}, nil
}

// EnqueueClerkDeletion has the deletion run once the transaction of ctx is
// committed. Outside of one it is an error.
func (q *JobQueue) EnqueueClerkDeletion(ctx context.Context, id string) error {
	return q.insert(ctx, domain.ClerkDeletionJob{ID: id}, &river.InsertOpts{MaxAttempts: clerkDeletionAttempts, Priority: priorityDeletion})
}

// EnqueueProfileRefresh has the job run at that moment or soon after, once the
// transaction of ctx is committed. Outside of one it is an error. Of those with a
// reason, one that waits or runs is enough.
func (q *JobQueue) EnqueueProfileRefresh(ctx context.Context, job domain.ProfileRefreshJob, at time.Time) error {
	opts := &river.InsertOpts{MaxAttempts: refreshAttempts, Priority: priorityRefresh, ScheduledAt: at}
	if job.Reason != domain.RefreshFirst {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: unfinishedJobs()}
	}
	return q.insert(ctx, job, opts)
}

// EnqueueWebhookDelivery has the delivery applied once the transaction of ctx is
// committed. Outside of one it is an error.
func (q *JobQueue) EnqueueWebhookDelivery(ctx context.Context, id string) error {
	return q.insert(ctx, domain.WebhookDeliveryJob{ID: id}, &river.InsertOpts{MaxAttempts: webhookDeliveryAttempts, Priority: priorityWebhook})
}

func (q *JobQueue) insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) error {
	tx := q.db.transaction(ctx)
	if tx == nil {
		return errNoTransaction
	}
	sqlTx, ok := tx.Statement.ConnPool.(*sql.Tx)
	if !ok {
		return errNoTransaction
	}
	opts.Metadata = metadataOf(ctx)
	_, err := q.client.InsertTx(ctx, sqlTx, args, opts)
	return translate(ctx, err)
}

// unfinishedJobs are the states of jobs that are still to be done.
func unfinishedJobs() []rivertype.JobState {
	return []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}
}

// unfinishedStates are their names.
func unfinishedStates() []string {
	var names []string
	for _, state := range unfinishedJobs() {
		names = append(names, string(state))
	}
	return names
}

// UnfinishedJobs counts the jobs that are still to be done, by state; each of
// the states is there.
func (db *DB) UnfinishedJobs(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		State string
		Jobs  int64
	}
	err := db.read(ctx, func(tx *gorm.DB) error {
		return tx.Raw("SELECT state, count(*) AS jobs FROM river_job WHERE state = ANY (CAST(? AS river_job_state[])) GROUP BY state",
			"{"+strings.Join(unfinishedStates(), ",")+"}").Scan(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, state := range unfinishedStates() {
		counts[state] = 0
	}
	for _, r := range rows {
		counts[r.State] = r.Jobs
	}
	return counts, nil
}
