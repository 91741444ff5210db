package jobs_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/delivery/jobs"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// liveness is how long anything may take before a test gives up on it.
const liveness = time.Minute

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// world is a database, a stand-in for Clerk, and what works the jobs between them.
type world struct {
	url      string
	conn     *pgx.Conn
	db       *postgres.DB
	clerk    *clerkstandin.Server
	users    *clerk.Users
	deletion *usecase.ClerkDeletion
	registry *prometheus.Registry
	log      *testlog.Buffer
	clerkURL string

	reconcile jobs.Reconcile // none unless a test sets it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{url: testschema.Database(t), registry: prometheus.NewRegistry(), log: &testlog.Buffer{}}
	var err error
	w.conn, err = pgx.Connect(within(t), w.url)
	must(t, err)
	t.Cleanup(func() { _ = w.conn.Close(context.Background()) })
	w.db, err = postgres.Open(t.Context(), postgres.Options{URL: w.url, Logger: w.logger()})
	must(t, err)
	t.Cleanup(func() { must(t, w.db.Close()) })
	w.clerk, err = clerkstandin.New(clerkstandin.Options{})
	must(t, err)
	server := httptest.NewServer(w.clerk)
	t.Cleanup(server.Close)
	t.Cleanup(w.clerk.Heal)
	w.clerkURL = server.URL
	w.users = usersWithPatience(t, w, 300*time.Millisecond)
	w.deletion = w.deletions(t, domain.NewSealer("a key"))
	return w
}

// usersWithPatience waits that long for an answer of Clerk's.
func usersWithPatience(t *testing.T, w *world, patience time.Duration) *clerk.Users {
	t.Helper()
	users, err := clerk.NewUsers(clerk.UsersOptions{APIURL: w.clerkURL + "/v1", SecretKey: w.clerk.SecretKey(), Clock: systemClock{}, Timeout: patience})
	must(t, err)
	return users
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *world) deletions(t *testing.T, sealer domain.Sealer) *usecase.ClerkDeletion {
	t.Helper()
	queue, err := postgres.NewJobQueue(w.db)
	must(t, err)
	return usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: w.db, Deletions: postgres.NewClerkDeletions(w.db), Queue: queue, Users: w.users, Sealer: sealer, Clock: systemClock{},
	})
}

// work starts a process's jobs, until the test ends.
func (w *world) work(t *testing.T, deletion *usecase.ClerkDeletion, change ...func(*jobs.Deps)) *postgres.JobRunner {
	t.Helper()
	deps := jobs.Deps{
		ClerkDeletion: deletion, Clock: systemClock{}, Registry: w.registry, Log: w.logger(), Reconcile: w.reconcile,
		Purge:   usecase.NewPurge(systemClock{}, usecase.PurgeTask{Name: "reservations", Rows: postgres.NewHandleReservations(w.db)}),
		Backoff: jobs.Backoff{First: 50 * time.Millisecond, Last: 100 * time.Millisecond},
	}
	for _, c := range change {
		c(&deps)
	}
	set := jobs.New(deps)
	m, err := w.db.Migrator()
	must(t, err)
	r, err := postgres.NewJobRunner(t.Context(), w.db, postgres.JobRunnerOptions{
		Workers: set.Workers, Periodic: set.Periodic, RetryPolicy: set.RetryPolicy, Migrator: m, Logger: w.logger(),
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ended)
		must(t, m.Close())
	})
	return r
}

// person is somebody new whom Clerk knows.
func (w *world) person(name string) string {
	p := clerkstandin.NewPerson(name, "A", "B", "")
	w.clerk.PutPerson(p)
	return p.ID
}

func (w *world) known(id string) bool {
	_, ok := w.clerk.Person(id)
	return ok
}

// dump is every table as text.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	return ask[string](t, w.conn, `SELECT string_agg(query_to_xml(format('SELECT * FROM %I', tablename), true, false, '')::text, '')
		FROM pg_tables WHERE schemaname = 'public'`)
}

// wantNameless fails when a table or the log tells of the person.
func (w *world) wantNameless(t *testing.T, when, id string) {
	t.Helper()
	for where, text := range map[string]string{"the database": w.dump(t), "the log": w.log.String()} {
		if at := strings.Index(text, strings.TrimPrefix(id, "user_")); at >= 0 {
			t.Fatalf("%s, %s tells of whom: …%s…", when, where, text[max(0, at-200):min(len(text), at+200)])
		}
	}
}

// metric reads one series; labels are names and values in turn.
func (w *world) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			matched := 0
			for _, l := range m.GetLabel() {
				for i := 0; i < len(labels); i += 2 {
					if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
						matched++
					}
				}
			}
			if matched == len(labels)/2 {
				return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Errorf("there is no %s with %v", name, labels)
	return 0
}

// runs is how many runs of deletions have ended so.
func (w *world) runs(t *testing.T, outcome string) float64 {
	t.Helper()
	return w.metric(t, "jobs_finished_total", "kind", "clerk_deletion", "outcome", outcome)
}

// pending is how many deletions still wait.
func (w *world) pending(t *testing.T) int {
	t.Helper()
	return ask[int](t, w.conn, "SELECT count(*) FROM clerk_deletions")
}

// hurry brings forward the end of a wait: the least that Clerk gets is longer than a test should take.
func (w *world) hurry(t *testing.T) {
	t.Helper()
	_, err := w.conn.Exec(within(t), `UPDATE river_job SET scheduled_at = now(), state = 'available'
		WHERE kind = 'clerk_deletion' AND (state = 'scheduled' OR state = 'available' AND scheduled_at > now())`)
	must(t, err)
}

func (w *world) jobState(t *testing.T) string {
	t.Helper()
	return ask[string](t, w.conn, "SELECT coalesce(string_agg(state::text, ','), '') FROM river_job WHERE kind = 'clerk_deletion'")
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), liveness)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(within(t), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(liveness); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
