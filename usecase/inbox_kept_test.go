package usecase_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// Data that names nobody is not kept, because no erasure would find it: the
// delivery is dead as it comes, and cannot be replayed from here.
func TestDataThatNamesNobodyIsNotKept(t *testing.T) {
	for data, eventType := range map[string]string{
		`{"first_name":"Ada"}`: "user.created", `{"id":7,"updated_at":1772366400000}`: "user.updated", `{"id":"org_1","first_name":"Ada"}`: "user.updated",
		`{"deleted":true}`: "user.deleted", `{"id":null}`: "user.deleted",
	} {
		i := newInbox()
		i.receive(t, "msg_1", eventType, data, usecase.ReceivedIgnored)
		d, err := i.store.WebhookDeliveries().Find(t.Context(), "msg_1")
		if err != nil || d.State != domain.WebhookDead || !strings.HasPrefix(d.Reason, "validation-failed: ") || d.SealedData != nil || d.ExpiresAt == nil {
			t.Errorf("%s: %+v, %v", data, d, err)
		}
		if want := []string{"msg_1 " + eventType + " received", "msg_1 " + eventType + " dead " + d.Reason}; !slices.Equal(i.observer.heard, want) {
			t.Errorf("heard %q", i.observer.heard)
		}
		if got, was, err := i.desk.Replay(t.Context(), "msg_1"); got != usecase.ReplayedNoData || was != domain.WebhookDead || err != nil {
			t.Errorf("replayed: %s, was %s, %v", got, was, err)
		}
		i.run(t, "msg_1")
		if after, err := i.store.WebhookDeliveries().Find(t.Context(), "msg_1"); err != nil || after != d || len(i.store.QueuedDeliveries()) != 0 || len(i.mirror.asked) != 0 {
			t.Errorf("%s: %+v, %v; queued %v, asked %q", data, after, err, i.store.QueuedDeliveries(), i.mirror.asked)
		}
		// Clerk sends it again, repaired.
		i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
		i.run(t, "msg_1")
		i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
	}
}

// A deletion never reaches the mirror without an id, whatever the row holds.
func TestADeletionOfNobodyIsBuried(t *testing.T) {
	i := newInbox()
	d, err := domain.NewWebhookDelivery("msg_1", domain.WebhookEvent{Type: domain.WebhookUserDeleted, Data: json.RawMessage(userOne)}, storetest.Sealer, storetest.Hashes, i.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := storetest.Sealer.Seal("webhook-delivery", []byte(`{"deleted":true}`))
	if err != nil {
		t.Fatal(err)
	}
	d.SealedData = &sealed
	if stored, err := i.store.WebhookDeliveries().Receive(t.Context(), d); !stored || err != nil {
		t.Fatal(stored, err)
	}
	i.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookDead, "validation-failed: The member id of the data is not the id of a user.")
	if len(i.mirror.asked) != 0 {
		t.Errorf("the mirror was asked %q", i.mirror.asked)
	}
}
