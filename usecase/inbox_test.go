package usecase_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// mirror notes what it was asked, and writes as the real one does: in the transaction.
type mirror struct {
	store   *fakestore.Store
	asked   []string
	outcome usecase.MirrorOutcome
	removed bool
	fail    error
	during  func(ctx context.Context)
}

func (m *mirror) Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (usecase.MirrorOutcome, error) {
	m.asked = append(m.asked, fmt.Sprint("apply ", u.ID, " ", u.UpdatedAt.UnixMilli(), " ", from))
	return m.outcome, m.effect(ctx)
}

func (m *mirror) Remove(ctx context.Context, clerkUserID string, actor domain.ActorKind) (bool, error) {
	m.asked = append(m.asked, fmt.Sprint("remove ", clerkUserID, " ", actor))
	forgotten := m.store.WebhookDeliveries().Forget(ctx, domain.WebhookSubjectHashes(storetest.Hashes, clerkUserID), storetest.Now)
	return m.removed, errors.Join(m.effect(ctx), forgotten)
}

func (m *mirror) effect(ctx context.Context) error {
	if m.during != nil {
		m.during(ctx)
	}
	event := domain.OwnAuditEvent(domain.ActionProfileUpdated, domain.NewID(storetest.Now), domain.Caller{}, storetest.Hashes, nil, storetest.Now)
	return errors.Join(m.store.Deps(nil, storetest.Hashes).Audit.Append(ctx, event), m.fail)
}

// effects is how often the mirror's work was committed.
func (m *mirror) effects() int { return len(m.store.Events()) }

// observer writes down what it hears.
type observer struct {
	heard []string
	lags  []time.Duration
}

func (o *observer) Delivery(_ context.Context, id string, t domain.WebhookType, outcome domain.WebhookOutcome, reason string) {
	o.heard = append(o.heard, strings.TrimSpace(fmt.Sprintln(id, t, outcome, reason)))
}

func (o *observer) Lag(d time.Duration) { o.lags = append(o.lags, d) }

// inbox is the use case over the fakes.
type inbox struct {
	*usecase.Inbox
	store    *fakestore.Store
	mirror   *mirror
	observer *observer
	clock    *storetest.Clock
	desk     *usecase.InboxDesk
}

func newInbox(change ...func(*usecase.InboxDeps)) *inbox {
	s := fakestore.New()
	i := &inbox{store: s, mirror: &mirror{store: s, outcome: usecase.MirrorUpdated, removed: true}, observer: &observer{}, clock: storetest.NewClock()}
	deps := usecase.InboxDeps{
		Tx: s, Deliveries: s.WebhookDeliveries(), Queue: s.JobQueue(), Identities: s.Deps(nil, storetest.Hashes).Identities,
		Mirror: i.mirror, Sealer: storetest.Sealer, Hashes: storetest.Hashes, Clock: i.clock, Observer: i.observer,
	}
	for _, c := range change {
		c(&deps)
	}
	i.Inbox = usecase.NewInbox(deps)
	i.desk = usecase.NewInboxDesk(usecase.InboxDeskDeps{Tx: s, Deliveries: s.WebhookDeliveries(), Queue: s.JobQueue(), Clock: i.clock, Observer: i.observer})
	return i
}

