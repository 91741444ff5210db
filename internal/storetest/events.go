package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Outbox is an outbox as one program has it.
type Outbox interface {
	usecase.EventOutbox
	usecase.EventQueue
	usecase.Purger
	Backlogs(ctx context.Context) ([]domain.EventBacklog, error)
}

// OutboxStores is an empty store under test, as events need it.
type OutboxStores struct {
	Tx   usecase.UnitOfWork
	Open func(sinks ...string) Outbox // as a program with these sinks has it
}

// Events runs the contract of the outbox.
func Events(t *testing.T, open func(*testing.T) OutboxStores) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, outboxWorld){
		"append": outboxAppend, "order": outboxOrder, "claims": outboxClaims, "failures": outboxFailures, "lost claims": outboxLostClaims,
		"places": outboxPlaces, "former sinks": outboxFormerSinks, "sinks of others": outboxSinksOfOthers, "later changes": outboxLaterChanges,
		"backlogs": outboxBacklogs,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			suite(t, outboxWorld{s, s.Open("a", "b")})
		})
	}
}

type outboxWorld struct {
	OutboxStores
	box Outbox
}

// Event makes an event of a profile at that moment.
func Event(profileID string, version int64, at time.Time) domain.Event {
	return domain.Event{
		ID: domain.NewID(at), Type: domain.ActionProfileUpdated, ProfileID: profileID, OccurredAt: at, Version: version,
		Status: domain.StatusActive, ChangedFields: []string{"bio"},
	}
}

// put appends the profile's events of versions 1 to n.
func (w outboxWorld) put(t *testing.T, profileID string, n int64) (events []domain.Event) {
	t.Helper()
	for v := range n {
		e := Event(profileID, v+1, Now.Add(time.Duration(v)*time.Second))
		must(t, w.Tx.WithinTx(background(t), func(ctx context.Context) error { return w.box.Append(ctx, e) }))
		events = append(events, e)
	}
	return events
}

// claim takes what is due at the sink at Now plus so long, for a minute.
func (w outboxWorld) claim(t *testing.T, sink string, after time.Duration, fresh, retry int) []domain.PendingEvent {
	t.Helper()
	at := Now.Add(after)
	claimed, err := w.box.Claim(background(t), domain.EventClaim{Sink: sink, Now: at, Until: at.Add(time.Minute), Fresh: fresh, Retry: retry})
	must(t, err)
	return claimed
}

func idsOf(events []domain.PendingEvent) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.EventID)
	}
	slices.Sort(ids)
	return ids
}

// want compares what was claimed.
func (w outboxWorld) want(t *testing.T, what string, got []domain.PendingEvent, events ...domain.Event) []domain.PendingEvent {
	t.Helper()
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	if g := idsOf(got); !slices.Equal(g, ids) {
		t.Fatalf("%s: claimed %v, want %v", what, g, ids)
	}
	return got
}

