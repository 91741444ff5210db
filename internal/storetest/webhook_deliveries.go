package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// InboxStore is an empty inbox under test.
type InboxStore struct {
	Tx         usecase.UnitOfWork
	Deliveries interface {
		usecase.WebhookDeliveries
		usecase.SubjectDeliveries
		usecase.Purger
	}
	Queue  usecase.JobQueue
	Queued func(*testing.T) []string // ids of the deliveries with a job, oldest first
}

// Inbox runs the contract of the ports that the inbox needs.
func Inbox(t *testing.T, open func(*testing.T) InboxStore) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, InboxStore){
		"receive": receiveDelivery, "receive at once": receiveAtOnce, "update": updateDelivery, "list": listDeliveries,
		"forget": forgetDeliveries, "many of a person": manyOfSubject, "purge": purgeDeliveries, "queue": queueDelivery, "orphans": orphanedDeliveries,
	} {
		t.Run(name, func(t *testing.T) { suite(t, open(t)) })
	}
}

// delivery is one about the person, received at that moment.
func delivery(t *testing.T, id, clerkUserID string, at time.Time) domain.WebhookDelivery {
	t.Helper()
	data, err := json.Marshal(map[string]any{"id": clerkUserID, "first_name": at.String()})
	must(t, err)
	d, err := domain.NewWebhookDelivery(id, domain.WebhookEvent{Type: domain.WebhookUserUpdated, Data: data}, Sealer, Hashes, at)
	must(t, err)
	return d
}

func (s InboxStore) put(t *testing.T, list ...domain.WebhookDelivery) {
	t.Helper()
	for _, d := range list {
		stored, err := s.Deliveries.Receive(background(t), d)
		must(t, err)
		if !stored {
			t.Fatalf("%s is there already", d.ID)
		}
	}
}

func (s InboxStore) wantRow(t *testing.T, want domain.WebhookDelivery) {
	t.Helper()
	got, err := s.Deliveries.Find(background(t), want.ID)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the row is %+v, %v\nwant %+v", got, err, want)
	}
}

func receiveDelivery(t *testing.T, s InboxStore) {
	ctx := background(t)
	_, err := s.Deliveries.Find(ctx, "msg_1")
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	first := delivery(t, "msg_1", "user_1", Now)
	nobody := delivery(t, "msg_2", "", Now)
	if nobody.SubjectHash != nil || nobody.SealedData != nil || nobody.State != domain.WebhookDead {
		t.Fatalf("of nobody is kept %+v", nobody)
	}
	s.put(t, first, nobody)
	s.wantRow(t, first)
	s.wantRow(t, nobody)
	again := delivery(t, "msg_1", "user_2", Now.Add(time.Hour))
	again.Type = domain.WebhookUserDeleted
	states := map[domain.WebhookState]domain.WebhookDelivery{
		domain.WebhookReceived: first, domain.WebhookFailed: first.Failed("x", true, Now), domain.WebhookDead: first.Dead("y", true, Now),
		domain.WebhookApplied: first.Settled(domain.WebhookApplied, "z", Now), domain.WebhookIgnored: first.Settled(domain.WebhookIgnored, "z", Now),
	}
	for state, row := range states {
		id := "msg_" + string(state)
		row.ID, again.ID = id, id
		s.put(t, row)
		stored, err := s.Deliveries.Receive(ctx, again)
		revived := state == domain.WebhookFailed || state == domain.WebhookDead
		if err != nil || stored != revived {
			t.Errorf("a repeat of one that is %s: stored %v, %v", state, stored, err)
		}
		if revived {
			s.wantRow(t, again)
		} else {
			s.wantRow(t, row)
		}
	}
}

// A hundred repeats at once: one is stored, and nobody fails.
func receiveAtOnce(t *testing.T, s InboxStore) {
	ctx := background(t)
	var stored atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			ok, err := s.Deliveries.Receive(ctx, delivery(t, "msg_1", "user_1", Now.Add(time.Duration(i)*time.Second)))
			if err != nil {
				t.Error(err)
			}
			if ok {
				stored.Add(1)
			}
		})
	}
	wg.Wait()
	if n := stored.Load(); n != 1 {
		t.Errorf("stored %d times", n)
	}
}

