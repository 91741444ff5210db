package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// A hundred first requests at once, on two replicas, create one of everything
// and none fails.
func TestFirstRequestsAtOnceOnTwoReplicas(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	t.Cleanup(func() { noDeadlocks(t, conn) })
	var replicas []*usecase.Profiles
	for range 2 {
		// Patience for a machine under load; the queue itself is what is tested.
		replicas = append(replicas, usecase.NewProfiles(deps(openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second}))))
	}
	const rounds = 5
	for range rounds {
		id := newClerkID()
		start := make(chan struct{})
		ids := make(chan string, 100)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				<-start
				p, err := replicas[i%2].Resolve(within(t), caller(id))
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				ids <- p.ID
			})
		}
		close(start)
		wg.Wait()
		close(ids)
		first := <-ids
		for got := range ids {
			if got != first {
				t.Errorf("two profiles: %s and %s", first, got)
			}
		}
	}
	if p, pr, e := counts(t, conn); p != rounds || pr != rounds || e != rounds {
		t.Errorf("%d profiles, %d preferences, %d events; want %d each", p, pr, e, rounds)
	}
}

// Many people at once whose first random handles collide.
func TestFirstRequestsWithCollidingHandles(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	t.Cleanup(func() { noDeadlocks(t, conn) })
	d := deps(openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second}))
	var draws atomic.Int64
	d.NewHandle = func() (string, error) {
		n := draws.Add(1)
		if n <= 20 {
			n /= 4 // drawn four times
		}
		return fmt.Sprintf("same_%d", n), nil
	}
	profiles := usecase.NewProfiles(d)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, err := profiles.Resolve(within(t), caller(fmt.Sprint("user_", i/2))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p, pr, e := counts(t, conn); p != 20 || pr != 20 || e != 20 {
		t.Errorf("%d profiles, %d preferences, %d events; want 20 each", p, pr, e)
	}
	if draws.Load() <= 20 {
		t.Error("nothing collided")
	}
}

// An erasure that runs among first requests is never undone by one of them:
// afterwards there is the mark and no profile.
func TestFirstRequestsCannotReviveTheErased(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	t.Cleanup(func() { noDeadlocks(t, conn) })
	db := openDB(t, postgres.Options{URL: url, AcquireTimeout: 20 * time.Second})
	profiles := usecase.NewProfiles(deps(db))
	for range 20 {
		id := newClerkID()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if i == 4 {
					must2(t, erase(within(t), db, id))
					return
				}
				_, err := profiles.Resolve(within(t), caller(id))
				if err != nil && !domain.HasCode(err, domain.CodeAccountErased) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := ask[int](t, conn, "SELECT count(*) FROM profiles WHERE clerk_user_id = $1", id); n != 0 {
			t.Fatal("the erased person is back")
		}
		if _, err := profiles.Resolve(within(t), caller(id)); !domain.HasCode(err, domain.CodeAccountErased) {
			t.Fatalf("after the erasure: %v", err)
		}
	}
	if n := ask[int](t, conn, "SELECT count(*) FROM preferences"); n != 0 {
		t.Errorf("%d preferences without a profile", n)
	}
}

// erase is the part of an erasure that first requests race with.
func erase(ctx context.Context, db *postgres.DB, clerkUserID string) error {
	identities := postgres.NewIdentities(db)
	return db.WithinTx(ctx, func(ctx context.Context) error {
		if err := identities.LockForErasure(ctx, clerkUserID); err != nil {
			return err
		}
		hash := storetest.Hashes.Hash(domain.PurposeErasedIdentity, clerkUserID)
		if err := identities.MarkErased(ctx, hash, storetest.Now); err != nil {
			return err
		}
		return db.Conn(ctx).Exec("DELETE FROM profiles WHERE clerk_user_id = ?", clerkUserID).Error
	})
}

func must2(t *testing.T, err error) { // Fatal is not for goroutines
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// saboteur cuts the connection as the n-th statement is about to be sent, BEGIN
// and COMMIT counted, and lists what was sent. A stubborn one cuts each repetition
// of that statement too.
type saboteur struct {
	mu         sync.Mutex
	at, seen   int
	stubborn   bool
	target     string
	statements []string
}

func (s *saboteur) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	s.statements = append(s.statements, data.SQL)
	if s.seen == s.at {
		s.target = data.SQL
	}
	if s.seen == s.at || (s.stubborn && s.target == data.SQL) {
		_ = conn.PgConn().Conn().Close()
	}
	return ctx
}

func (s *saboteur) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *saboteur) arm(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.seen, s.target, s.statements = at, 0, "", nil
}

// sent tells how many statements went out since arm, and which.
func (s *saboteur) sent() (int, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen, s.statements
}

// The connection breaks before any one of the statements of a first request,
// and again when it is repeated: the request fails and nothing is there.
func TestAConnectionLostBetweenAnyTwoStatementsLeavesNothing(t *testing.T) {
	for n, got := range cutFirstRequests(t, true) {
		if !errors.Is(got.err, domain.Unavailable) || got.rows != [4]int{} {
			t.Errorf("cut at %d: %v, rows %v; want none", n+1, got.err, got.rows)
		}
	}
}

