package valkey

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/domain"
)

// StreamKey names the stream in the outbox of events. It does not depend on the
// stream's own name: under a new one it takes what still waits.
const StreamKey = "stream"

// streamTimeout is more than a request has for Valkey: nobody waits for an event.
const streamTimeout = 2 * time.Second

// Stream appends events to a stream that is kept about as long as was asked for.
type Stream struct {
	client *redis.Client
	name   string
	maxLen int64
}

// NewStream makes the sink. The stream comes to be with its first event.
func NewStream(client *redis.Client, name string, maxLen int64) *Stream {
	return &Stream{client.WithTimeout(streamTimeout), name, maxLen}
}

// Deliver appends the event with the fields id, type and data, its JSON. It is
// tried once, and a reply that is lost leaves the event there: readers know a
// duplicate by its id. Errors: kind Unavailable; none holds a word of the server's.
func (s *Stream) Deliver(ctx context.Context, e domain.PendingEvent) error {
	err := s.client.XAdd(ctx, &redis.XAddArgs{
		Stream: s.name, MaxLen: s.maxLen, Approx: true, ID: "*",
		Values: []any{"id", e.EventID, "type", string(e.Type), "data", e.Payload},
	}).Err()
	var reply redis.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reply): // not a stream, no memory, no permission, a replica, loading
		return streamAway("The server refused the event.")
	}
	return streamAway("The server could not be reached in time.")
}

func streamAway(message string) error {
	return domain.NewError(domain.Unavailable, domain.CodeUnavailable, message)
}