func outboxAppend(t *testing.T, w outboxWorld) {
	ctx := background(t)
	lost, kept := Event(domain.NewID(Now), 1, Now), Event(domain.NewID(Now), 1, Now)
	wantKind(t, w.box.Append(ctx, lost), domain.Internal, domain.CodeInternal)
	wantKind(t, w.Open().Append(ctx, lost), domain.Internal, domain.CodeInternal)
	boom := errors.New("boom")
	if err := w.Tx.WithinTx(ctx, func(ctx context.Context) error { return errors.Join(w.box.Append(ctx, lost), boom) }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	must(t, w.Tx.WithinTx(ctx, func(ctx context.Context) error { return w.Open().Append(ctx, lost) })) // nobody wants it
	must(t, w.Tx.WithinTx(ctx, func(ctx context.Context) error { return w.box.Append(ctx, kept) }))
	err := w.Tx.WithinTx(ctx, func(ctx context.Context) error { return w.box.Append(ctx, kept) })
	wantKind(t, err, domain.Conflict, domain.CodeConflict)
	payload, err := kept.Payload()
	must(t, err)
	for _, sink := range []string{"a", "b"} {
		got := w.want(t, sink, w.claim(t, sink, 0, 9, 9), kept)[0]
		if string(got.Payload) != string(payload) || got.Type != kept.Type || got.ProfileID != kept.ProfileID || got.Attempts != 1 || !got.ClaimedAt.Equal(Now) {
			t.Errorf("%s: %+v", sink, got)
		}
	}
	w.want(t, "a sink that nobody configured", w.claim(t, "c", time.Hour, 9, 9))
}

// Of one profile only the oldest is given out, whatever becomes of it; other
// profiles and other sinks do not wait.
func outboxOrder(t *testing.T, w outboxWorld) {
	ctx := background(t)
	p, q := w.put(t, domain.NewID(Now), 3), w.put(t, domain.NewID(Now), 2)
	first := w.want(t, "first", w.claim(t, "a", time.Hour, 9, 9), p[0], q[0])
	w.want(t, "while claimed", w.claim(t, "a", time.Hour, 9, 9))
	for _, e := range first {
		if e.EventID == q[0].ID {
			must(t, w.box.Delivered(ctx, e))
		} else {
			must(t, w.box.Failed(ctx, e, "down", Now.Add(3*time.Hour)))
		}
	}
	w.want(t, "after one failed", w.claim(t, "a", 2*time.Hour, 9, 9), q[1])
	again := w.want(t, "when it is tried again", w.claim(t, "a", 3*time.Hour, 0, 9), p[0], q[1])
	for _, e := range again {
		must(t, w.box.Delivered(ctx, e))
	}
	for _, want := range p[1:] {
		next := w.want(t, "in order", w.claim(t, "a", 3*time.Hour, 9, 9), want)
		must(t, w.box.Delivered(ctx, next[0]))
	}
	w.want(t, "at the end", w.claim(t, "a", 9*time.Hour, 9, 9))
	w.want(t, "the other sink", w.claim(t, "b", time.Hour, 9, 9), p[0], q[0])
}

func outboxClaims(t *testing.T, w outboxWorld) {
	e := w.put(t, domain.NewID(Now), 1)[0]
	w.want(t, "before its time", w.claim(t, "a", -time.Microsecond, 9, 9))
	if got := w.want(t, "at its time", w.claim(t, "a", 0, 9, 0), e)[0]; got.Attempts != 1 {
		t.Errorf("%d attempts", got.Attempts)
	}
	w.want(t, "before the claim ends", w.claim(t, "a", time.Minute-time.Microsecond, 9, 9))
	if got := w.want(t, "when the claim has ended", w.claim(t, "a", time.Minute, 0, 9), e)[0]; got.Attempts != 2 {
		t.Errorf("%d attempts", got.Attempts)
	}
}

func outboxFailures(t *testing.T, w outboxWorld) {
	ctx := background(t)
	e := w.put(t, domain.NewID(Now), 2)
	claimed := w.claim(t, "a", time.Hour, 9, 9)
	must(t, w.box.Failed(ctx, claimed[0], "The endpoint answered with status 500.", Now.Add(2*time.Hour)))
	w.want(t, "before the pause ends", w.claim(t, "a", 2*time.Hour-time.Microsecond, 9, 9))
	claimed = w.want(t, "when the pause has ended", w.claim(t, "a", 2*time.Hour, 9, 9), e[0])
	must(t, w.box.Delivered(ctx, claimed[0]))
	must(t, w.box.Delivered(ctx, claimed[0])) // twice is once
	w.want(t, "the one behind it", w.claim(t, "a", 2*time.Hour, 9, 9), e[1])
}

// Who comes back after the claim has passed to somebody else changes nothing.
func outboxLostClaims(t *testing.T, w outboxWorld) {
	ctx := background(t)
	e := w.put(t, domain.NewID(Now), 2)
	slow := w.claim(t, "a", time.Hour, 9, 9)[0]
	next := w.want(t, "by the next", w.claim(t, "a", 2*time.Hour, 9, 9), e[0])[0]
	must(t, w.box.Failed(ctx, slow, "late", Now.Add(-time.Hour)))
	must(t, w.box.Delivered(ctx, slow))
	w.want(t, "while the next one has it", w.claim(t, "a", 2*time.Hour, 9, 9))
	must(t, w.box.Delivered(ctx, next))
	w.want(t, "afterwards", w.claim(t, "a", 2*time.Hour, 9, 9), e[1])
}

// What was tried has places of its own, and takes none of the others'.
func outboxPlaces(t *testing.T, w outboxWorld) {
	ctx := background(t)
	for range 5 {
		w.put(t, domain.NewID(Now), 1)
	}
	tried := w.claim(t, "a", 0, 3, 9)
	for _, e := range tried {
		must(t, w.box.Failed(ctx, e, "x", Now))
	}
	for i, c := range []struct{ fresh, retry, wantFresh, wantRetry int }{{0, 0, 0, 0}, {0, 2, 0, 2}, {1, 0, 1, 0}, {9, 9, 1, 1}} {
		fresh, retry := 0, 0
		for _, e := range w.claim(t, "a", time.Second, c.fresh, c.retry) {
			if e.Attempts == 1 {
				fresh++
			} else {
				retry++
			}
		}
		if fresh != c.wantFresh || retry != c.wantRetry {
			t.Errorf("%d: %d fresh and %d tried, want %d and %d", i, fresh, retry, c.wantFresh, c.wantRetry)
		}
	}
}

// Events of a sink that was taken out of the settings stay for a week in which nobody tried them.
func outboxFormerSinks(t *testing.T, w outboxWorld) {
	ctx := background(t)
	w.put(t, domain.NewID(Now), 3) // at Now, and one and two seconds later
	left := func(box Outbox, want int64) {
		t.Helper()
		if n, err := box.Left(ctx); err != nil || n != want {
			t.Errorf("%d are left, %v; want %d", n, err, want)
		}
	}
	only, none := w.Open("b"), w.Open()
	left(w.box, 0)
	left(only, 3)
	left(none, 6)
	week := 7 * 24 * time.Hour
	for i, c := range []struct {
		at             time.Duration
		limit, removed int
	}{{week - time.Microsecond, 9, 0}, {week, 9, 1}, {2 * week, 1, 1}, {2 * week, 9, 1}, {2 * week, 9, 0}} {
		if n, err := only.PurgeExpired(ctx, Now.Add(c.at), c.limit); err != nil || n != c.removed {
			t.Errorf("%d: removed %d, %v; want %d", i, n, err, c.removed)
		}
	}
	left(only, 0)
	left(none, 3)
	if n, err := w.box.PurgeExpired(ctx, Now.Add(100*week), 9); err != nil || n != 0 {
		t.Errorf("removed %d of a sink that is configured, %v", n, err)
	}
}

// Whoever has not the sink removes nothing of it that others still try, however
// old it is: the week begins when they stop, for the first event and those behind it.
func outboxSinksOfOthers(t *testing.T, w outboxWorld) {
	ctx := background(t)
	w.put(t, domain.NewID(Now), 3)
	without := w.Open("b")
	const day, pause = 24 * time.Hour, 10 * time.Minute
	remove := func(after time.Duration, want int) {
		t.Helper()
		if n, err := without.PurgeExpired(ctx, Now.Add(after), 9); err != nil || n != want {
			t.Errorf("after %s: removed %d, %v; want %d", after, n, err, want)
		}
	}
	for tried := time.Duration(0); tried <= 8*day; tried += day {
		claimed := w.claim(t, "a", tried, 9, 9)
		remove(tried, 0)
		must(t, w.box.Failed(ctx, claimed[0], "down", Now.Add(tried+pause)))
		remove(tried, 0)
	}
	remove(8*day+pause+7*day-time.Microsecond, 0)
	remove(8*day+pause+7*day, 3)
}

// What is appended behind an event that waits after a failure waits with it, so
// that nobody has to look at it meanwhile, and is due as soon as that one has been
// taken; so is what was appended during the try. Other sinks and profiles don't wait.
func outboxLaterChanges(t *testing.T, w outboxWorld) {
	ctx := background(t)
	id, other := domain.NewID(Now), domain.NewID(Now)
	add := func(profileID string, version int64, after time.Duration) domain.Event {
		t.Helper()
		e := Event(profileID, version, Now.Add(after))
		must(t, w.Tx.WithinTx(ctx, func(ctx context.Context) error { return w.box.Append(ctx, e) }))
		return e
	}
	first := add(id, 1, 0)
	try := w.want(t, "first", w.claim(t, "a", 0, 9, 9), first)
	must(t, w.box.Failed(ctx, try[0], "down", Now.Add(time.Hour)))
	second := add(id, 2, time.Minute)
	// The purge of who has not the sink tells from when on something is due.
	if n, err := w.Open("b").PurgeExpired(ctx, Now.Add(7*24*time.Hour+time.Hour-time.Microsecond), 9); err != nil || n != 0 {
		t.Errorf("%d are due before the first one is, %v", n, err)
	}
	another := add(other, 1, time.Minute)
	w.want(t, "of others", w.claim(t, "a", time.Minute, 9, 9), another)
	w.want(t, "at the other sink", w.claim(t, "b", time.Minute, 9, 9), first, another)

	try = w.want(t, "after the pause", w.claim(t, "a", time.Hour, 0, 9), first, another)
	third := add(id, 3, time.Hour+time.Second) // during the try
	for _, e := range try {
		must(t, w.box.Delivered(ctx, e))
	}
	for _, want := range []domain.Event{second, third} {
		next := w.want(t, "at once", w.claim(t, "a", time.Hour+time.Second, 9, 0), want)
		must(t, w.box.Delivered(ctx, next[0]))
	}
}

func outboxBacklogs(t *testing.T, w outboxWorld) {
	ctx := background(t)
	want := func(when string, list ...string) {
		t.Helper()
		backlogs, err := w.box.Backlogs(ctx)
		must(t, err)
		var got []string
		for _, b := range backlogs {
			age := "none"
			if b.Oldest != nil {
				age = b.Oldest.Sub(Now).String()
			}
			got = append(got, fmt.Sprint(b.Sink, " ", b.Pending, " ", age))
		}
		if !slices.Equal(got, list) {
			t.Errorf("%s: %q, want %q", when, got, list)
		}
	}
	want("empty", "a 0 none", "b 0 none")
	w.put(t, domain.NewID(Now), 3)
	claimed := w.claim(t, "a", time.Hour, 9, 9)
	want("claimed", "a 3 0s", "b 3 0s")
	must(t, w.box.Delivered(ctx, claimed[0]))
	want("delivered", "a 2 1s", "b 3 0s")
	if backlogs, err := w.Open().Backlogs(ctx); err != nil || len(backlogs) != 0 {
		t.Errorf("no sinks: %v, %v", backlogs, err)
	}
}
