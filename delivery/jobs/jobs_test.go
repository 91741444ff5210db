package jobs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func TestADeletionIsDone(t *testing.T) {
	w := newWorld(t)
	id, other := w.person("noether"), w.person("hypatia")
	w.work(t, w.deletion)
	must(t, w.deletion.Request(within(t), id))
	eventually(t, "the job is done", func() bool { return w.jobState(t) == "completed" })
	if w.known(id) || !w.known(other) || w.pending(t) != 0 {
		t.Errorf("Clerk knows the person: %v, another: %v; pending: %d", w.known(id), w.known(other), w.pending(t))
	}
	w.wantNameless(t, "afterwards", id)
	if w.runs(t, "completed") != 1 || w.metric(t, "jobs_duration_seconds", "kind", "clerk_deletion") != 1 {
		t.Error("the metrics do not show one run")
	}
	// Nothing hinders an operator from running it again.
	_, err := w.conn.Exec(within(t), "UPDATE river_job SET state = 'available', finalized_at = NULL, scheduled_at = now() WHERE kind = 'clerk_deletion'")
	must(t, err)
	eventually(t, "the job is done again", func() bool { return w.runs(t, "completed") == 2 })
	if w.clerk.UserRequests() != 1 {
		t.Errorf("Clerk was asked %d times", w.clerk.UserRequests())
	}
}

