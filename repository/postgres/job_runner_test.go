package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/postgres"
)

// work runs deletions as the test likes.
type work struct {
	river.WorkerDefaults[domain.ClerkDeletionJob]

	run func(ctx context.Context, id string) error
}

func (w *work) Work(ctx context.Context, job *river.Job[domain.ClerkDeletionJob]) error {
	return w.run(ctx, job.Args.ID)
}

// soon retries after a moment.
type soon struct{}

func (soon) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(50 * time.Millisecond) }

// runner is one process's jobs.
type runner struct {
	*postgres.JobRunner
	db    *postgres.DB
	queue *postgres.JobQueue
	ended chan struct{}
	kill  context.CancelFunc
}

func startRunner(t *testing.T, opts postgres.Options, log *slog.Logger, run func(ctx context.Context, id string) error) *runner {
	t.Helper()
	db := openDB(t, opts)
	workers := river.NewWorkers()
	river.AddWorker(workers, &work{run: run})
	r, err := postgres.NewJobRunner(t.Context(), db, postgres.JobRunnerOptions{Workers: workers, RetryPolicy: soon{}, Migrator: migrator(t, db), Logger: log})
	must(t, err)
	queue, err := postgres.NewJobQueue(db)
	must(t, err)
	ctx, kill := context.WithCancel(context.Background())
	one := &runner{r, db, queue, make(chan struct{}), kill}
	go func() {
		defer close(one.ended)
		must2(t, r.Run(ctx))
	}()
	t.Cleanup(func() { kill(); <-one.ended })
	return one
}

func (r *runner) enqueue(t *testing.T) string {
	t.Helper()
	id := domain.NewID(storetest.Now)
	must(t, r.db.WithinTx(within(t), func(ctx context.Context) error { return r.queue.EnqueueClerkDeletion(ctx, id) }))
	return id
}

// drain gives jobs that long.
func (r *runner) drain(t *testing.T, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r.Drain(ctx)
	if ctx.Err() != nil {
		t.Errorf("the drain took all of %s", limit)
	}
	<-r.ended
}

func state(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	return ask[string](t, conn, "SELECT coalesce(string_agg(state::text, ',' ORDER BY id), '') FROM river_job")
}

// runAndFinish works a job that fails once, and stops in good order.
func runAndFinish(t *testing.T, url string, conn *pgx.Conn) {
	t.Helper()
	var mu sync.Mutex
	runs := map[string]int{}
	r := startRunner(t, postgres.Options{URL: url}, nil, func(_ context.Context, id string) error {
		mu.Lock()
		defer mu.Unlock()
		if runs[id]++; runs[id] == 1 {
			return errors.New("once")
		}
		return nil
	})
	id := r.enqueue(t)
	eventually(t, "the job is done", func() bool { return state(t, conn) == "completed" })
	if runs[id] != 2 || len(runs) != 1 {
		t.Errorf("runs: %v", runs)
	}
	r.drain(t, liveness)
}