// A connection that breaks once costs nobody a request, except at the commit,
// whose outcome nobody could know.
func TestAConnectionLostOnceIsMadeGood(t *testing.T) {
	results := cutFirstRequests(t, false)
	for n, got := range results {
		if n+1 == len(results) {
			if !errors.Is(got.err, domain.Unavailable) || got.rows != [4]int{} {
				t.Errorf("cut at the commit: %v, rows %v; want none", got.err, got.rows)
			}
			continue
		}
		if got.err != nil || got.rows != [4]int{1, 1, 1, 1} {
			t.Errorf("cut at %d: %v, rows %v; want one of each", n+1, got.err, got.rows)
		}
	}
}

type cutResult struct {
	err  error
	rows [4]int // profiles, preferences, audit events and jobs more than before
}

// cutFirstRequests makes one first request for each of its statements.
func cutFirstRequests(t *testing.T, stubborn bool) []cutResult {
	t.Helper()
	url := migrated(t)
	conn := asker(t, url)
	spy := &saboteur{stubborn: stubborn}
	profiles := usecase.NewProfiles(deps(openDB(t, postgres.Options{URL: url, Tracer: spy})))
	spy.arm(0)
	_, err := profiles.Resolve(within(t), caller(newClerkID()))
	must(t, err)
	total, statements := spy.sent()
	if total != 9 { // select, begin, lock, erased, insert ×3 and a job, commit
		t.Fatalf("a first request sends %d statements: %q", total, statements)
	}
	results := make([]cutResult, total)
	for n := range results {
		p0, pr0, e0 := counts(t, conn)
		j0 := ask[int](t, conn, "SELECT count(*) FROM river_job")
		id := newClerkID()
		spy.arm(n + 1)
		_, err := profiles.Resolve(within(t), caller(id))
		p1, pr1, e1 := counts(t, conn)
		results[n] = cutResult{err, [4]int{p1 - p0, pr1 - pr0, e1 - e0, ask[int](t, conn, "SELECT count(*) FROM river_job") - j0}}
		spy.arm(0)
		if _, err := profiles.Resolve(within(t), caller(id)); err != nil {
			t.Errorf("after the cut at %d: %v", n+1, err)
		}
	}
	return results
}

func TestAConnectionLostDuringAnUpdateLeavesNothing(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	spy := &saboteur{stubborn: true}
	profiles := usecase.NewProfiles(deps(openDB(t, postgres.Options{URL: url, Tracer: spy})))
	update := func(id, handle string) error {
		_, err := profiles.UpdateOwn(within(t), caller(id), domain.ProfilePatch{Handle: domain.Some(handle)}, domain.IfMatch{})
		return err
	}
	id := newClerkID()
	must(t, update(id, "handle_0"))
	spy.arm(0)
	must(t, update(id, "handle_1"))
	total, statements := spy.sent()
	if total != 9 { // begin, select, lock ×2, update, held, reserve, audit, commit
		t.Fatalf("a change of handle sends %d statements: %q", total, statements)
	}
	state := `SELECT (SELECT handle || version FROM profiles) || (SELECT count(*) FROM audit_events) || (SELECT count(*) FROM handle_reservations)`
	for n := 1; n <= total; n++ {
		before := ask[string](t, conn, state)
		spy.arm(n)
		if err := update(id, fmt.Sprint("new_handle_", n)); !errors.Is(err, domain.Unavailable) {
			t.Errorf("cut at %d: %v", n, err)
		}
		if after := ask[string](t, conn, state); after != before {
			t.Errorf("cut at %d: %s became %s", n, before, after)
		}
	}
}

// What a request costs in statements.
func TestStatementCounts(t *testing.T) {
	url := migrated(t)
	spy := &saboteur{}
	profiles := usecase.NewProfiles(deps(openDB(t, postgres.Options{URL: url, Tracer: spy})))
	id := newClerkID()
	p, err := profiles.Resolve(within(t), caller(id))
	must(t, err)
	bio := domain.ProfilePatch{Bio: domain.Some("x")}
	for _, c := range []struct {
		name string
		want int
		do   func() error
	}{
		{"Resolve", 1, func() error { _, err := profiles.Resolve(within(t), caller(id)); return err }},
		{"ByHandle", 1, func() error { _, err := profiles.ByHandle(within(t), p.Handle, domain.Principal{}); return err }},
		{"ByHandle, ill-formed", 0, func() error { _, _ = profiles.ByHandle(within(t), "no such!", domain.Principal{}); return nil }},
		{"UpdateOwn", 5, func() error { _, err := profiles.UpdateOwn(within(t), caller(id), bio, domain.IfMatch{}); return err }},
		{"UpdateOwn, nothing new", 3, func() error { _, err := profiles.UpdateOwn(within(t), caller(id), bio, domain.IfMatch{}); return err }},
	} {
		spy.arm(0)
		must(t, c.do())
		if n, statements := spy.sent(); n != c.want {
			t.Errorf("%s: %d statements, want %d: %q", c.name, n, c.want, statements)
		}
	}
}
