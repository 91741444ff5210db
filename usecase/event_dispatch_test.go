package usecase_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// sinkFunc is a sink that does as the test likes.
type sinkFunc func(ctx context.Context, e domain.PendingEvent) error

func (f sinkFunc) Deliver(ctx context.Context, e domain.PendingEvent) error { return f(ctx, e) }

func sinkAway(after time.Duration) error {
	return domain.NewError(domain.Unavailable, domain.CodeUnavailable, "The endpoint answered with status 503.").
		WithRetryAfter(after).WithCause(errors.New("secret"))
}

// dispatch is a dispatch over a fake outbox in which one event waits.
func dispatch(t *testing.T, sink sinkFunc) (*usecase.EventDispatch, *storetest.Clock, *fakestore.Store) {
	t.Helper()
	s, clock := fakestore.New(), storetest.NewClock()
	err := s.WithinTx(t.Context(), func(ctx context.Context) error {
		return s.Outbox("sink").Append(ctx, storetest.Event(domain.NewID(storetest.Now), 1, storetest.Now))
	})
	if err != nil {
		t.Fatal(err)
	}
	return usecase.NewEventDispatch(usecase.EventDispatchDeps{Queue: s.Outbox("sink"), Sink: sink, Key: "sink", Clock: clock}), clock, s
}

// claimed takes the one event that is due.
func claimed(t *testing.T, d *usecase.EventDispatch) domain.PendingEvent {
	t.Helper()
	list, err := d.Claim(t.Context(), 9, 9)
	if err != nil || len(list) != 1 {
		t.Fatalf("claimed %v, %v", list, err)
	}
	return list[0]
}

func nothingDue(t *testing.T, d *usecase.EventDispatch) {
	t.Helper()
	if list, err := d.Claim(t.Context(), 9, 9); err != nil || len(list) != 0 {
		t.Fatalf("claimed %v, %v", list, err)
	}
}

// The pauses double from a second to ten minutes, and an event is never given up.
func TestPausesOfEvents(t *testing.T) {
	d, clock, s := dispatch(t, func(context.Context, domain.PendingEvent) error { return sinkAway(0) })
	id := s.PendingEvents()[0].EventID
	for i, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600} {
		want := time.Duration(seconds) * time.Second
		e := claimed(t, d)
		if e.EventID != id || e.Attempts != i+1 {
			t.Fatalf("try %d: %+v", i, e)
		}
		r, err := d.Deliver(t.Context(), e)
		if err != nil || r.Delivered || r.Interrupted || r.Reason != "The endpoint answered with status 503." || r.Again > want || r.Again < want*4/5 {
			t.Errorf("try %d: %+v, %v; want a pause of %s", i, r, err, want)
		}
		nothingDue(t, d)
		clock.Advance(r.Again)
	}
}

func TestWhatASinkAsksForIsObeyed(t *testing.T) {
	for _, c := range []struct{ asked, want time.Duration }{
		{time.Minute, time.Minute}, {time.Hour, time.Hour}, {25 * time.Hour, time.Hour},
	} {
		d, clock, _ := dispatch(t, func(context.Context, domain.PendingEvent) error { return sinkAway(c.asked) })
		r, err := d.Deliver(t.Context(), claimed(t, d))
		if err != nil || r.Again != c.want {
			t.Errorf("asked for %s: %+v, %v", c.asked, r, err)
		}
		clock.Advance(c.want - time.Microsecond)
		nothingDue(t, d)
		clock.Advance(time.Microsecond)
		claimed(t, d)
	}
	d, _, _ := dispatch(t, func(context.Context, domain.PendingEvent) error { return sinkAway(time.Millisecond) })
	if r, err := d.Deliver(t.Context(), claimed(t, d)); err != nil || r.Again < 800*time.Millisecond {
		t.Errorf("less than we wait of our own accord: %+v, %v", r, err)
	}
}

