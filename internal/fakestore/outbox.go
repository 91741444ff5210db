package fakestore

import (
	"context"
	"slices"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// outboxRow is one event for one sink.
type outboxRow struct {
	domain.PendingEvent

	sink       string
	occurredAt time.Time
	next       time.Time
	reason     string
}

// Outbox is the fake EventOutbox and EventQueue.
type Outbox struct {
	s     *Store
	sinks []string
}

// Outbox gives the outbox as a program with these sinks sees it.
func (s *Store) Outbox(sinks ...string) Outbox { return Outbox{s, sinks} }

// Append refuses to work outside of a transaction. An event waits with the profile's
// first one, when that waits after a failure.
func (f Outbox) Append(ctx context.Context, e domain.Event) error {
	if ctx.Value(txKey{}) != f.s {
		return errNoTransaction
	}
	payload, err := e.Payload()
	if err != nil {
		return err
	}
	return f.s.do(ctx, "outbox.append", func(data *state) error {
		for _, sink := range f.sinks {
			if slices.ContainsFunc(data.outbox, func(r outboxRow) bool { return r.EventID == e.ID && r.sink == sink }) {
				return errConflict
			}
			next := e.OccurredAt
			first := slices.IndexFunc(data.outbox, func(r outboxRow) bool { return r.sink == sink && r.ProfileID == e.ProfileID })
			if first >= 0 && data.outbox[first].reason != "" && data.outbox[first].next.After(next) {
				next = data.outbox[first].next
			}
			data.lastSeq++
			data.outbox = append(data.outbox, outboxRow{
				PendingEvent: domain.PendingEvent{Seq: data.lastSeq, EventID: e.ID, Type: e.Type, ProfileID: e.ProfileID, Payload: payload},
				sink:         sink, occurredAt: e.OccurredAt, next: next,
			})
		}
		return nil
	})
}

// Claim gives the oldest event of each profile that is due.
func (f Outbox) Claim(ctx context.Context, c domain.EventClaim) (claimed []domain.PendingEvent, err error) {
	err = f.s.do(ctx, "outbox.claim", func(data *state) error {
		heads := map[string]bool{}
		room := map[bool]int{true: c.Fresh, false: c.Retry}
		for i, r := range data.outbox {
			if r.sink != c.Sink || heads[r.ProfileID] {
				continue
			}
			heads[r.ProfileID] = true
			if fresh := r.Attempts == 0; !r.next.After(c.Now) && room[fresh] > 0 {
				room[fresh]--
				r.Attempts, r.ClaimedAt, r.next, r.reason = r.Attempts+1, c.Now, c.Until, ""
				data.outbox[i] = r
				claimed = append(claimed, r.PendingEvent)
			}
		}
		return nil
	})
	return claimed, err
}

// Delivered forgets the event.
func (f Outbox) Delivered(ctx context.Context, e domain.PendingEvent) error {
	return f.s.do(ctx, "outbox.delivered", func(data *state) error {
		data.outbox = slices.DeleteFunc(slices.Clone(data.outbox), func(r outboxRow) bool { return r.Seq == e.Seq && r.Attempts == e.Attempts })
		return nil
	})
}

// Failed puts the event off, and those behind it.
func (f Outbox) Failed(ctx context.Context, e domain.PendingEvent, reason string, again time.Time) error {
	return f.s.do(ctx, "outbox.failed", func(data *state) error {
		head := slices.IndexFunc(data.outbox, func(r outboxRow) bool { return r.Seq == e.Seq && r.Attempts == e.Attempts })
		if head < 0 {
			return nil
		}
		data.outbox[head].next, data.outbox[head].reason = again, reason
		for i, r := range data.outbox[head+1:] {
			if r.sink == data.outbox[head].sink && r.ProfileID == e.ProfileID && r.next.Before(again) {
				data.outbox[head+1+i].next = again
			}
		}
		return nil
	})
}

// Left counts the events for other sinks.
func (f Outbox) Left(ctx context.Context) (n int64, err error) {
	err = f.s.do(ctx, "outbox.left", func(data *state) error {
		for _, r := range data.outbox {
			if !slices.Contains(f.sinks, r.sink) {
				n++
			}
		}
		return nil
	})
	return n, err
}

// PurgeExpired removes events for other sinks that nobody has tried for a week.
func (f Outbox) PurgeExpired(ctx context.Context, at time.Time, limit int) (n int, err error) {
	err = f.s.do(ctx, "outbox.purge", func(data *state) error {
		data.outbox = slices.DeleteFunc(slices.Clone(data.outbox), func(r outboxRow) bool {
			over := n < limit && !slices.Contains(f.sinks, r.sink) && !r.next.After(at.AddDate(0, 0, -7))
			if over {
				n++
			}
			return over
		})
		return nil
	})
	return n, err
}

// Backlogs tells what waits for each sink.
func (f Outbox) Backlogs(ctx context.Context) (list []domain.EventBacklog, err error) {
	err = f.s.do(ctx, "outbox.backlogs", func(data *state) error {
		for _, sink := range f.sinks {
			b := domain.EventBacklog{Sink: sink}
			for _, r := range data.outbox {
				if r.sink == sink {
					b.Pending++
					if b.Oldest == nil || r.occurredAt.Before(*b.Oldest) {
						b.Oldest = &r.occurredAt
					}
				}
			}
			list = append(list, b)
		}
		return nil
	})
	return list, err
}

// PendingEvents lists what waits, in the order of changes.
func (s *Store) PendingEvents() []domain.PendingEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []domain.PendingEvent
	for _, r := range s.data.outbox {
		list = append(list, r.PendingEvent)
	}
	return list
}
