package usecase_test

import (
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

func TestADeliveryWithoutAJobIsBuried(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	i.store.LoseDeliveryJobs()
	i.receive(t, "msg_2", "user.updated", `{"id":"user_2","updated_at":1}`, usecase.ReceivedQueued)
	bury := func(want int) {
		t.Helper()
		if n, err := usecase.NewInboxOrphans(i.Inbox).PurgeExpired(t.Context(), i.clock.Now(), 10); err != nil || n != want {
			t.Errorf("%d were buried, %v", n, err)
		}
	}
	i.clock.Advance(3 * time.Hour)
	bury(0) // its job may still come
	i.clock.Advance(time.Second)
	bury(1)
	bury(0)
	i.wantState(t, "msg_1", domain.WebhookDead, "its job is gone: the process was killed in the last attempt, or somebody removed the job")
	i.wantState(t, "msg_2", domain.WebhookReceived, "")
}