func updateDelivery(t *testing.T, s InboxStore) {
	ctx := background(t)
	d := delivery(t, "msg_1", "user_1", Now)
	s.put(t, d, delivery(t, "msg_2", "user_1", Now))
	update := func(d domain.WebhookDelivery, want bool, from ...domain.WebhookState) {
		t.Helper()
		if ok, err := s.Deliveries.Update(ctx, d, from...); err != nil || ok != want {
			t.Errorf("updated %v, %v; want %v", ok, err, want)
		}
	}
	failed := d.Failed("reason", true, Now.Add(time.Second))
	update(failed, false, domain.WebhookDead, domain.WebhookApplied)
	s.wantRow(t, d)
	update(failed, true, domain.WebhookReceived, domain.WebhookFailed)
	s.wantRow(t, failed)
	older := failed.Settled(domain.WebhookApplied, "x", Now)
	older.ReceivedAt = Now.Add(-time.Microsecond)
	update(older, false, domain.WebhookStates()...) // made of what was there before a repeat
	s.wantRow(t, failed)
	dead := failed.Dead("last", true, Now.Add(time.Minute))
	update(dead, true, domain.WebhookFailed)
	s.wantRow(t, dead)
	update(dead.Replayed(Now), true, domain.OpenWebhookStates()...)
	s.wantRow(t, dead.Replayed(Now))
	done := dead.Settled(domain.WebhookApplied, "updated", Now.Add(time.Hour))
	update(done, true, domain.WebhookStates()...)
	s.wantRow(t, done)
	given := delivery(t, "msg_5", "user_1", Now).Dead("x", true, Now)
	s.put(t, given)
	given = given.Dismissed(domain.DismissedTest, Now.Add(time.Hour))
	update(given, true, domain.WebhookDead)
	s.wantRow(t, given)
	missing := done
	missing.ID = "msg_3"
	update(missing, false, domain.WebhookStates()...)
	s.wantUntouched(t, "msg_2")

	boom := errors.New("boom")
	other := delivery(t, "msg_4", "user_1", Now)
	s.put(t, other)
	err := s.Tx.WithinTx(ctx, func(ctx context.Context) error { // it goes with what it belongs to
		if _, err := s.Deliveries.Update(ctx, other.Settled(domain.WebhookApplied, "x", Now), domain.WebhookStates()...); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	s.wantRow(t, other)
}

// wantUntouched looks for a row that is as it came.
func (s InboxStore) wantUntouched(t *testing.T, id string) {
	t.Helper()
	d, err := s.Deliveries.Find(background(t), id)
	if err != nil || d.State != domain.WebhookReceived || d.SealedData == nil || d.Attempts != 0 {
		t.Errorf("another delivery was changed: %+v, %v", d, err)
	}
}

func listDeliveries(t *testing.T, s InboxStore) {
	ctx := background(t)
	one, two := delivery(t, "msg_1", "user_1", Now), delivery(t, "msg_2", "user_1", Now.Add(time.Second))
	dead := delivery(t, "msg_3", "user_1", Now.Add(time.Minute)).Dead("x", true, Now)
	done := delivery(t, "msg_0", "user_1", Now).Settled(domain.WebhookApplied, "y", Now)
	s.put(t, one, two, dead, done)
	for _, d := range []*domain.WebhookDelivery{&one, &two, &dead} {
		d.SealedData = nil
	}
	for name, c := range map[string]struct {
		states []domain.WebhookState
		limit  int
		want   []domain.WebhookDelivery
	}{
		"all":        {domain.WebhookStates(), 10, []domain.WebhookDelivery{dead, two, done, one}},
		"the latest": {domain.WebhookStates(), 2, []domain.WebhookDelivery{dead, two}},
		"one state":  {[]domain.WebhookState{domain.WebhookDead}, 10, []domain.WebhookDelivery{dead}},
		"no such":    {[]domain.WebhookState{domain.WebhookFailed}, 10, nil},
	} {
		got, err := s.Deliveries.List(ctx, c.states, c.limit)
		if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, c.want)
		}
	}
}

func forgetDeliveries(t *testing.T, s InboxStore) {
	ctx := background(t)
	of := func(id, person string) domain.WebhookDelivery { return delivery(t, id, person, Now) }
	waiting, failed, dead := of("msg_1", "user_1"), of("msg_2", "user_1").Failed("x", true, Now), of("msg_3", "user_1").Dead("x", true, Now)
	done, other, nobody := of("msg_4", "user_1").Settled(domain.WebhookApplied, "updated", Now), of("msg_5", "user_2"), of("msg_6", "")
	rotated := of("msg_7", "user_1")
	rotated.SubjectHash = &domain.WebhookSubjectHashes(Hashes, "user_1")[1] // from before a rotation of the key
	s.put(t, waiting, failed, dead, done, other, nobody, rotated)
	found, err := s.Deliveries.OfSubject(ctx, domain.WebhookSubjectHashes(Hashes, "user_1"))
	if want := []domain.WebhookDelivery{waiting, failed, dead, rotated}; err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("of the person are %+v, %v; want %+v", found, err, want)
	}
	if none, err := s.Deliveries.OfSubject(ctx, domain.WebhookSubjectHashes(Hashes, "user_3")); err != nil || len(none) != 0 {
		t.Errorf("of somebody else are %+v, %v", none, err)
	}
	at := Now.Add(time.Hour)
	must(t, s.Deliveries.Forget(ctx, domain.WebhookSubjectHashes(Hashes, "user_1"), at))
	for _, d := range []domain.WebhookDelivery{waiting, failed, dead, rotated} {
		s.wantRow(t, d.Settled(domain.WebhookIgnored, domain.WebhookReasonErased, at))
	}
	for _, d := range []domain.WebhookDelivery{done, other, nobody} {
		s.wantRow(t, d)
	}
	must(t, s.Deliveries.Forget(ctx, domain.WebhookSubjectHashes(Hashes, "user_3"), at))
}