// An erasure that fails leaves no job: it is in the same transaction.
func TestADeletionIsRequestedInTheErasuresTransaction(t *testing.T) {
	w := newWorld(t)
	w.work(t, w.deletion)
	boom := errors.New("boom")
	spared, id := w.person("noether"), w.person("hypatia")
	err := w.db.WithinTx(within(t), func(ctx context.Context) error {
		return errors.Join(w.deletion.Request(ctx, spared), boom)
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	must(t, w.deletion.Request(within(t), id)) // and what comes later is worked
	eventually(t, "the other job is done", func() bool { return w.jobState(t) == "completed" })
	if !w.known(spared) || w.pending(t) != 0 {
		t.Errorf("known: %v, pending: %d", w.known(spared), w.pending(t))
	}
}

// While Clerk is away the deletion is put off, however often, and nothing that is stored or logged names the person.
func TestADeletionOutlastsClerksAbsence(t *testing.T) {
	for name, fault := range map[string]clerkstandin.Fault{
		"500":   {Status: 500},
		"hangs": {Hang: true},
		"429":   {Status: 429, Header: map[string]string{"Retry-After": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.person("noether")
			w.clerk.Break(fault)
			w.work(t, w.deletion)
			must(t, w.deletion.Request(within(t), id))
			w.wantNameless(t, "at once", id)
			eventually(t, "it was put off twice", func() bool {
				w.wantNameless(t, "meanwhile", id)
				w.hurry(t)
				return w.runs(t, "snoozed") >= 2
			})
			if !w.known(id) || w.pending(t) != 1 {
				t.Fatalf("known: %v, pending: %d", w.known(id), w.pending(t))
			}
			if attempts := ask[int](t, w.conn, "SELECT max(attempt) + coalesce(max(array_length(errors, 1)), 0) FROM river_job WHERE kind = 'clerk_deletion'"); attempts > 1 {
				t.Errorf("%d attempts were used up", attempts)
			}
			w.clerk.Heal()
			eventually(t, "the person is deleted", func() bool { w.hurry(t); return !w.known(id) && w.pending(t) == 0 })
			eventually(t, "the job is done", func() bool { return w.jobState(t) == "completed" })
			w.wantNameless(t, "afterwards", id)
		})
	}
}

// Clerk says when to come back, and is believed.
func TestRetryAfterIsHonoured(t *testing.T) {
	w := newWorld(t)
	id := w.person("noether")
	w.clerk.Break(clerkstandin.Fault{Status: 429, Header: map[string]string{"Retry-After": "3000"}})
	w.work(t, w.deletion)
	must(t, w.deletion.Request(within(t), id))
	eventually(t, "it was put off", func() bool { return w.jobState(t) == "scheduled" })
	if wait := ask[float64](t, w.conn, "SELECT extract(epoch FROM scheduled_at - now())::float8 FROM river_job WHERE kind = 'clerk_deletion'"); wait < 2900 || wait > 3000 {
		t.Errorf("it comes back in %v s", wait)
	}
}

// What waiting does not mend uses up attempts, leaves a text for the operator, and is gone when somebody has mended it.
func TestADeletionThatClerkRefuses(t *testing.T) {
	w := newWorld(t)
	id := w.person("noether")
	w.clerk.Break(clerkstandin.Fault{Status: 401, Body: []byte(`{"errors":[{"code":"x","message":"` + id + `"}]}`)})
	w.work(t, w.deletion)
	must(t, w.deletion.Request(within(t), id))
	eventually(t, "it has failed twice", func() bool { return w.runs(t, "retried") >= 2 })
	eventually(t, "River notes it", func() bool {
		return ask[bool](t, w.conn, "SELECT coalesce(array_length(errors, 1), 0) >= 2 FROM river_job WHERE kind = 'clerk_deletion'")
	})
	w.wantNameless(t, "meanwhile", id)
	if text := ask[string](t, w.conn, "SELECT errors[1]->>'error' FROM river_job WHERE kind = 'clerk_deletion'"); text != "internal: Clerk answered with status 401." {
		t.Errorf("the operator reads %q", text)
	}
	if !strings.Contains(w.log.String(), "status 401") {
		t.Error("the log does not say why")
	}
	w.clerk.Heal()
	eventually(t, "the job is done", func() bool { return w.jobState(t) == "completed" })
	if w.known(id) || w.pending(t) != 0 {
		t.Errorf("known: %v, pending: %d", w.known(id), w.pending(t))
	}
}

func TestADeletionIsGivenUpAfterItsLastAttempt(t *testing.T) {
	w := newWorld(t)
	id := w.person("noether")
	w.clerk.Break(clerkstandin.Fault{Status: 403})
	must(t, w.deletion.Request(within(t), id))
	if most := ask[int](t, w.conn, "SELECT max_attempts FROM river_job"); most < 24*7*4 {
		t.Errorf("%d attempts are not many weeks", most)
	}
	_, err := w.conn.Exec(within(t), "UPDATE river_job SET max_attempts = 2")
	must(t, err)
	w.work(t, w.deletion)
	eventually(t, "it is given up", func() bool { return w.jobState(t) == "discarded" })
	if w.runs(t, "discarded") != 1 || w.runs(t, "retried") != 1 || w.pending(t) != 1 || !strings.Contains(w.log.String(), "level=ERROR msg=job") {
		t.Errorf("discarded %v, retried %v, pending %d", w.runs(t, "discarded"), w.runs(t, "retried"), w.pending(t))
	}
}

// Two runs of one job at once, as when a process that was thought dead goes on.
func TestTwoRunsAtOnceAreHarmless(t *testing.T) {
	w := newWorld(t)
	id := w.person("noether")
	must(t, w.deletion.Request(within(t), id))
	row := ask[string](t, w.conn, "SELECT id::text FROM clerk_deletions")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := w.deletion.Run(context.Background(), row); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if w.known(id) || w.pending(t) != 0 {
		t.Errorf("known: %v, pending: %d", w.known(id), w.pending(t))
	}
}

func TestADeletionOutlivesARotationOfTheKey(t *testing.T) {
	w := newWorld(t)
	id := w.person("noether")
	must(t, w.deletions(t, domain.NewSealer("last year's key")).Request(within(t), id))
	w.work(t, w.deletions(t, domain.NewSealer("this year's key", "last year's key")))
	eventually(t, "the job is done", func() bool { return w.jobState(t) == "completed" })
	if w.known(id) {
		t.Error("the person is still there")
	}
}

// The purge runs as soon as jobs run.
func TestThePurgeRunsAtStart(t *testing.T) {
	w := newWorld(t)
	_, err := w.conn.Exec(within(t), `INSERT INTO handle_reservations (handle_hash, profile_id, reserved_until)
		SELECT 'over' || n, gen_random_uuid(), now() - interval '1 hour' FROM generate_series(1, 2300) n
		UNION ALL SELECT 'held', gen_random_uuid(), now() + interval '1 hour'`)
	must(t, err)
	w.work(t, w.deletion)
	eventually(t, "the purge is done", func() bool {
		return w.metric(t, "jobs_finished_total", "kind", "purge", "outcome", "completed") == 1
	})
	if left := ask[string](t, w.conn, "SELECT string_agg(handle_hash, ',') FROM handle_reservations"); left != "held" {
		t.Errorf("left: %s", left)
	}
}

// A process that ends puts its job back at once, for the next one.
func TestAnInterruptedDeletionGoesBackIntoTheQueue(t *testing.T) {
	w := newWorld(t)
	id := w.person("noether")
	w.clerk.Break(clerkstandin.Fault{Hang: true})
	w.users = usersWithPatience(t, w, liveness)
	w.deletion = w.deletions(t, domain.NewSealer("a key"))
	runner := w.work(t, w.deletion)
	must(t, w.deletion.Request(within(t), id))
	eventually(t, "Clerk is asked", func() bool { return w.clerk.UserRequests() == 1 })
	ctx, cancel := context.WithTimeout(within(t), 4*time.Second)
	defer cancel()
	runner.Drain(ctx)
	if got := w.jobState(t); got != "available" || w.runs(t, "snoozed") != 1 {
		t.Errorf("the job is %s", got)
	}
	if n := ask[int](t, w.conn, "SELECT attempt FROM river_job WHERE kind = 'clerk_deletion'"); n != 0 {
		t.Errorf("%d attempts were used up", n)
	}
	w.wantNameless(t, "afterwards", id)
}
