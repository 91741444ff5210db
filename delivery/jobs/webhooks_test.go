package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/delivery/jobs"
	"github.com/profile-api/profile-api/delivery/ops"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/teststores"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	inboxHashes = domain.NewPseudonymizer("a key")
	inboxSealer = domain.NewSealer("a key")
)

// inboxWorld is a world with Clerk's deliveries in it.
type inboxWorld struct {
	*world
	*usecase.Inbox
	stores usecase.ProfilesDeps
	desk   *usecase.InboxDesk
	ids    atomic.Int64
	// after runs when the mirror has done its work, in the transaction; set it before jobs run.
	after func(ctx context.Context, run int64) error
	runs  atomic.Int64
}

func newInboxWorld(t *testing.T, change ...func(*usecase.InboxDeps)) *inboxWorld {
	t.Helper()
	w := &inboxWorld{world: newWorld(t)}
	w.stores = teststores.Over(w.db, systemClock{}, inboxHashes, domain.Cursors{})
	deps := usecase.InboxDeps{
		Tx: w.db, Deliveries: postgres.NewWebhookDeliveries(w.db), Queue: w.stores.Queue, Identities: w.stores.Identities,
		Mirror: troubledMirror{usecase.NewMirror(w.stores), w}, Sealer: inboxSealer, Hashes: inboxHashes, Clock: systemClock{},
		Observer: ops.NewInbox(w.registry, w.logger()),
	}
	for _, c := range change {
		c(&deps)
	}
	w.Inbox = usecase.NewInbox(deps)
	w.desk = usecase.NewInboxDesk(usecase.InboxDeskDeps{Tx: w.db, Deliveries: deps.Deliveries, Queue: w.stores.Queue, Clock: systemClock{}, Observer: deps.Observer})
	return w
}

// troubledMirror is the real one, with what the test has happen after its work.
type troubledMirror struct {
	*usecase.Mirror
	w *inboxWorld
}

func (m troubledMirror) Apply(ctx context.Context, u domain.ClerkUser, from domain.MirrorSource) (usecase.MirrorOutcome, error) {
	outcome, err := m.Mirror.Apply(ctx, u, from)
	if run := m.w.runs.Add(1); err == nil && m.w.after != nil {
		err = m.w.after(ctx, run)
	}
	return outcome, err
}

// start works the jobs, on a registry of its own after the first time.
func (w *inboxWorld) start(t *testing.T) {
	t.Helper()
	w.work(t, w.deletion, func(d *jobs.Deps) {
		d.Inbox = w.Inbox
		if w.ids.Add(1) > 1 {
			d.Registry = prometheus.NewRegistry()
		}
	})
}

func (w *inboxWorld) receive(t *testing.T, id, eventType string, p clerkstandin.Person) {
	t.Helper()
	result, err := w.Receive(within(t), id, clerkstandin.Event(eventType, p, time.Now()))
	if err != nil || result != usecase.ReceivedQueued {
		t.Fatalf("%s: %s, %v", id, result, err)
	}
}

// state is that of a delivery, with its reason, its attempts and whether its data is there.
func (w *inboxWorld) state(t *testing.T, id string) string {
	t.Helper()
	return ask[string](t, w.conn, `SELECT coalesce(max(state || ' (' || reason || ') ' || attempts || CASE WHEN sealed_data IS NULL THEN '' ELSE ' sealed' END), '')
		FROM webhook_deliveries WHERE id = $1`, id)
}

func (w *inboxWorld) awaitState(t *testing.T, id, want string) {
	t.Helper()
	eventually(t, id+" is "+want, func() bool { w.hurryDeliveries(t); return w.state(t, id) == want })
}

// hurryDeliveries brings forward the end of a wait.
func (w *inboxWorld) hurryDeliveries(t *testing.T) {
	t.Helper()
	_, err := w.conn.Exec(within(t), "UPDATE river_job SET scheduled_at = now() WHERE kind = 'webhook_delivery' AND state IN ('scheduled', 'retryable', 'available') AND scheduled_at > now()")
	must(t, err)
}

func (w *inboxWorld) lastAttempt(t *testing.T, attempts int) {
	t.Helper()
	_, err := w.conn.Exec(within(t), "UPDATE river_job SET max_attempts = $1 WHERE kind = 'webhook_delivery'", attempts)
	must(t, err)
}

func (w *inboxWorld) audited(t *testing.T, action string) int {
	t.Helper()
	return ask[int](t, w.conn, "SELECT count(*) FROM audit_events WHERE action = $1", action)
}