func body(t *testing.T, eventType, data string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"type": eventType, "data": json.RawMessage(data)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const userOne = `{"id":"user_1","updated_at":1772366400000,"first_name":"Ada"}` // storetest.Now

func (i *inbox) receive(t *testing.T, id, eventType, data string, want usecase.Received) {
	t.Helper()
	if got, err := i.Receive(t.Context(), id, body(t, eventType, data)); err != nil || got != want {
		t.Errorf("%s: received %q, %v; want %q", id, got, err, want)
	}
}

func (i *inbox) run(t *testing.T, id string) {
	t.Helper()
	if err := i.Run(t.Context(), id); err != nil {
		t.Errorf("run %s: %v", id, err)
	}
}

func (i *inbox) wantState(t *testing.T, id string, state domain.WebhookState, reason string) domain.WebhookDelivery {
	t.Helper()
	d, err := i.store.WebhookDeliveries().Find(t.Context(), id)
	if err != nil || d.State != state || d.Reason != reason {
		t.Errorf("%s is %s (%s), %v; want %s (%s)", id, d.State, d.Reason, err, state, reason)
	}
	if open := slices.Contains(domain.OpenWebhookStates(), state); open != (d.SealedData != nil) {
		t.Errorf("%s is %s, and its data is there: %v", id, d.State, d.SealedData != nil)
	}
	return d
}

func TestADeliveryIsStoredOnceAndApplied(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedKnown)
	i.wantState(t, "msg_1", domain.WebhookReceived, "")
	if got := i.store.QueuedDeliveries(); !slices.Equal(got, []string{"msg_1"}) || i.mirror.effects() != 0 {
		t.Errorf("queued %v, %d effects", got, i.mirror.effects())
	}
	i.clock.Advance(90 * time.Second)
	i.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
	i.run(t, "msg_1") // as after a rescue: there is nothing left to do
	i.run(t, "msg_gone")
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedKnown)
	if !slices.Equal(i.mirror.asked, []string{"apply user_1 1772366400000 0"}) || i.mirror.effects() != 1 {
		t.Errorf("the mirror was asked %q", i.mirror.asked)
	}
	want := []string{
		"msg_1 user.updated received", "msg_1 user.updated known", "msg_1 user.updated applied updated", "msg_1 user.updated known",
	}
	if !slices.Equal(i.observer.heard, want) || !slices.Equal(i.observer.lags, []time.Duration{90 * time.Second}) {
		t.Errorf("heard %q, lags %v", i.observer.heard, i.observer.lags)
	}
}

func TestWhatTheMirrorSaysIsNoted(t *testing.T) {
	for outcome, state := range map[usecase.MirrorOutcome]domain.WebhookState{
		usecase.MirrorCreated: domain.WebhookApplied, usecase.MirrorUpdated: domain.WebhookApplied, usecase.MirrorUnchanged: domain.WebhookApplied,
		usecase.MirrorStale: domain.WebhookIgnored, usecase.MirrorErased: domain.WebhookIgnored,
	} {
		i := newInbox()
		i.mirror.outcome = outcome
		i.receive(t, "msg_1", "user.created", userOne, usecase.ReceivedQueued)
		i.run(t, "msg_1")
		i.wantState(t, "msg_1", state, string(outcome))
		if last := i.observer.heard[1]; last != "msg_1 user.created "+string(state)+" "+string(outcome) || len(i.observer.lags) != len(i.observer.heard)-1 && state == domain.WebhookApplied {
			t.Errorf("heard %q, lags %v", i.observer.heard, i.observer.lags)
		}
	}
	for removed, reason := range map[bool]string{true: "removed", false: "absent"} {
		i := newInbox()
		i.mirror.removed = removed
		i.receive(t, "msg_0", "user.updated", userOne, usecase.ReceivedQueued)
		i.receive(t, "msg_1", "user.deleted", `{"id":"user_1","deleted":true}`, usecase.ReceivedQueued)
		i.run(t, "msg_1")
		i.wantState(t, "msg_1", domain.WebhookApplied, reason)
		i.wantState(t, "msg_0", domain.WebhookIgnored, "erased") // nothing that identifies the person waits on
		i.run(t, "msg_0")
		if !slices.Equal(i.mirror.asked, []string{"remove user_1 clerk"}) || len(i.observer.lags) != 0 {
			t.Errorf("asked %q, lags %v", i.mirror.asked, i.observer.lags)
		}
	}
}

func TestWhatIsNotStored(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "session.created", `{"id":"sess_1"}`, usecase.ReceivedIgnored)
	if _, err := i.Receive(t.Context(), "msg_2", []byte(`{"type":"user.created"}`)); !errors.Is(err, domain.Malformed) {
		t.Errorf("malformed: %v", err)
	}
	i.Rejected(t.Context())
	list, err := i.desk.List(t.Context(), domain.WebhookStates(), 10)
	if err != nil || len(list) != 0 || len(i.store.QueuedDeliveries()) != 0 {
		t.Errorf("stored %v, %v", list, err)
	}
	if want := []string{"msg_1 other ignored type", "other rejected"}; !slices.Equal(i.observer.heard, want) {
		t.Errorf("heard %q", i.observer.heard)
	}
}