// However many wait, those of a person that are read at once have a bound; all are forgotten.
func manyOfSubject(t *testing.T, s InboxStore) {
	ctx := background(t)
	hashes := domain.WebhookSubjectHashes(Hashes, "user_1")
	for i := range domain.MaxSubjectDeliveries + 2 {
		s.put(t, delivery(t, fmt.Sprint("msg_", i), "user_1", Now.Add(time.Duration(i)*time.Second)))
	}
	found, err := s.Deliveries.OfSubject(ctx, hashes)
	if err != nil || len(found) != domain.MaxSubjectDeliveries || found[0].ID != "msg_51" || found[len(found)-1].ID != "msg_2" {
		t.Errorf("%d, %v", len(found), err)
	}
	must(t, s.Deliveries.Forget(ctx, hashes, Now))
	if open, err := s.Deliveries.List(ctx, domain.OpenWebhookStates(), 100); err != nil || len(open) != 0 {
		t.Errorf("%d are left, %v", len(open), err)
	}
}

func purgeDeliveries(t *testing.T, s InboxStore) {
	ctx := background(t)
	for i := range 5 { // over at Now-4h … Now
		d := delivery(t, fmt.Sprint("done", i), "user_1", Now)
		s.put(t, d.Settled(domain.WebhookApplied, "x", Now.Add(-domain.WebhookRetention(domain.WebhookApplied)-time.Duration(i)*time.Hour)))
	}
	dead := delivery(t, "dead", "user_1", Now).Dead("x", true, Now.Add(-domain.WebhookRetention(domain.WebhookDead)))
	held := delivery(t, "held", "user_1", Now).Dead("x", true, Now.Add(time.Second-domain.WebhookRetention(domain.WebhookDead)))
	s.put(t, dead, held, delivery(t, "waiting", "user_1", Now.Add(-1000*24*time.Hour)))
	left := func() (ids []string) {
		list, err := s.Deliveries.List(ctx, domain.WebhookStates(), 100)
		must(t, err)
		for _, d := range list {
			ids = append(ids, d.ID)
		}
		slices.Sort(ids)
		return ids
	}
	for _, c := range []struct {
		limit, removed int
		left           []string
	}{
		{2, 2, []string{"dead", "done0", "done1", "done2", "held", "waiting"}},
		{100, 4, []string{"held", "waiting"}},
		{100, 0, []string{"held", "waiting"}},
	} {
		n, err := s.Deliveries.PurgeExpired(ctx, Now, c.limit)
		if got := left(); err != nil || n != c.removed || !slices.Equal(got, c.left) {
			t.Errorf("removed %d, %v; left %v; want %d, %v", n, err, got, c.removed, c.left)
		}
	}
}

func queueDelivery(t *testing.T, s InboxStore) {
	ctx := background(t)
	wantKind(t, s.Queue.EnqueueWebhookDelivery(ctx, "msg_1"), domain.Internal, domain.CodeInternal)
	boom := errors.New("boom")
	err := s.Tx.WithinTx(ctx, func(ctx context.Context) error {
		return errors.Join(s.Queue.EnqueueWebhookDelivery(ctx, "msg_1"), boom)
	})
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	for _, id := range []string{"msg_2", "msg_3"} {
		must(t, s.Tx.WithinTx(ctx, func(ctx context.Context) error { return s.Queue.EnqueueWebhookDelivery(ctx, id) }))
	}
	if got := s.Queued(t); !slices.Equal(got, []string{"msg_2", "msg_3"}) {
		t.Errorf("queued %v", got)
	}
}

func orphanedDeliveries(t *testing.T, s InboxStore) {
	ctx := background(t)
	at := func(id string, minute int) domain.WebhookDelivery {
		return delivery(t, id, "user_1", Now.Add(time.Duration(minute)*time.Minute))
	}
	second, first := at("msg_1", 2), at("msg_2", 1).Failed("x", true, Now.Add(3*time.Minute))
	dead, done, late, working := at("msg_3", 0).Dead("x", true, Now), at("msg_4", 0).Settled(domain.WebhookApplied, "x", Now), at("msg_5", 60), at("msg_6", 0)
	s.put(t, second, first, dead, done, late, working)
	must(t, s.Tx.WithinTx(ctx, func(ctx context.Context) error { return s.Queue.EnqueueWebhookDelivery(ctx, working.ID) }))
	found, err := s.Deliveries.Orphans(ctx, late.UpdatedAt, 10)
	bare := func(d domain.WebhookDelivery) domain.WebhookDelivery { d.SealedData = nil; return d }
	if want := []domain.WebhookDelivery{bare(first), bare(second)}; err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("orphans are %+v, %v; want %+v", found, err, want)
	}
	if found, err = s.Deliveries.Orphans(ctx, late.UpdatedAt, 1); err != nil || len(found) != 1 {
		t.Fatalf("of one there are %d, %v", len(found), err)
	}
	// What is read without its data may be noted without losing it.
	if ok, err := s.Deliveries.Update(ctx, found[0].Dead("gone", false, Now), domain.WebhookFailed); !ok || err != nil {
		t.Errorf("noted %v, %v", ok, err)
	}
	s.wantRow(t, first.Dead("gone", false, Now))
}
