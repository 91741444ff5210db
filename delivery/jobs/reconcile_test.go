package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/delivery/jobs"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/teststores"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// reconciles gives the world's jobs a walk through Clerk's users that is due, with pages of so many people.
func (w *world) reconciles(t *testing.T, page int) {
	t.Helper()
	stores, hashes := postgres.NewReconciliations(w.db), domain.NewPseudonymizer("a key")
	w.reconcile = jobs.Reconcile{Interval: time.Hour, UseCase: usecase.NewReconcile(usecase.ReconcileDeps{
		Tx: w.db, Clerk: w.users, Runs: stores, Lease: stores, People: stores, Identities: postgres.NewIdentities(w.db), Hashes: hashes,
		Clock: systemClock{}, MaxErasePercent: 20, PageSize: page, Pause: time.Millisecond,
		Mirror: usecase.NewMirror(teststores.Over(w.db, systemClock{}, hashes, domain.Cursors{})),
	})}
	_, err := w.conn.Exec(within(t), "UPDATE reconciliation_lease SET watched_since = now() - interval '2 hours'")
	must(t, err)
}

func (w *world) people(t *testing.T, outcome string) float64 {
	t.Helper()
	return w.metric(t, "reconcile_people_total", "outcome", outcome)
}

// hurryReconcile brings forward the end of a wait.
func (w *world) hurryReconcile(t *testing.T) {
	t.Helper()
	_, err := w.conn.Exec(within(t), "UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE kind = 'reconcile' AND state = 'scheduled'")
	must(t, err)
}

func TestThePeriodicReconciliation(t *testing.T) {
	w := newWorld(t)
	w.reconciles(t, 100)
	id := w.person("noether")
	w.work(t, w.deletion)
	eventually(t, "the run is completed", func() bool { return w.metric(t, "reconcile_runs_total", "outcome", "completed") == 1 })
	if n := ask[int](t, w.conn, "SELECT count(*) FROM profiles"); n != 5 || w.people(t, "created") != 5 || w.people(t, "erased") != 0 {
		t.Errorf("%d profiles, %v created", n, w.people(t, "created"))
	}
	if periodic := ask[bool](t, w.conn, "SELECT periodic FROM reconciliation_runs WHERE outcome = 'completed'"); !periodic {
		t.Error("the run passes for a command's")
	}
	if w.metric(t, "reconcile_runs_total", "outcome", "refused")+w.metric(t, "reconcile_runs_total", "outcome", "failed") != 0 {
		t.Error("a run failed")
	}
	if log := w.log.String(); !strings.Contains(log, "reconciliation finished") || !strings.Contains(log, "created=5") || strings.Contains(log, id) {
		t.Errorf("the log says %s", log)
	}
	eventually(t, "the job is done", func() bool {
		return ask[string](t, w.conn, "SELECT string_agg(state::text, ',') FROM river_job WHERE kind = 'reconcile'") == "completed"
	})
	if args := ask[string](t, w.conn, "SELECT args::text FROM river_job WHERE kind = 'reconcile'"); args != "{}" {
		t.Errorf("the job's arguments are %s", args)
	}
}

// A first start does not walk at once, and without an interval there is no job at all.
func TestNoReconciliationAtTheFirstStart(t *testing.T) {
	for _, on := range []bool{true, false} {
		w := newWorld(t)
		w.reconciles(t, 100)
		if !on {
			w.reconcile.Interval = 0
			_, err := w.conn.Exec(within(t), "INSERT INTO river_job (state, kind, args, max_attempts) VALUES ('available', 'reconcile', '{}', 1)") // another replica's
			must(t, err)
		}
		_, err := w.conn.Exec(within(t), "UPDATE reconciliation_lease SET watched_since = NULL")
		must(t, err)
		w.work(t, w.deletion)
		eventually(t, "the job has looked", func() bool {
			return w.metric(t, "jobs_finished_total", "kind", "reconcile", "outcome", "completed") == 1
		})
		if asked, watched := w.clerk.UserRequests(), ask[bool](t, w.conn, "SELECT watched_since IS NOT NULL FROM reconciliation_lease"); asked != 0 || watched != on {
			t.Errorf("asked %d times; watched: %v", asked, watched)
		}
	}
}

// Clerk's limit puts the job off, for as long as Clerk says, with no attempt used up; then it goes on where it was.
func TestThePeriodicReconciliationIsPutOff(t *testing.T) {
	w := newWorld(t)
	w.reconciles(t, 2)
	w.clerk.BreakPages(2, clerkstandin.Fault{Status: 429, Header: map[string]string{"Retry-After": "3000"}})
	w.work(t, w.deletion)
	state := func() string {
		return ask[string](t, w.conn, "SELECT coalesce(string_agg(state::text, ','), '') FROM river_job WHERE kind = 'reconcile'")
	}
	eventually(t, "it was put off", func() bool { return state() == "scheduled" })
	wait := ask[float64](t, w.conn, "SELECT extract(epoch FROM scheduled_at - now())::float8 FROM river_job WHERE kind = 'reconcile'")
	if wait < 2900 || wait > 3000 || w.people(t, "created") != 2 {
		t.Errorf("it comes back in %v s, after %v people", wait, w.people(t, "created"))
	}
	w.clerk.HealPages()
	w.hurryReconcile(t)
	eventually(t, "it is completed", func() bool { return state() == "completed" })
	if offsets := fmt.Sprint(w.clerk.PagesAsked()); offsets != "[0 2 2 4]" || w.people(t, "created") != 4 {
		t.Errorf("asked for %s, created %v", offsets, w.people(t, "created"))
	}
	if errs := ask[int](t, w.conn, "SELECT coalesce(array_length(errors, 1), 0) FROM river_job WHERE kind = 'reconcile'"); errs != 0 {
		t.Errorf("%d errors", errs)
	}
}