func (w *inboxWorld) emails(t *testing.T) string {
	t.Helper()
	return ask[string](t, w.conn, "SELECT coalesce(string_agg(email, ',' ORDER BY email), '') FROM profiles")
}

func newPerson(name string) clerkstandin.Person {
	p := clerkstandin.NewPerson(name, "Emmy", "Noether", "")
	p.UpdatedAt = p.CreatedAt.Add(time.Hour)
	return p
}

func TestADeliveryIsApplied(t *testing.T) {
	w := newInboxWorld(t)
	p := newPerson("noether")
	w.receive(t, "msg_1", "user.created", p)
	w.wantNameless(t, "before it is applied", p.ID)
	if attempts := ask[int](t, w.conn, "SELECT max_attempts FROM river_job WHERE kind = 'webhook_delivery'"); attempts < 30 || attempts > 40 {
		t.Errorf("%d attempts are not about a day", attempts)
	}
	w.start(t)
	w.awaitState(t, "msg_1", "applied (created) 0")
	if w.emails(t) != p.Email || w.audited(t, "profile.created") != 1 {
		t.Errorf("profiles of %s, %d events", w.emails(t), w.audited(t, "profile.created"))
	}
	w.receive(t, "msg_2", "user.deleted", p)
	w.awaitState(t, "msg_2", "applied (removed) 0")
	w.wantNameless(t, "after the deletion", p.ID)
	for _, name := range []string{p.Email, p.ImageURL} {
		if strings.Contains(w.dump(t), name) || strings.Contains(w.log.String(), name) {
			t.Errorf("%s is left", name)
		}
	}
	for name, want := range map[string]float64{"user.created applied": 1, "user.deleted applied": 1, "user.created failed": 0} {
		eventType, outcome, _ := strings.Cut(name, " ")
		if got := w.metric(t, "webhook_events_total", "type", eventType, "outcome", outcome); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if w.metric(t, "webhook_lag_seconds") != 1 || w.metric(t, "jobs_finished_total", "kind", "webhook_delivery", "outcome", "completed") != 2 {
		t.Error("the metrics do not show it")
	}
}

// A run that fails or panics between the mirror's work and the note leaves
// neither, and the next one does both.
func TestAFailedRunLeavesNothingBehind(t *testing.T) {
	for name, trouble := range map[string]func() error{
		"an error": func() error { return errors.New("user_2Secret") },
		"a panic":  func() error { panic("user_2Secret") },
		"a fault":  func() error { return domain.NewError(domain.Conflict, domain.CodeConflict, "Somebody was faster.") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newInboxWorld(t)
			seen := make(chan string, 1)
			w.after = func(_ context.Context, run int64) error {
				if run == 3 {
					seen <- "third"
				}
				if run < 3 {
					return trouble()
				}
				return nil
			}
			w.receive(t, "msg_1", "user.created", newPerson("noether"))
			w.lastAttempt(t, 10)
			w.start(t)
			eventually(t, "it has failed twice", func() bool { w.hurryDeliveries(t); return len(seen) == 1 })
			w.awaitState(t, "msg_1", "applied (created) 2")
			if n := w.audited(t, "profile.created"); n != 1 {
				t.Errorf("%d profiles were created", n)
			}
			if w.metric(t, "webhook_events_total", "type", "user.created", "outcome", "failed") != 2 {
				t.Error("the failures were not counted")
			}
			for where, text := range map[string]string{"the log": w.log.String(), "the database": w.dump(t)} {
				if strings.Contains(text, "2Secret") {
					t.Errorf("%s holds the text of the error", where)
				}
			}
		})
	}
}