// Of somebody who is erased nothing is stored but that it came, under an older key too.
func TestADeliveryAboutAnErasedPerson(t *testing.T) {
	for n := range 2 {
		i := newInbox()
		i.store.MarkErased(storetest.Hashes.Candidates(domain.PurposeErasedIdentity, "user_1")[n])
		i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedIgnored)
		i.wantState(t, "msg_1", domain.WebhookIgnored, "erased")
		i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedKnown)
		if len(i.store.QueuedDeliveries()) != 0 || len(i.observer.heard) != 3 || i.observer.heard[1] != "msg_1 user.updated ignored erased" {
			t.Errorf("queued %v, heard %q", i.store.QueuedDeliveries(), i.observer.heard)
		}
	}
}

// What no retry makes applicable is dead at once, with its reason and its data, and no job runs in vain.
func TestInapplicableDataIsDeadAtOnce(t *testing.T) {
	for _, data := range []string{`{"id":"user_1"}`, `{"id":"user_1","updated_at":"yesterday"}`} {
		i := newInbox()
		i.receive(t, "msg_1", "user.updated", data, usecase.ReceivedQueued)
		i.run(t, "msg_1")
		d, err := i.store.WebhookDeliveries().Find(t.Context(), "msg_1")
		if err != nil || d.State != domain.WebhookDead || !strings.HasPrefix(d.Reason, "validation-failed: ") || d.SealedData == nil || d.Attempts != 1 {
			t.Errorf("%s: %+v, %v", data, d, err)
		}
		if strings.Contains(d.Reason, "user_1") || strings.Contains(d.Reason, "yesterday") || len(i.mirror.asked) != 0 {
			t.Errorf("%s: reason %q, asked %q", data, d.Reason, i.mirror.asked)
		}
		if last := i.observer.heard[len(i.observer.heard)-1]; !strings.HasPrefix(last, "msg_1 user.updated dead validation-failed") {
			t.Errorf("heard %q", last)
		}
		// Clerk sends it again, repaired.
		i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
		i.run(t, "msg_1")
		i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
	}
}

// A process that dies between any two steps leaves both or neither: what is
// received and queued, and later what is applied and noted.
func TestADeliveryIsWholeOrNotAtAll(t *testing.T) {
	boom := errors.New("boom")
	for _, step := range []string{"identities.lock", "identities.erased", "webhook_deliveries.receive", "jobs.enqueue", "commit"} {
		i := newInbox()
		i.store.Fail = failing(step, boom)
		if _, err := i.Receive(t.Context(), "msg_1", body(t, "user.updated", userOne)); !errors.Is(err, boom) {
			t.Errorf("%s: %v", step, err)
		}
		i.store.Fail = nil
		list, err := i.desk.List(t.Context(), domain.WebhookStates(), 1)
		if err != nil || len(list) != 0 || len(i.store.QueuedDeliveries()) != 0 || len(i.observer.heard) != 0 {
			t.Errorf("%s: stored %v, queued %v, heard %q", step, list, i.store.QueuedDeliveries(), i.observer.heard)
		}
	}
	for _, c := range []struct{ step, eventType string }{
		{"webhook_deliveries.find", "user.updated"}, {"audit.append", "user.updated"}, {"webhook_deliveries.update", "user.updated"}, {"commit", "user.updated"},
		{"audit.append", "user.deleted"}, {"webhook_deliveries.forget", "user.deleted"}, {"webhook_deliveries.update", "user.deleted"}, {"commit", "user.deleted"},
	} {
		i := newInbox()
		i.receive(t, "msg_1", c.eventType, userOne, usecase.ReceivedQueued)
		i.store.Fail = failing(c.step, boom)
		if err := i.Run(t.Context(), "msg_1"); !errors.Is(err, boom) {
			t.Errorf("%+v: %v", c, err)
		}
		i.store.Fail = nil
		i.wantState(t, "msg_1", domain.WebhookReceived, "")
		if i.mirror.effects() != 0 || len(i.observer.heard) != 1 {
			t.Errorf("%+v: %d effects, heard %q", c, i.mirror.effects(), i.observer.heard)
		}
		i.run(t, "msg_1")
		if i.mirror.effects() != 1 {
			t.Errorf("%+v: in the end %d effects", c, i.mirror.effects())
		}
	}
}

