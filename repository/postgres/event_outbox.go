package postgres

import (
	"context"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// leftEventsHold is how long events that nobody tries are kept when their sink is
// not configured: a release that is rolled back finds them.
const leftEventsHold = 7 * 24 * time.Hour

// EventOutbox keeps events until every sink has taken them.
type EventOutbox struct {
	db    *DB
	sinks []string
}

// NewEventOutbox makes the outbox for the sinks with these keys, of 1–50
// characters. Without any, changes cost no statement.
func NewEventOutbox(db *DB, sinks ...string) *EventOutbox { return &EventOutbox{db, sinks} }

// Append writes the event once for each sink, in one statement: due at once, or, when
// the profile's first event for that sink waits after a failure, with that one, so that
// no search for what is due walks over it meanwhile. While that one is under way it has
// no failure, and what is appended is due when it has been taken. Outside of a
// transaction it is an error, as it is for jobs.
func (s *EventOutbox) Append(ctx context.Context, e domain.Event) error {
	if s.db.transaction(ctx) == nil {
		return errNoTransaction
	}
	if len(s.sinks) == 0 {
		return nil
	}
	payload, err := e.Payload()
	if err != nil {
		return errInternal.WithCause(err)
	}
	return translate(ctx, s.db.conn(ctx).Exec(`INSERT INTO event_outbox (event_id, sink, profile_id, type, occurred_at, payload, next_attempt_at)
		SELECT n.event_id, s.sink, n.profile_id, n.type, n.occurred_at, n.payload, GREATEST(n.occurred_at, (
			SELECT CASE WHEN first.last_error IS NOT NULL THEN first.next_attempt_at END
			FROM event_outbox first WHERE first.sink = s.sink AND first.profile_id = n.profile_id ORDER BY first.seq LIMIT 1))
		FROM (SELECT CAST(? AS uuid) AS event_id, CAST(? AS uuid) AS profile_id, CAST(? AS text) AS type,
			CAST(? AS timestamptz) AS occurred_at, CAST(? AS text) AS payload) AS n, unnest(CAST(? AS text[])) AS s(sink)`,
		e.ID, e.ProfileID, string(e.Type), e.OccurredAt, string(payload), textArray(s.sinks)).Error)
}

// claimable picks events that are due, the longest waiting first: of each profile
// the oldest alone, so that whoever holds it holds the profile. What another
// dispatcher is taking at this moment is passed over. The oldest is asked for row
// by row: as an anti-join, the planner might read all that waits for it.
const claimable = `SELECT o.seq FROM event_outbox o WHERE o.sink = ? AND o.next_attempt_at <= ?
	AND o.seq = (SELECT e.seq FROM event_outbox e WHERE e.sink = o.sink AND e.profile_id = o.profile_id ORDER BY e.seq LIMIT 1)`

// Claim takes events that are due for the sink, one of a profile at most, and
// keeps them from others until the claim ends. What was wrong with the last try is
// forgotten: they don't wait after a failure any more. It is one statement, and
// commits: nothing is held while they are sent.
func (s *EventOutbox) Claim(ctx context.Context, c domain.EventClaim) ([]domain.PendingEvent, error) {
	var rows []struct {
		Seq       int64
		EventID   string
		Type      domain.AuditAction
		ProfileID string
		Payload   string
		Attempts  int
	}
	err := s.db.conn(ctx).Raw(`WITH fresh AS (`+claimable+` AND o.attempts = 0 ORDER BY o.next_attempt_at, o.seq LIMIT ? FOR UPDATE OF o SKIP LOCKED),
		retry AS (`+claimable+` AND o.attempts > 0 ORDER BY o.next_attempt_at, o.seq LIMIT ? FOR UPDATE OF o SKIP LOCKED)
		UPDATE event_outbox SET attempts = attempts + 1, next_attempt_at = ?, last_error = NULL
		WHERE seq IN (SELECT seq FROM fresh UNION ALL SELECT seq FROM retry)
		RETURNING seq, event_id, type, profile_id, payload, attempts`,
		c.Sink, c.Now, c.Fresh, c.Sink, c.Now, c.Retry, c.Until).Scan(&rows).Error
	if err != nil {
		return nil, translate(ctx, err)
	}
	claimed := make([]domain.PendingEvent, len(rows))
	for i, r := range rows {
		claimed[i] = domain.PendingEvent{
			Seq: r.Seq, EventID: r.EventID, Type: r.Type, ProfileID: r.ProfileID, Payload: []byte(r.Payload), Attempts: r.Attempts, ClaimedAt: c.Now,
		}
	}
	return claimed, nil
}

// Delivered forgets the event, unless somebody else has claimed it meanwhile.
func (s *EventOutbox) Delivered(ctx context.Context, e domain.PendingEvent) error {
	return translate(ctx, s.db.conn(ctx).Exec("DELETE FROM event_outbox WHERE seq = ? AND attempts = ?", e.Seq, e.Attempts).Error)
}

// Failed puts the event off, unless somebody else has claimed it meanwhile. Those
// behind it are put off as well: they have to wait for it anyway, and the search for
// what is due need not look at them while a sink is away.
func (s *EventOutbox) Failed(ctx context.Context, e domain.PendingEvent, reason string, again time.Time) error {
	return translate(ctx, s.db.conn(ctx).Exec(`WITH head AS (
			UPDATE event_outbox SET next_attempt_at = ?, last_error = ? WHERE seq = ? AND attempts = ?
			RETURNING seq, sink, profile_id, next_attempt_at)
		UPDATE event_outbox o SET next_attempt_at = head.next_attempt_at FROM head
		WHERE o.sink = head.sink AND o.profile_id = head.profile_id AND o.seq > head.seq AND o.next_attempt_at < head.next_attempt_at`,
		again, reason, e.Seq, e.Attempts).Error)
}

// Left counts, up to [domain.MaxCountedEvents], events for sinks that are
// configured no more. Nobody sends them; PurgeExpired removes them in time.
func (s *EventOutbox) Left(ctx context.Context) (n int64, err error) {
	err = s.db.read(ctx, func(tx *gorm.DB) error {
		return tx.Raw("SELECT count(*) FROM (SELECT 1 FROM event_outbox WHERE sink <> ALL (CAST(? AS text[])) LIMIT ?) AS counted",
			textArray(s.sinks), domain.MaxCountedEvents).Scan(&n).Error
	})
	return n, err
}

// PurgeExpired removes at most limit events whose sink is not configured here and
// which nobody has tried for a week before that moment, the oldest first. Their age
// says nothing: another replica may serve the sink, and whoever does moves the next
// try at least every hour, of those behind it too. An event of a sink that is
// configured never expires.
func (s *EventOutbox) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	result := s.db.conn(ctx).Exec(`DELETE FROM event_outbox WHERE seq IN (SELECT seq FROM event_outbox
		WHERE sink <> ALL (CAST(? AS text[])) AND next_attempt_at <= ? ORDER BY seq LIMIT ? FOR UPDATE SKIP LOCKED)`,
		textArray(s.sinks), at.Add(-leftEventsHold), limit)
	return int(result.RowsAffected), translate(ctx, result.Error)
}

// Backlogs tells what waits for each of the sinks, in their order.
func (s *EventOutbox) Backlogs(ctx context.Context) ([]domain.EventBacklog, error) {
	var backlogs []domain.EventBacklog
	err := s.db.read(ctx, func(tx *gorm.DB) error {
		backlogs = nil
		return tx.Raw(`SELECT s.sink,
				(SELECT count(*) FROM (SELECT 1 FROM event_outbox o WHERE o.sink = s.sink LIMIT ?) AS counted) AS pending,
				(SELECT min(o.occurred_at) FROM event_outbox o WHERE o.sink = s.sink) AS oldest
			FROM unnest(CAST(? AS text[])) WITH ORDINALITY AS s(sink, place) ORDER BY s.place`,
			domain.MaxCountedEvents, textArray(s.sinks)).Scan(&backlogs).Error
	})
	return backlogs, err
}

// textArray writes a list in PostgreSQL's own notation, which every query mode of
// pgx sends right. The keys of sinks hold nothing that would have to be quoted.
func textArray(list []string) string { return "{" + strings.Join(list, ",") + "}" }
