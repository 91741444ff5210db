package valkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/usecase"
)

var _ usecase.EventSink = (*Stream)(nil)

func streamOn(t *testing.T, url string, maxLen int64) (*Stream, *redis.Client) {
	t.Helper()
	client, err := NewClient(url, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return NewStream(client, "profile events", maxLen), client.WithTimeout(patient)
}

func streamEvent(i int) domain.PendingEvent {
	return domain.PendingEvent{EventID: fmt.Sprint("id-", i), Type: domain.ActionProfileUpdated, Payload: []byte(fmt.Sprintf(`{"n":%d,"text":"é\u0000"}`, i))}
}

func TestStreamHoldsEventsInOrderAndIsTrimmed(t *testing.T) {
	stream, client := streamOn(t, testservers.Valkey(t), 100)
	const events = 1000
	for i := range events {
		if err := stream.Deliver(t.Context(), streamEvent(i)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := client.XRange(t.Context(), "profile events", "-", "+").Result()
	if err != nil || len(entries) < 100 || len(entries) > 100+100 { // trimmed by whole nodes, of 100 entries at most by default
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for n, entry := range entries {
		e := streamEvent(events - len(entries) + n)
		if len(entry.Values) != 3 || entry.Values["id"] != e.EventID || entry.Values["type"] != "profile.updated" || entry.Values["data"] != string(e.Payload) {
			t.Errorf("entry %d is %v, want %+v", n, entry.Values, e)
		}
	}
}

// A server that is away, hangs or refuses is an event that waits; then it is taken.
func TestStreamWhileTheServerIsAway(t *testing.T) {
	server := testservers.OwnValkey(t)
	stream, client := streamOn(t, server.URL(), 100)
	refused := func(when, message string) {
		t.Helper()
		err := stream.Deliver(t.Context(), streamEvent(1))
		var e *domain.Error
		if !errors.As(err, &e) || e.Kind() != domain.Unavailable || e.Message() != message || strings.Contains(err.Error(), server.Addr()) {
			t.Errorf("%s: %v", when, err)
		}
	}
	taken := func(when string) {
		t.Helper()
		eventually(t, when, func() bool { return stream.Deliver(t.Context(), streamEvent(1)) == nil })
	}
	const away, no = "The server could not be reached in time.", "The server refused the event."
	taken("at first")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	refused("killed", away)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	taken("when it is back")
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	refused("paused", away)
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	taken("when it goes on")
	eventually(t, "the key is something else", func() bool { return client.Set(ctx, "profile events", "x", 0).Err() == nil })
	refused("not a stream", no)
	if err := client.Del(ctx, "profile events").Err(); err != nil {
		t.Fatal(err)
	}
	taken("in the end")
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := stream.Deliver(gone, streamEvent(1)); !errors.Is(err, domain.Unavailable) {
		t.Errorf("after the end of its context: %v", err)
	}
}
