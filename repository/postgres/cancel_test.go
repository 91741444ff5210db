package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

const sleeping = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep%'
	AND state = 'active' AND pid <> pg_backend_pid()`

func awaitSleep(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	eventually(t, "the statement runs, or is gone, in PostgreSQL", func() bool { return ask[int](t, conn, sleeping) == n })
}

// A request that ends takes its statement in PostgreSQL with it, inside and
// outside of a transaction, and the connection serves on.
func TestTheEndOfTheContextStopsTheStatement(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	db := openDB(t, postgres.Options{URL: url, MaxOpen: 1, StatementTimeout: 10 * time.Minute})
	sleep := func(ctx context.Context) error {
		return postgres.Translate(ctx, db.Conn(ctx).Exec("SELECT pg_sleep(300)").Error)
	}
	backend := func() (pid int) {
		must(t, db.Conn(within(t)).Raw("SELECT pg_backend_pid()").Scan(&pid).Error)
		return pid
	}
	before := backend()
	for name, run := range map[string]func(context.Context) error{
		"a statement":   sleep,
		"a transaction": func(ctx context.Context) error { return db.WithinTx(ctx, sleep) },
	} {
		gone, hangUp := context.WithCancel(within(t))
		result := make(chan error, 1)
		go func() { result <- run(gone) }()
		awaitSleep(t, conn, 1)
		hangUp()
		if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, domain.Timeout) {
			t.Errorf("%s, client gone: %v", name, err)
		}
		awaitSleep(t, conn, 0)

		late, cancel := context.WithTimeout(within(t), 300*time.Millisecond)
		if err := run(late); !errors.Is(err, domain.Timeout) {
			t.Errorf("%s, deadline: %v", name, err)
		}
		cancel()
		awaitSleep(t, conn, 0)
	}
	if after := backend(); after != before {
		t.Errorf("the connection was lost: backend %d became %d", before, after)
	}
}

// A client that goes away in the middle of a first request leaves nothing, at
// whichever statement.
func TestAClientGoneInTheMiddleLeavesNothing(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	for n := 1; n <= 8; n++ {
		gone, hangUp := context.WithCancel(within(t))
		tracer := &hangUpAt{n: n, hangUp: hangUp}
		profiles := usecase.NewProfiles(deps(openDB(t, postgres.Options{URL: url, Tracer: tracer})))
		id := newClerkID()
		_, err := profiles.Resolve(gone, caller(id))
		switch {
		case n == 8 && err == nil: // the commit was on its way already: all of it counts
			continue
		case !errors.Is(err, context.Canceled):
			t.Errorf("gone at statement %d: %v", n, err)
		}
		if p := ask[int](t, conn, "SELECT count(*) FROM profiles WHERE clerk_user_id = $1", id); p != 0 {
			t.Errorf("gone at statement %d: a profile is there", n)
		}
	}
	p, pr, e := counts(t, conn)
	if p != pr || p != e || p > 1 {
		t.Errorf("%d profiles, %d preferences, %d events", p, pr, e)
	}
}

// hangUpAt ends the request's context as its n-th statement begins.
type hangUpAt struct {
	n, seen int
	hangUp  context.CancelFunc
}

func (h *hangUpAt) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if h.seen++; h.seen == h.n {
		h.hangUp()
	}
	return ctx
}

func (h *hangUpAt) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// While the person's row is locked elsewhere, a deadline ends the wait and
// nothing is written.
func TestADeadlineEndsTheWaitForARow(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	profiles := usecase.NewProfiles(deps(openDB(t, postgres.Options{URL: url})))
	p, err := profiles.Resolve(within(t), caller("user_1"))
	must(t, err)
	lock, err := conn.Begin(within(t))
	must(t, err)
	_, err = lock.Exec(within(t), "SELECT 1 FROM profiles WHERE id = $1 FOR UPDATE", p.ID)
	must(t, err)
	late, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	_, err = profiles.UpdateOwn(late, storetest.Caller("user_1"), domain.ProfilePatch{Bio: domain.Some("late")}, domain.IfMatch{})
	if !errors.Is(err, domain.Timeout) {
		t.Errorf("got %v", err)
	}
	must(t, lock.Rollback(within(t)))
	after, err := profiles.Resolve(within(t), caller("user_1"))
	must(t, err)
	if after.Version != 1 || after.Bio != nil {
		t.Errorf("%+v", after)
	}
}