// However many slices came before, an outage is followed by a short wait, not by the hour of a job that failed as often.
func TestManySlicesDoNotStretchTheWait(t *testing.T) {
	w := newWorld(t)
	w.reconciles(t, 2)
	w.clerk.BreakPages(2, clerkstandin.Fault{Status: 503})
	_, err := w.conn.Exec(within(t), `INSERT INTO river_job (state, kind, args, max_attempts, metadata) VALUES ('available', 'reconcile', '{}', 3, '{"snoozes": 500}')`)
	must(t, err)
	w.work(t, w.deletion)
	eventually(t, "it was put off", func() bool {
		return ask[int](t, w.conn, "SELECT count(*) FROM river_job WHERE kind = 'reconcile' AND state = 'scheduled'") >= 1
	})
	if wait := ask[float64](t, w.conn, "SELECT max(extract(epoch FROM scheduled_at - now()))::float8 FROM river_job WHERE kind = 'reconcile'"); wait > 60 {
		t.Errorf("it comes back in %v s", wait)
	}
}

// What waiting does not mend fails the job, is counted, and the run is gone on with.
func TestThePeriodicReconciliationFails(t *testing.T) {
	w := newWorld(t)
	w.reconciles(t, 2)
	w.clerk.BreakPages(2, clerkstandin.Fault{Status: 401})
	w.work(t, w.deletion)
	eventually(t, "it has failed for the last time", func() bool {
		return ask[int](t, w.conn, "SELECT count(*) FROM river_job WHERE kind = 'reconcile' AND state = 'discarded'") == 1
	})
	if n := w.metric(t, "reconcile_runs_total", "outcome", "failed"); n != 3 {
		t.Errorf("%v failures", n)
	}
	if offset := ask[int](t, w.conn, "SELECT next_offset FROM reconciliation_runs WHERE finished_at IS NULL"); offset != 2 {
		t.Errorf("the run stands at %d", offset)
	}
}

// Nobody is erased beyond the share, nobody is asked about, and the operator hears of it.
func TestThePeriodicReconciliationRefuses(t *testing.T) {
	w := newWorld(t)
	w.reconciles(t, 100)
	_, err := w.conn.Exec(within(t), `INSERT INTO profiles (id, clerk_user_id, handle, created_at, updated_at)
		SELECT gen_random_uuid(), 'user_gone' || n, 'gone' || n, now() - interval '1 day', now() FROM generate_series(1, 10) n`)
	must(t, err)
	w.work(t, w.deletion)
	eventually(t, "it is refused", func() bool { return w.metric(t, "reconcile_runs_total", "outcome", "refused") == 1 })
	if n := ask[int](t, w.conn, "SELECT count(*) FROM profiles"); n != 14 || w.people(t, "refused") != 10 || w.clerk.UserRequests() != 2 {
		t.Errorf("%d profiles, %v refused, %d requests", n, w.people(t, "refused"), w.clerk.UserRequests())
	}
	if !strings.Contains(w.log.String(), "level=ERROR msg=\"reconciliation refused") {
		t.Errorf("the log says %s", w.log.String())
	}
}

// The end of the process puts the slice back; another process goes on.
func TestAnInterruptedReconciliationGoesOnElsewhere(t *testing.T) {
	w := newWorld(t)
	w.users = usersWithPatience(t, w, liveness)
	w.reconciles(t, 2)
	w.clerk.BreakPages(2, clerkstandin.Fault{Hang: true})
	runner := w.work(t, w.deletion)
	eventually(t, "Clerk is asked for the second page", func() bool { return w.clerk.UserRequests() == 2 })
	ctx, cancel := context.WithTimeout(within(t), 4*time.Second)
	defer cancel()
	runner.Drain(ctx)
	if held := ask[bool](t, w.conn, "SELECT owner IS NOT NULL FROM reconciliation_lease"); held {
		t.Error("the lease is held on")
	}
	if state := ask[string](t, w.conn, "SELECT string_agg(state::text, ',') FROM river_job WHERE kind = 'reconcile'"); state != "available" {
		t.Errorf("the job is %s", state)
	}
	w.clerk.HealPages()
	s, err := w.reconcile.UseCase.Slice(within(t), time.Hour, nil)
	if err != nil || !s.Finished || s.Done.Created != 2 || s.Run.Counts.Created != 4 || errors.Is(err, domain.Conflict) {
		t.Errorf("slice %+v, %v", s, err)
	}
}
