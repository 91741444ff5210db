package usecase_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// unusable is data that no retry makes applicable.
const unusable = `{"id":"user_1","first_name":"Ada"}`

func (i *inbox) dismiss(t *testing.T, id string, want usecase.Dismissed, was domain.WebhookState) {
	t.Helper()
	got, state, err := i.desk.Dismiss(t.Context(), id, domain.DismissedInapplicable)
	if err != nil || got != want || state != was {
		t.Errorf("%s: %s, was %s, %v; want %s, was %s", id, got, state, err, want, was)
	}
}

func TestDismissEndsWhatIsDeadAndNothingElse(t *testing.T) {
	i := newInbox()
	i.dismiss(t, "msg_1", usecase.DismissedUnknown, "")
	i.receive(t, "msg_1", "user.updated", unusable, usecase.ReceivedQueued)
	i.dismiss(t, "msg_1", usecase.DismissedNotDead, domain.WebhookReceived)
	if err := i.Failed(t.Context(), "msg_1", usecase.FailedRun{Reason: "x", Counted: true}); err != nil {
		t.Fatal(err)
	}
	i.dismiss(t, "msg_1", usecase.DismissedNotDead, domain.WebhookFailed)
	i.run(t, "msg_1")
	dead, err := i.store.WebhookDeliveries().Find(t.Context(), "msg_1")
	if err != nil || dead.State != domain.WebhookDead {
		t.Fatalf("%+v, %v", dead, err)
	}
	i.clock.Advance(time.Hour)
	i.observer.heard = nil
	i.dismiss(t, "msg_1", usecase.DismissedDone, domain.WebhookDead)
	reason := "dismissed as inapplicable; dead of " + dead.Reason
	d := i.wantState(t, "msg_1", domain.WebhookIgnored, reason) // and its data is gone
	if d.SubjectHash != nil || !d.UpdatedAt.Equal(i.clock.Now()) || d.ExpiresAt == nil || d.ExpiresAt.Sub(d.UpdatedAt) != domain.WebhookRetention(domain.WebhookDead) {
		t.Errorf("%+v", d)
	}
	if want := []string{"msg_1 user.updated ignored " + reason}; !slices.Equal(i.observer.heard, want) {
		t.Errorf("heard %q, want %q", i.observer.heard, want)
	}
	// It is over: for the desk, for a job that is left, and for a repeat of Clerk's.
	i.dismiss(t, "msg_1", usecase.DismissedNotDead, domain.WebhookIgnored)
	i.run(t, "msg_1")
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedKnown)
	if got, was, err := i.desk.Replay(t.Context(), "msg_1"); got != usecase.ReplayedDone || was != domain.WebhookIgnored || err != nil {
		t.Errorf("replayed: %s, was %s, %v", got, was, err)
	}
	i.wantState(t, "msg_1", domain.WebhookIgnored, reason)
	i.receive(t, "msg_2", "user.updated", userOne, usecase.ReceivedQueued)
	i.run(t, "msg_2")
	i.dismiss(t, "msg_2", usecase.DismissedNotDead, domain.WebhookApplied)
}

// revived has something happen to a delivery between the desk's look and its change.
type revived struct {
	usecase.WebhookDeliveries

	meanwhile func()
}

func (r revived) Update(ctx context.Context, d domain.WebhookDelivery, from ...domain.WebhookState) (bool, error) {
	r.meanwhile()
	return r.WebhookDeliveries.Update(ctx, d, from...)
}

// Whatever revives a delivery while it is dismissed wins, also when it is dead again with other data.
func TestWhatComesAgainIsNotDismissed(t *testing.T) {
	again := map[string]func(*testing.T, *inbox){
		"replayed": func(t *testing.T, i *inbox) {
			if got, _, err := i.desk.Replay(t.Context(), "msg_1"); got != usecase.ReplayedQueued || err != nil {
				t.Errorf("%s, %v", got, err)
			}
		},
		"sent again, and dead again": func(t *testing.T, i *inbox) {
			i.clock.Advance(time.Second)
			i.receive(t, "msg_1", "user.updated", unusable, usecase.ReceivedQueued)
			i.run(t, "msg_1")
		},
	}
	for name, meanwhile := range again {
		t.Run(name, func(t *testing.T) {
			i := newInbox()
			i.receive(t, "msg_1", "user.updated", unusable, usecase.ReceivedQueued)
			i.run(t, "msg_1")
			var as domain.WebhookDelivery
			desk := usecase.NewInboxDesk(usecase.InboxDeskDeps{
				Tx: i.store, Queue: i.store.JobQueue(), Clock: i.clock, Observer: i.observer,
				Deliveries: revived{i.store.WebhookDeliveries(), func() {
					meanwhile(t, i)
					as, _ = i.store.WebhookDeliveries().Find(t.Context(), "msg_1")
				}},
			})
			if got, was, err := desk.Dismiss(t.Context(), "msg_1", domain.DismissedTest); got != usecase.DismissedChanged || was != domain.WebhookDead || err != nil {
				t.Errorf("%s, was %s, %v", got, was, err)
			}
			if d, err := i.store.WebhookDeliveries().Find(t.Context(), "msg_1"); err != nil || d != as || d.SealedData == nil {
				t.Errorf("%+v, %v; want %+v", d, err, as)
			}
		})
	}
}

// A store that fails leaves the delivery dead, and says so.
func TestDismissWithoutAStore(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", unusable, usecase.ReceivedQueued)
	i.run(t, "msg_1")
	dead, _ := i.store.WebhookDeliveries().Find(t.Context(), "msg_1")
	boom := errors.New("boom")
	for _, operation := range []string{"webhook_deliveries.find", "webhook_deliveries.update"} {
		i.observer.heard, i.store.Fail = nil, failing(operation, boom)
		if _, _, err := i.desk.Dismiss(t.Context(), "msg_1", domain.DismissedTest); !errors.Is(err, boom) || len(i.observer.heard) != 0 {
			t.Errorf("%s: %v, heard %q", operation, err, i.observer.heard)
		}
	}
	i.store.Fail = nil
	i.wantState(t, "msg_1", domain.WebhookDead, dead.Reason)
}