func TestJobRunner(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	runAndFinish(t, url, conn)
	// No session was set apart: nothing listens, nothing is left.
	eventually(t, "all connections are closed or idle", func() bool {
		return ask[int](t, conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND (state <> 'idle' OR query ILIKE 'listen%')") == 0
	})
}

// A transaction that fails leaves no job, and one that is under way shows none.
func TestAJobIsThereWhenItsTransactionIs(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	var runs atomic.Int32
	r := startRunner(t, postgres.Options{URL: url}, nil, func(context.Context, string) error { runs.Add(1); return nil })
	must(t, r.db.WithinTx(within(t), func(ctx context.Context) error {
		must(t, r.queue.EnqueueClerkDeletion(ctx, domain.NewID(storetest.Now)))
		if state(t, conn) != "" {
			t.Error("the job shows before the commit")
		}
		return nil
	}))
	boom := errors.New("boom")
	err := r.db.WithinTx(within(t), func(ctx context.Context) error {
		return errors.Join(r.queue.EnqueueClerkDeletion(ctx, domain.NewID(storetest.Now)), boom)
	})
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	eventually(t, "the one job is done", func() bool { return state(t, conn) == "completed" })
	if runs.Load() != 1 {
		t.Errorf("%d runs", runs.Load())
	}
}

// It starts when the schema is there, by itself, also on a pool of one connection.
func TestJobRunnerWaitsForTheSchema(t *testing.T) {
	url := testservers.Database(t)
	conn := asker(t, url)
	var runs atomic.Int32
	r := startRunner(t, postgres.Options{URL: url, MaxOpen: 1, AcquireTimeout: liveness}, nil, func(context.Context, string) error { runs.Add(1); return nil })
	time.Sleep(100 * time.Millisecond) // it asks at once; more often makes the test no better
	if ask[bool](t, conn, "SELECT to_regclass('river_job') IS NOT NULL") {
		t.Fatal("the runner has made tables")
	}
	must(t, testschema.Up(within(t), url))
	r.enqueue(t)
	eventually(t, "the job is done", func() bool { return runs.Load() == 1 })
}

// River's own tables alone are not enough: what a job needs may come with a later migration.
func TestJobRunnerWaitsForEveryMigration(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	_, err := conn.Exec(within(t), "DELETE FROM goose_db_version WHERE version_id = 8")
	must(t, err)
	var runs atomic.Int32
	r := startRunner(t, postgres.Options{URL: url}, nil, func(context.Context, string) error { runs.Add(1); return nil })
	r.enqueue(t)
	time.Sleep(2 * time.Second) // twice the time after which it would look for jobs
	if n := runs.Load(); n != 0 {
		t.Fatalf("%d runs with a migration pending", n)
	}
	_, err = conn.Exec(within(t), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (8, true)")
	must(t, err)
	eventually(t, "the job is done", func() bool { return runs.Load() == 1 })
}

// Without a database a runner can be told to stop as well.
func TestJobRunnerStopsBeforeItStarted(t *testing.T) {
	r := startRunner(t, postgres.Options{URL: "postgres://u:p@127.0.0.1:1/x"}, nil, nil)
	r.drain(t, liveness)
}

// The server crashes and comes back: the runner goes on without a restart of ours, and says nothing that names anybody.
func TestJobRunnerOutlastsAnOutage(t *testing.T) {
	server := testservers.OwnPostgres(t)
	url := server.URL("postgres")
	must(t, testschema.Up(within(t), url))
	var out testlog.Buffer
	var runs atomic.Int32
	r := startRunner(t, postgres.Options{URL: url}, slog.New(slog.NewTextHandler(&out, nil)), func(context.Context, string) error { runs.Add(1); return nil })
	r.enqueue(t)
	eventually(t, "the first job is done", func() bool { return runs.Load() == 1 })
	must(t, server.Kill())
	eventually(t, "River complains", func() bool { return strings.Contains(out.String(), "level=WARN msg=\"job queue\" said=") })
	must(t, server.Restart(within(t)))
	eventually(t, "the database is back", func() bool { return r.db.Check(within(t)) == nil })
	r.enqueue(t)
	eventually(t, "the second job is done", func() bool { return runs.Load() >= 2 })
	for _, secret := range []string{"err=", "error=", "client_id", "127.0.0.1", "level=ERROR"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("River's log holds %s: %s", secret, out.String())
		}
	}
}

// A drain lets a job finish that can.
func TestDrainWaitsForWhatRuns(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	begun, release := make(chan struct{}), make(chan struct{})
	r := startRunner(t, postgres.Options{URL: url}, nil, func(ctx context.Context, _ string) error {
		close(begun)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	r.enqueue(t)
	<-begun
	drained := make(chan struct{})
	go func() { defer close(drained); r.drain(t, liveness) }()
	eventually(t, "nothing new is taken", func() bool { return r.Draining() })
	r.enqueue(t)
	select {
	case <-drained:
		t.Fatal("the drain did not wait")
	case <-time.After(300 * time.Millisecond):
	}
	close(release)
	<-drained
	if got := state(t, conn); got != "completed,available" {
		t.Errorf("the jobs are %s", got)
	}
}

// A job that does not finish in time is cancelled and may be put back at once, and the drain ends before its limit.
func TestDrainPutsBackWhatHangs(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	begun := make(chan struct{}, 1)
	hang := func(ctx context.Context, _ string) error {
		begun <- struct{}{}
		<-ctx.Done()
		return river.JobSnooze(0)
	}
	r := startRunner(t, postgres.Options{URL: url}, nil, hang)
	r.enqueue(t)
	<-begun
	r.drain(t, 4*time.Second)
	if got := state(t, conn); got != "available" {
		t.Errorf("the job is %s", got)
	}
	// The same when the process ends without a drain, as when a listener fails.
	r = startRunner(t, postgres.Options{URL: url}, nil, hang)
	<-begun
	r.kill()
	<-r.ended
	if got := state(t, conn); got != "available" {
		t.Errorf("without a drain the job is %s", got)
	}
}