func failing(step string, err error) func(string) error {
	return func(operation string) error {
		if operation == step {
			return err
		}
		return nil
	}
}

// A panic of the mirror's leaves nothing behind either.
func TestAPanicLeavesTheDeliveryAsItWas(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	i.mirror.during = func(context.Context) { panic("a bug") }
	func() {
		defer func() { _ = recover() }()
		_ = i.Run(t.Context(), "msg_1")
	}()
	i.wantState(t, "msg_1", domain.WebhookReceived, "")
	i.mirror.during = nil
	i.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
}

func TestFailuresAreNoted(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	failed := func(run usecase.FailedRun) {
		t.Helper()
		if err := i.Failed(t.Context(), "msg_1", run); err != nil {
			t.Error(err)
		}
	}
	failed(usecase.FailedRun{Reason: "away"})
	if d := i.wantState(t, "msg_1", domain.WebhookFailed, "away"); d.Attempts != 0 {
		t.Errorf("%d attempts", d.Attempts)
	}
	failed(usecase.FailedRun{Reason: "odd", Counted: true})
	failed(usecase.FailedRun{Reason: "odder", Counted: true, Final: true})
	if d := i.wantState(t, "msg_1", domain.WebhookDead, "odder"); d.Attempts != 2 {
		t.Errorf("%d attempts", d.Attempts)
	}
	// A second job of the same delivery does not bring it back to what will be retried, but may still apply it.
	failed(usecase.FailedRun{Reason: "later", Counted: true})
	i.wantState(t, "msg_1", domain.WebhookDead, "odder")
	i.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
	failed(usecase.FailedRun{Reason: "too late", Counted: true, Final: true})
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
	want := []string{
		"msg_1 user.updated received", "msg_1 user.updated failed away", "msg_1 user.updated failed odd", "msg_1 user.updated dead odder",
		"msg_1 user.updated applied updated",
	}
	if !slices.Equal(i.observer.heard, want) {
		t.Errorf("heard %q", i.observer.heard)
	}
	if err := i.Failed(t.Context(), "msg_gone", usecase.FailedRun{}); err != nil {
		t.Error(err)
	}
	boom := errors.New("boom")
	i.store.Fail = failing("webhook_deliveries.find", boom)
	if err := i.Failed(t.Context(), "msg_1", usecase.FailedRun{}); !errors.Is(err, boom) {
		t.Errorf("that it could not be noted is not told: %v", err)
	}
}

// A repeat that comes while the old data is being applied keeps its own.
func TestARepeatDuringARun(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	if err := i.Failed(t.Context(), "msg_1", usecase.FailedRun{Reason: "x", Counted: true}); err != nil {
		t.Fatal(err)
	}
	i.mirror.during = func(ctx context.Context) {
		i.mirror.during = nil
		i.clock.Advance(time.Second)
		fresh, err := domain.NewWebhookDelivery("msg_1", domain.WebhookEvent{Type: domain.WebhookUserUpdated, Data: json.RawMessage(userOne)}, storetest.Sealer, storetest.Hashes, i.clock.Now())
		if err != nil {
			t.Error(err)
		}
		if stored, err := i.store.WebhookDeliveries().Receive(ctx, fresh); !stored || err != nil {
			t.Error(stored, err)
		}
	}
	i.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookReceived, "")
	i.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
}

