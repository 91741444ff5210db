package postgres

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// reconciliationsKept is how long operators can look up what a run did.
const reconciliationsKept = 90 * 24 * time.Hour

// Reconciliations keeps the runs over Clerk's users, whom they have met, and who
// is at work on them.
type Reconciliations struct{ db *DB }

// NewReconciliations makes the store.
func NewReconciliations(db *DB) *Reconciliations { return &Reconciliations{db} }

// Unfinished gives the run that has not ended, or an error of kind NotFound.
func (s *Reconciliations) Unfinished(ctx context.Context) (domain.Reconciliation, error) {
	return s.run(ctx, func(q *gorm.DB) *gorm.DB { return q.Where("finished_at IS NULL") })
}

// LastFinished gives the run that came to its end last, or an error of kind
// NotFound. A run that was abandoned came to none.
func (s *Reconciliations) LastFinished(ctx context.Context) (domain.Reconciliation, error) {
	return s.run(ctx, func(q *gorm.DB) *gorm.DB {
		return q.Where("outcome IN ?", []domain.ReconcileOutcome{domain.ReconcileCompleted, domain.ReconcileRefused}).
			Order("finished_at DESC")
	})
}

func (s *Reconciliations) run(ctx context.Context, where func(*gorm.DB) *gorm.DB) (domain.Reconciliation, error) {
	var r domain.Reconciliation
	if err := s.db.read(ctx, func(q *gorm.DB) error { return where(q).Take(&r).Error }); err != nil {
		return domain.Reconciliation{}, err
	}
	r.BegunAt, r.JudgedBefore = r.BegunAt.UTC(), r.JudgedBefore.UTC()
	if r.FinishedAt != nil {
		end := r.FinishedAt.UTC()
		r.FinishedAt = &end
	}
	return r, nil
}

// Begin writes a new run. One that had not ended is abandoned, and runs of long
// ago are forgotten.
func (s *Reconciliations) Begin(ctx context.Context, r domain.Reconciliation) error {
	return s.db.WithinTx(ctx, func(ctx context.Context) error {
		for _, step := range []struct {
			sql  string
			args []any
		}{
			{"UPDATE reconciliation_runs SET outcome = ?, finished_at = ?, phase = ? WHERE finished_at IS NULL",
				[]any{domain.ReconcileAbandoned, r.BegunAt, domain.ReconcileDone}},
			{"DELETE FROM reconciliation_runs WHERE finished_at < ?", []any{r.BegunAt.Add(-reconciliationsKept)}},
		} {
			if err := s.db.conn(ctx).Exec(step.sql, step.args...).Error; err != nil {
				return translate(ctx, err)
			}
		}
		return translate(ctx, s.db.conn(ctx).Create(&r).Error)
	})
}

// Save writes how far the run has come. Error: kind Conflict when the run has
// ended already.
func (s *Reconciliations) Save(ctx context.Context, r domain.Reconciliation) error {
	res := s.db.conn(ctx).Model(&domain.Reconciliation{}).Where("id = ? AND finished_at IS NULL", r.ID).
		Select("*").Omit("id", "periodic", "begun_at", "judged_before").Updates(r)
	if res.Error == nil && res.RowsAffected == 0 {
		return errConflict
	}
	return translate(ctx, res.Error)
}

// PurgeExpired removes up to limit of the notes of whom the runs have met that had
// ended at that moment, and tells how many. Those that somebody else removes at
// the same time are left to them.
func (s *Reconciliations) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	res := s.db.conn(ctx).Exec(`DELETE FROM reconciliation_seen WHERE (run_id, profile_id) IN (
		SELECT s.run_id, s.profile_id FROM reconciliation_seen s JOIN reconciliation_runs r ON r.id = s.run_id
		WHERE r.finished_at <= ? LIMIT ? FOR UPDATE OF s SKIP LOCKED)`, at, limit)
	return int(res.RowsAffected), translate(ctx, res.Error)
}