// What waiting may not mend is tried to the last attempt, is dead then with its
// reason and its data, and lives again by a command or by Clerk's repeat.
func TestADeadDeliveryIsReplayed(t *testing.T) {
	for name, replay := range map[string]func(t *testing.T, w *inboxWorld){
		"by the command": func(t *testing.T, w *inboxWorld) {
			result, was, err := w.desk.Replay(within(t), "msg_1")
			if err != nil || result != usecase.ReplayedQueued || was != domain.WebhookDead {
				t.Errorf("%s, was %s, %v", result, was, err)
			}
		},
		"by Clerk": func(t *testing.T, w *inboxWorld) { w.receive(t, "msg_1", "user.created", newPerson("noether")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newInboxWorld(t)
			var healed atomic.Bool
			w.after = func(context.Context, int64) error {
				if healed.Load() {
					return nil
				}
				return domain.NewError(domain.Internal, domain.CodeInternal, "It is broken.")
			}
			w.receive(t, "msg_1", "user.created", newPerson("noether"))
			w.lastAttempt(t, 2)
			w.start(t)
			w.awaitState(t, "msg_1", "dead (internal: It is broken.) 2 sealed")
			eventually(t, "the job is given up", func() bool {
				return ask[int](t, w.conn, "SELECT count(*) FROM river_job WHERE kind = 'webhook_delivery' AND state = 'discarded'") == 1
			})
			counts, err := w.db.OpenDeliveries(within(t))
			if err != nil || counts[domain.WebhookDead] != 1 || !strings.Contains(w.log.String(), "level=ERROR msg=webhook delivery_id=msg_1") {
				t.Errorf("dead: %v, %v", counts, err)
			}
			healed.Store(true)
			replay(t, w)
			w.awaitState(t, "msg_1", "applied (created) 0")
			if left, err := w.db.DiscardedJobs(within(t)); err != nil || len(left) != 0 {
				t.Errorf("given up are still %v, %v", left, err)
			}
		})
	}
}

// That the database, say, is away uses up no attempt, however often.
func TestWaitingUsesNoAttempt(t *testing.T) {
	w := newInboxWorld(t)
	w.after = func(_ context.Context, run int64) error {
		if run <= 3 {
			return domain.UnavailableError(errors.New("away"), 0)
		}
		return nil
	}
	w.receive(t, "msg_1", "user.created", newPerson("noether"))
	w.lastAttempt(t, 1)
	w.start(t)
	w.awaitState(t, "msg_1", "applied (created) 0")
	if n := w.runs.Load(); n != 4 {
		t.Errorf("%d runs", n)
	}
}

// forgetful cannot note a death the first time.
type forgetful struct {
	*postgres.WebhookDeliveries
	forgot atomic.Int64
}

func (f *forgetful) Update(ctx context.Context, d domain.WebhookDelivery, from ...domain.WebhookState) (bool, error) {
	if d.State == domain.WebhookDead && f.forgot.Add(1) == 1 {
		return false, domain.UnavailableError(errors.New("away"), 0)
	}
	return f.WebhookDeliveries.Update(ctx, d, from...)
}

// A delivery whose last run cannot be noted is not lost without a word.
func TestADeathIsNotedInTheEnd(t *testing.T) {
	store := &forgetful{}
	w := newInboxWorld(t, func(d *usecase.InboxDeps) {
		store.WebhookDeliveries, _ = d.Deliveries.(*postgres.WebhookDeliveries)
		d.Deliveries = store
	})
	w.after = func(context.Context, int64) error { return errors.New("broken") }
	w.receive(t, "msg_1", "user.created", newPerson("noether"))
	w.lastAttempt(t, 1)
	w.start(t)
	w.awaitState(t, "msg_1", "dead (an error of the type *errors.errorString) 1 sealed")
	if store.forgot.Load() != 2 {
		t.Errorf("noted %d times", store.forgot.Load())
	}
}

func TestInapplicableDataStaysWithItsReason(t *testing.T) {
	w := newInboxWorld(t)
	_, err := w.Receive(within(t), "msg_1", clerkstandin.EventOf("user.updated", map[string]any{"id": "user_2Secret"}, time.Now()))
	must(t, err)
	w.start(t)
	eventually(t, "it is dead", func() bool { return strings.HasPrefix(w.state(t, "msg_1"), "dead (validation-failed: ") })
	eventually(t, "the job is done", func() bool {
		return ask[int](t, w.conn, "SELECT count(*) FROM river_job WHERE kind = 'webhook_delivery' AND state = 'completed'") == 1
	})
	if state := w.state(t, "msg_1"); !strings.Contains(state, "updated_at") || !strings.HasSuffix(state, " 1 sealed") {
		t.Error(state)
	}
	w.wantNameless(t, "afterwards", "user_2Secret")
}

