package domain

import (
	"encoding/json"
	"time"
)

// Event tells other services that a profile changed. It is thin on purpose: which
// profile, what sort of change, the names of the changed fields. No value that is
// personal is in it, so that an erasure has nothing to call back from outboxes,
// streams and other people's logs. Who may know more asks the API.
type Event struct {
	// ID is the id (UUID v7) of the audit event of the same change: the one id
	// under which every try brings this event to every sink.
	ID         string
	Type       AuditAction // one of the profile.* actions
	ProfileID  string
	OccurredAt time.Time
	// Version is the profile's after the change. It rises by one with each event of a
	// profile, the erasure's included, which is one above the last state's: who keeps
	// the highest version per profile misses none and falls for no duplicate.
	Version        int64
	Status         Status     // as of OccurredAt; empty when the profile was erased
	SuspendedUntil *time.Time // nil: not suspended, or until further notice
	ChangedFields  []string   // JSON names, never nil; empty for creations and erasures
}

// NewEvent makes the event of a change from its audit event and the profile as
// the change left it, or, for an erasure, as it was last. ok is false when the
// change is nothing that other services hear of.
func NewEvent(e AuditEvent, p *Profile) (event Event, ok bool) {
	event = Event{
		ID: e.ID, Type: e.Action, ProfileID: e.ProfileID, OccurredAt: e.OccurredAt,
		Version: p.Version, ChangedFields: append([]string{}, e.ChangedFields...),
	}
	switch e.Action {
	case ActionProfileCreated, ActionProfileUpdated, ActionProfileSuspended, ActionProfileReactivated:
		event.Status = p.StatusAt(e.OccurredAt)
		if event.Status == StatusSuspended {
			event.SuspendedUntil = p.SuspendedUntil
		}
	case ActionProfileErased:
		event.Version++
	default:
		return Event{}, false
	}
	return event, true
}

// Payload is the event as JSON, the body of every delivery. It is encoded once
// and stored, so that all tries send the same bytes whatever the release that
// sends them. A member is never left out: what does not apply is null.
func (e Event) Payload() ([]byte, error) {
	type data struct {
		ProfileID      string     `json:"profile_id"`
		Version        int64      `json:"version"`
		Status         *Status    `json:"status"`
		SuspendedUntil *time.Time `json:"suspended_until"`
		ChangedFields  []string   `json:"changed_fields"`
	}
	d := data{ProfileID: e.ProfileID, Version: e.Version, SuspendedUntil: e.SuspendedUntil, ChangedFields: e.ChangedFields}
	if e.Status != "" {
		d.Status = &e.Status
	}
	return json.Marshal(struct {
		ID        string      `json:"id"`
		Type      AuditAction `json:"type"`
		Timestamp time.Time   `json:"timestamp"`
		Data      data        `json:"data"`
	}{e.ID, e.Type, e.OccurredAt, d})
}

// PendingEvent is an event on its way to one sink, claimed by one dispatcher.
type PendingEvent struct {
	Seq       int64 // its place in the order of changes, and its row
	EventID   string
	Type      AuditAction
	ProfileID string
	Payload   []byte
	// Attempts counts the claims, this one included. It is the claim's token as
	// well: whoever comes back after somebody else's claim has another number.
	Attempts  int
	ClaimedAt time.Time
}

// EventClaim asks for events that are due at one sink.
type EventClaim struct {
	Sink  string    // its key in the outbox
	Now   time.Time //
	Until time.Time // nobody else gets what was claimed before then
	Fresh int       // at most so many that were never tried
	Retry int       // at most so many that were
}

// EventBacklog is what waits for one sink.
type EventBacklog struct {
	Sink    string
	Pending int64      // counted up to [MaxCountedEvents]
	Oldest  *time.Time // when the oldest of them occurred; nil: none waits
}

// MaxCountedEvents is where the counting of a backlog ends: a long one must not
// make the question slow, and its age tells more than its length.
const MaxCountedEvents = 100_000