func TestADeliveryAfterKeyRotation(t *testing.T) {
	i := newInbox()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	lost := newInbox(func(d *usecase.InboxDeps) {
		d.Tx, d.Deliveries, d.Sealer = i.store, i.store.WebhookDeliveries(), domain.NewSealer("another")
	})
	if err := lost.Run(t.Context(), "msg_1"); !errors.Is(err, domain.Internal) || strings.Contains(err.Error(), "user_1") || len(lost.mirror.asked) != 0 {
		t.Errorf("without the key: %v", err)
	}
	i.wantState(t, "msg_1", domain.WebhookReceived, "")
	rotated := newInbox(func(d *usecase.InboxDeps) {
		d.Tx, d.Deliveries, d.Sealer = i.store, i.store.WebhookDeliveries(), domain.NewSealer("newest", "storetest-key")
	})
	rotated.mirror.store = i.store
	rotated.run(t, "msg_1")
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
}

func TestReplay(t *testing.T) {
	i := newInbox()
	replay := func(id string, want usecase.Replayed, was domain.WebhookState) {
		t.Helper()
		got, state, err := i.desk.Replay(t.Context(), id)
		if err != nil || got != want || state != was {
			t.Errorf("%s: %s, was %s, %v", id, got, state, err)
		}
	}
	replay("msg_1", usecase.ReplayedUnknown, "")
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	if err := i.Failed(t.Context(), "msg_1", usecase.FailedRun{Reason: "x", Counted: true, Final: true}); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	i.store.Fail = failing("jobs.enqueue", boom)
	if _, _, err := i.desk.Replay(t.Context(), "msg_1"); !errors.Is(err, boom) {
		t.Error(err)
	}
	i.store.Fail = nil
	i.wantState(t, "msg_1", domain.WebhookDead, "x")
	replay("msg_1", usecase.ReplayedQueued, domain.WebhookDead)
	if d := i.wantState(t, "msg_1", domain.WebhookReceived, ""); d.Attempts != 0 || d.ExpiresAt != nil {
		t.Errorf("%+v", d)
	}
	if got := i.store.QueuedDeliveries(); !slices.Equal(got, []string{"msg_1", "msg_1"}) {
		t.Errorf("queued %v", got)
	}
	i.run(t, "msg_1")
	replay("msg_1", usecase.ReplayedDone, domain.WebhookApplied)
	i.wantState(t, "msg_1", domain.WebhookApplied, "updated")
	if len(i.store.QueuedDeliveries()) != 2 {
		t.Error("what is done was queued again")
	}
}

// An erasure clears what waits about the person, and of nobody else.
func TestAnErasureForgetsDeliveries(t *testing.T) {
	i := newInbox()
	deps := i.store.Deps(i.clock, storetest.Hashes)
	profiles := usecase.NewProfiles(deps)
	caller := storetest.Caller("user_1")
	if _, err := profiles.Resolve(t.Context(), caller); err != nil {
		t.Fatal(err)
	}
	fresh := time.Duration(0)
	caller.FactorAge, caller.IssuedAt = &fresh, i.clock.Now()
	i.receive(t, "msg_1", "user.updated", userOne, usecase.ReceivedQueued)
	i.receive(t, "msg_2", "user.updated", `{"id":"user_2","updated_at":1}`, usecase.ReceivedQueued)
	erasure := usecase.NewErasure(usecase.ErasureDeps{ProfilesDeps: deps, Clerk: deletion(i.store, &clerkUsers{}, storetest.Sealer)})
	if _, err := erasure.EraseOwn(t.Context(), caller, domain.IfMatch{}); err != nil {
		t.Fatal(err)
	}
	i.wantState(t, "msg_1", domain.WebhookIgnored, "erased")
	i.wantState(t, "msg_2", domain.WebhookReceived, "")
	i.run(t, "msg_1")
	i.receive(t, "msg_3", "user.updated", userOne, usecase.ReceivedIgnored)
	if len(i.mirror.asked) != 0 {
		t.Errorf("the mirror was asked %q", i.mirror.asked)
	}
}

// A delivery whose job is gone is seen as dead, and can be replayed.