// An erasure clears what waits, whatever its state; what comes later is not stored.
func TestAnErasureLeavesNoDelivery(t *testing.T) {
	w := newInboxWorld(t)
	p := newPerson("noether")
	w.receive(t, "msg_created", "user.created", p)
	must(t, w.Run(within(t), "msg_created"))
	for _, id := range []string{"msg_waiting", "msg_failed", "msg_dead"} {
		w.receive(t, id, "user.updated", p)
	}
	must(t, w.Failed(within(t), "msg_failed", usecase.FailedRun{Reason: "x", Counted: true}))
	must(t, w.Failed(within(t), "msg_dead", usecase.FailedRun{Reason: "x", Counted: true, Final: true}))
	fresh := time.Duration(0)
	caller := domain.Caller{Principal: domain.Principal{UserID: p.ID, FactorAge: &fresh, IssuedAt: time.Now()}}
	_, err := usecase.NewErasure(usecase.ErasureDeps{ProfilesDeps: w.stores, Clerk: w.deletion}).EraseOwn(within(t), caller, domain.IfMatch{})
	must(t, err)
	if n := ask[int](t, w.conn, "SELECT count(*) FROM webhook_deliveries WHERE sealed_data IS NOT NULL"); n != 0 {
		t.Errorf("%d deliveries keep their data", n)
	}
	late, err := w.Receive(within(t), "msg_late", clerkstandin.Event("user.updated", p, time.Now()))
	if err != nil || late != usecase.ReceivedIgnored {
		t.Errorf("late: %s, %v", late, err)
	}
	w.start(t)
	for _, id := range []string{"msg_waiting", "msg_failed", "msg_dead", "msg_late"} {
		eventually(t, id+" is ignored", func() bool { return strings.HasPrefix(w.state(t, id), "ignored (erased)") })
	}
	w.wantNameless(t, "afterwards", p.ID)
	if w.emails(t) != "" {
		t.Errorf("profiles of %s", w.emails(t))
	}
}

// Any order and number of deliveries, worked by two processes at once, ends alike.
func TestDeliveriesInAnyOrder(t *testing.T) {
	w := newInboxWorld(t)
	var want []string
	var bodies []struct {
		id   string
		body []byte
	}
	add := func(eventType string, p clerkstandin.Person) {
		for range 1 + rand.N(2) {
			id := fmt.Sprint("msg_", len(bodies))
			bodies = append(bodies, struct {
				id   string
				body []byte
			}{id, clerkstandin.Event(eventType, p, time.Now())})
		}
	}
	for i := range 20 {
		p := newPerson(fmt.Sprint("person", i))
		add("user.created", p)
		for step := range 2 {
			p.UpdatedAt = p.UpdatedAt.Add(time.Minute)
			p.Email = fmt.Sprintf("p%02d.%d@example.org", i, step)
			add("user.updated", p)
		}
		if i%2 == 0 {
			add("user.deleted", p)
			continue
		}
		want = append(want, p.Email)
	}
	rand.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	w.start(t)
	w.start(t)
	for _, b := range bodies {
		_, err := w.Receive(within(t), b.id, b.body)
		must(t, err)
	}
	eventually(t, "all are done with", func() bool {
		w.hurryDeliveries(t)
		return ask[int](t, w.conn, "SELECT count(*) FROM webhook_deliveries WHERE state IN ('applied', 'ignored')") == len(bodies)
	})
	if got := w.emails(t); got != strings.Join(want, ",") {
		t.Errorf("profiles of %s, want %s", got, want)
	}
	if n := ask[int](t, w.conn, "SELECT count(*) FROM erased_identities"); n != 10 {
		t.Errorf("%d marks", n)
	}
}

// What asks a Clerk that hangs does not keep back what needs nobody: a delivery
// has its turn before the looks that wait.
func TestDeliveriesGoBeforeWhatAsksClerk(t *testing.T) {
	w := newInboxWorld(t)
	w.clerk.Break(clerkstandin.Fault{Hang: true})
	const looks, workers = 40, 4
	must(t, w.db.WithinTx(within(t), func(ctx context.Context) error {
		for range looks {
			p := storetest.Profile(storetest.Handle())
			if _, err := w.stores.Profiles.Insert(ctx, p); err != nil {
				return err
			}
			if err := w.stores.Queue.EnqueueProfileRefresh(ctx, domain.ProfileRefreshJob{ID: p.ID}, systemClock{}.Now()); err != nil {
				return err
			}
		}
		return nil
	}))
	w.work(t, w.deletion, func(d *jobs.Deps) {
		d.Inbox, d.Refresh = w.Inbox, usecase.NewRefresh(w.stores, w.users, usecase.NewMirror(w.stores))
	})
	eventually(t, "the first look hangs", func() bool { return w.clerk.UserRequests() > 0 })
	before := w.clerk.UserRequests()
	w.receive(t, "msg_1", "user.created", newPerson("noether"))
	eventually(t, "the delivery is applied", func() bool {
		return ask[string](t, w.conn, "SELECT state FROM webhook_deliveries WHERE id = 'msg_1'") == "applied"
	})
	if n := w.clerk.UserRequests() - before; n > 4*workers { // those that ran, and a few rounds of a slow machine
		t.Errorf("%d looks went before the delivery", n)
	}
}
