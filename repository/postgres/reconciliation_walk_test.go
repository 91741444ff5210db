package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// statementsSeen notes every statement of a pool.
type statementsSeen struct {
	mu   sync.Mutex
	list []string
}

func (s *statementsSeen) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, q.SQL)
	return ctx
}

func (s *statementsSeen) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statementsSeen) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

// listOfPeople is a Clerk that knows user_0 … to user_n.
type listOfPeople int

func (n listOfPeople) User(context.Context, string) (domain.ClerkUser, error) {
	return domain.ClerkUser{}, domain.NewError(domain.NotFound, domain.CodeNotFound, "nobody")
}

func (n listOfPeople) Users(_ context.Context, offset, limit int) (page []domain.ListedClerkUser, err error) {
	for i := offset; i < min(offset+limit, int(n)); i++ {
		u := domain.ClerkUser{ID: fmt.Sprint("user_", i), UpdatedAt: storetest.Now}
		page = append(page, domain.ListedClerkUser{ID: u.ID, User: u})
	}
	return page, nil
}

func walker(db *postgres.DB, clerk usecase.ClerkDirectory, page int) *usecase.Reconcile {
	r := postgres.NewReconciliations(db)
	return usecase.NewReconcile(usecase.ReconcileDeps{
		Tx: db, Clerk: clerk, Mirror: usecase.NewMirror(deps(db)), Runs: r, Lease: r, People: r, Identities: postgres.NewIdentities(db), Hashes: storetest.Hashes,
		Clock: storetest.NewClock(), MaxErasePercent: 20, Pause: time.Nanosecond, PageSize: page,
		Wait: func(context.Context, time.Duration) error { return nil },
	})
}

// peopleInStep fills the table with the people of listOfPeople.
func peopleInStep(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	_, err := conn.Exec(within(t), `INSERT INTO profiles (id, clerk_user_id, handle, clerk_updated_at, created_at, updated_at)
		SELECT gen_random_uuid(), 'user_' || n, 'h_' || n, $2, $2, $2 FROM generate_series(0, $1 - 1) n`, n, storetest.Now.Add(-time.Hour))
	must(t, err)
	_, err = conn.Exec(within(t), "UPDATE profiles SET clerk_updated_at = $1", storetest.Now)
	must(t, err)
}

// A page of people who are in step costs six statements, however many they are: find
// them, begin, renew the lease, note them, store the run, commit.
func TestReconciliationStatementsPerPage(t *testing.T) {
	for _, page := range []int{10, 100} {
		url := migrated(t)
		peopleInStep(t, asker(t, url), 4*page)
		seen := &statementsSeen{}
		db := openDB(t, postgres.Options{URL: url, Tracer: seen})
		var perPage [][]string
		run, err := walker(db, listOfPeople(4*page), page).Run(within(t), usecase.ReconcileOptions{Tell: func(p usecase.ReconcileProgress) {
			if list := seen.taken(); p.Stage == usecase.ReconcilePage {
				perPage = append(perPage, list)
			}
		}})
		if err != nil || run.Counts.Unchanged != 4*page || len(perPage) != 4 {
			t.Fatalf("%+v, %v; %d pages", run, err, len(perPage))
		}
		for i, list := range perPage {
			if len(list) != 6 {
				t.Errorf("page %d of %d people: %d statements:\n%s", i+1, page, len(list), strings.Join(list, "\n"))
			}
		}
	}
}

// The whole walk on a pool of one connection, where nothing may wait for a second one.
func TestReconciliationOnTheSmallestPool(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	peopleInStep(t, conn, 50)
	_, err := conn.Exec(within(t), "UPDATE profiles SET clerk_user_id = clerk_user_id || '_gone' WHERE clerk_user_id IN ('user_1', 'user_2')")
	must(t, err)
	db := openDB(t, postgres.Options{URL: url, MaxOpen: 1, MaxIdle: 1})
	run, err := walker(db, listOfPeople(50), 10).Run(within(t), usecase.ReconcileOptions{})
	if err != nil || run.Counts.Created != 2 || run.Counts.Erased != 2 || run.Counts.Unchanged != 48 {
		t.Errorf("%+v, %v", run, err)
	}
	noOthers := ask[int](t, conn, "SELECT count(*) FROM reconciliation_seen")
	if n := ask[int](t, conn, "SELECT count(*) FROM profiles"); n != 50 || noOthers != 0 {
		t.Errorf("%d profiles, %d still noted", n, noOthers)
	}
}