// WatchedSince is when it was called for the first time.
func (s *Reconciliations) WatchedSince(ctx context.Context, now time.Time) (time.Time, error) {
	err := s.db.conn(ctx).Exec("UPDATE reconciliation_lease SET watched_since = ? WHERE watched_since IS NULL", now).Error
	if err != nil {
		return time.Time{}, translate(ctx, err)
	}
	var since time.Time
	err = s.db.read(ctx, func(q *gorm.DB) error {
		return q.Raw("SELECT watched_since FROM reconciliation_lease").Row().Scan(&since)
	})
	return since.UTC(), err
}

// Take makes the owner the only one at work for that long, or longer when it is
// that already; false when somebody else is. The database's clock decides: those
// of the replicas differ.
func (s *Reconciliations) Take(ctx context.Context, owner string, hold time.Duration) (bool, error) {
	res := s.db.conn(ctx).Exec(`UPDATE reconciliation_lease SET owner = ?, held_until = clock_timestamp() + make_interval(secs => ?)
		WHERE owner IS NULL OR owner = ? OR held_until <= clock_timestamp()`, owner, hold.Seconds(), owner)
	return res.RowsAffected == 1, translate(ctx, res.Error)
}

// Release lets others work at once. Who is not at work changes nothing.
func (s *Reconciliations) Release(ctx context.Context, owner string) error {
	return translate(ctx, s.db.conn(ctx).
		Exec("UPDATE reconciliation_lease SET owner = NULL, held_until = NULL WHERE owner = ?", owner).Error)
}

// mirroredColumns are those of domain.MirroredProfile.
const mirroredColumns = "id, clerk_user_id, email, avatar_url, status, suspended_until, clerk_updated_at"

// Mirrored gives those of the people who have a profile, in no order.
func (s *Reconciliations) Mirrored(ctx context.Context, clerkUserIDs []string) ([]domain.MirroredProfile, error) {
	var q query
	q.sql = "SELECT " + mirroredColumns + " FROM profiles WHERE clerk_user_id = ANY(" + q.arg(clerkUserIDs, "text[]") + ")"
	return list[domain.MirroredProfile](ctx, s.db, q)
}

// MarkSeen remembers that the run has met those of the people who have a
// profile; twice is once.
func (s *Reconciliations) MarkSeen(ctx context.Context, runID string, clerkUserIDs []string) error {
	if len(clerkUserIDs) == 0 {
		return nil
	}
	return translate(ctx, s.db.conn(ctx).Exec(`INSERT INTO reconciliation_seen (run_id, profile_id)
		SELECT ?, id FROM profiles WHERE clerk_user_id IN ? ON CONFLICT DO NOTHING`, runID, clerkUserIDs).Error)
}

// CountUnseen counts the profiles that are older than the run and that it has
// not met, and all from before JudgedBefore.
func (s *Reconciliations) CountUnseen(ctx context.Context, r domain.Reconciliation) (unseen, all int, err error) {
	err = s.db.read(ctx, func(q *gorm.DB) error {
		return q.Raw(`SELECT count(*) FILTER (WHERE s.profile_id IS NULL AND p.created_at < ?), count(*) FILTER (WHERE p.created_at < ?)
			FROM profiles p LEFT JOIN reconciliation_seen s ON s.run_id = ? AND s.profile_id = p.id`, r.BegunAt, r.JudgedBefore, r.ID).
			Row().Scan(&unseen, &all)
	})
	return unseen, all, err
}

// Unseen lists up to limit of the profiles that CountUnseen counts, by id, behind
// the one of that id.
func (s *Reconciliations) Unseen(ctx context.Context, r domain.Reconciliation, after string, limit int) ([]domain.MirroredProfile, error) {
	var q query
	q.sql = "SELECT " + mirroredColumns + " FROM profiles p WHERE id > " + q.arg(after, "uuid") +
		" AND created_at < " + q.arg(r.BegunAt, "timestamptz") +
		" AND NOT EXISTS (SELECT FROM reconciliation_seen s WHERE s.run_id = " + q.arg(r.ID, "uuid") + " AND s.profile_id = p.id)" +
		" ORDER BY id LIMIT " + q.arg(limit, "int")
	return list[domain.MirroredProfile](ctx, s.db, q)
}