// A sink that asks for a pause gets nothing meanwhile, new events and those of other
// profiles included, for an hour at most; a shorter wish does not shorten it, and nobody asks the outbox.
func TestASinkThatAsksForItIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		wishes []time.Duration // of events under way at the same time
		want   time.Duration
	}{
		{[]time.Duration{time.Minute}, time.Minute}, {[]time.Duration{25 * time.Hour}, time.Hour},
		{[]time.Duration{time.Minute, time.Second}, time.Minute}, {[]time.Duration{time.Minute, time.Hour}, time.Hour},
		{[]time.Duration{time.Minute, 0}, time.Minute}, {[]time.Duration{0}, 0},
	} {
		var asks time.Duration
		d, clock, s := dispatch(t, func(context.Context, domain.PendingEvent) error { return sinkAway(asks) })
		add := func() {
			err := s.WithinTx(t.Context(), func(ctx context.Context) error {
				return s.Outbox("sink").Append(ctx, storetest.Event(domain.NewID(storetest.Now), 1, storetest.Now))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for range c.wishes[1:] {
			add()
		}
		list, err := d.Claim(t.Context(), 9, 9)
		if err != nil || len(list) != len(c.wishes) {
			t.Fatalf("claimed %v, %v", list, err)
		}
		for i, e := range list {
			asks = c.wishes[i]
			if _, err := d.Deliver(t.Context(), e); err != nil {
				t.Error(err)
			}
		}
		add()
		asked := 0
		s.Fail = func(operation string) error {
			if operation == "outbox.claim" {
				asked++
			}
			return nil
		}
		if c.want > 0 {
			clock.Advance(c.want - time.Microsecond)
			nothingDue(t, d)
			clock.Advance(time.Microsecond)
		}
		if asked != 0 {
			t.Errorf("%v: the outbox was asked %d times", c.wishes, asked)
		}
		if list, err := d.Claim(t.Context(), 9, 0); err != nil || len(list) != 1 || list[0].Attempts != 1 {
			t.Errorf("%v: claimed %v, %v", c.wishes, list, err)
		}
	}
}

// A try ends before its claim does, counted from the claim.
func TestATryEndsBeforeItsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given time.Duration
		d, clock, _ := dispatch(t, func(ctx context.Context, _ domain.PendingEvent) error {
			begun := time.Now()
			<-ctx.Done()
			given = time.Since(begun)
			return ctx.Err()
		})
		e := claimed(t, d)
		clock.Advance(4 * time.Second) // the process was slow
		r, err := d.Deliver(t.Context(), e)
		if err != nil || given != 6*time.Second || r.Reason != "The sink did not take the event in time." || r.Again == 0 {
			t.Errorf("it had %s: %+v, %v", given, r, err)
		}
	})
}

// A process that was stopped for long between claim and try does not send: somebody else has, and it would come out of order.
func TestAStaleClaimIsNotSent(t *testing.T) {
	d, clock, s := dispatch(t, func(context.Context, domain.PendingEvent) error {
		t.Error("it was sent")
		return nil
	})
	stale := claimed(t, d)
	clock.Advance(20 * time.Second)
	next := claimed(t, d)
	if r, err := d.Deliver(t.Context(), stale); err != nil || r.Delivered {
		t.Errorf("%+v, %v", r, err)
	}
	nothingDue(t, d)
	if list := s.PendingEvents(); len(list) != 1 || list[0].Attempts != next.Attempts {
		t.Errorf("the next one's claim is changed: %+v", list)
	}
}

// When the process ends, the event is free at once, and the sink is not to blame.
func TestInterruptedTries(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	d, _, _ := dispatch(t, func(context.Context, domain.PendingEvent) error {
		stop()
		return sinkAway(time.Hour)
	})
	r, err := d.Deliver(ctx, claimed(t, d))
	if err != nil || !r.Interrupted || r.Delivered || r.Again != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if e := claimed(t, d); e.Attempts != 2 {
		t.Errorf("%+v", e)
	}
}

// What was delivered is noted also when the database is away for a moment.
func TestTheNoteIsWrittenAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, failures := 0, 0
		d, _, s := dispatch(t, func(context.Context, domain.PendingEvent) error { sent++; return nil })
		e := claimed(t, d)
		s.Fail = func(operation string) error {
			if operation == "outbox.delivered" && failures < 15 {
				failures++
				return domain.UnavailableError(nil, time.Second)
			}
			return nil
		}
		if r, err := d.Deliver(t.Context(), e); err != nil || !r.Delivered || sent != 1 || failures != 15 || len(s.PendingEvents()) != 0 {
			t.Errorf("%+v, %v; sent %d times, %d failures, %d left", r, err, sent, failures, len(s.PendingEvents()))
		}
		d, _, s = dispatch(t, func(context.Context, domain.PendingEvent) error { return nil })
		e = claimed(t, d)
		s.Fail = func(string) error { return domain.UnavailableError(nil, time.Second) }
		if r, err := d.Deliver(t.Context(), e); !errors.Is(err, domain.Unavailable) || !r.Delivered {
			t.Errorf("for good: %+v, %v", r, err)
		}
	})
}

func TestReasonsTellNothing(t *testing.T) {
	d, _, _ := dispatch(t, func(context.Context, domain.PendingEvent) error { return errors.New("https://secret") })
	if r, err := d.Deliver(t.Context(), claimed(t, d)); err != nil || r.Reason != "The event could not be delivered." {
		t.Errorf("%+v, %v", r, err)
	}
}
