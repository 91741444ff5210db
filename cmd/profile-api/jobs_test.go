package main_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// rescue bounds the wait for a job of a process that was killed: the program
// promises two minutes, and a busy machine gets as much again.
const rescue = 4 * time.Minute

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// erased is somebody whom Clerk knows, and whose deletion was requested as an
// erasure does it: by the use case, in a transaction.
func (s *stack) erased(t *testing.T, keys ...string) (userID string) {
	t.Helper()
	p := clerkstandin.NewPerson("noether", "Emmy", "Noether", "")
	p.ID = newUserID()
	s.clerk.PutPerson(p)
	db, err := postgres.Open(t.Context(), postgres.Options{URL: s.database})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		t.Fatal(err)
	}
	key := signingKey
	if len(keys) > 0 {
		key = keys[0]
	}
	deletion := usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: db, Deletions: postgres.NewClerkDeletions(db), Queue: queue, Sealer: domain.NewSealer(key), Clock: wallClock{},
	})
	if err := deletion.Request(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// gone tells whether the person is deleted at Clerk and forgotten here.
func (s *stack) gone(t *testing.T, conn *pgx.Conn, userID string) bool {
	t.Helper()
	var left int
	scan(t, conn, &left, "SELECT (SELECT count(*) FROM clerk_deletions) + (SELECT count(*) FROM river_job WHERE kind = 'clerk_deletion' AND state <> 'completed')")
	_, known := s.clerk.Person(userID)
	return !known && left == 0
}

// deletionState is the state of the one deletion's job.
func deletionState(t *testing.T, conn *pgx.Conn) (state string) {
	t.Helper()
	scan(t, conn, &state, "SELECT state::text FROM river_job WHERE kind = 'clerk_deletion'")
	return state
}

// wantUnnamed looks for the person in every table and in what the programs wrote.
func (s *stack) wantUnnamed(t *testing.T, conn *pgx.Conn, userID string, programs ...*program) {
	t.Helper()
	var dump string
	scan(t, conn, &dump, `SELECT string_agg(query_to_xml(format('SELECT * FROM %I', tablename), true, false, '')::text, '')
		FROM pg_tables WHERE schemaname = 'public'`)
	texts := []string{dump}
	for _, p := range programs {
		texts = append(texts, p.stdout.String()+p.stderr.String()+string(p.rawMetricsIfUp(t)))
	}
	for i, text := range texts {
		if strings.Contains(text, strings.TrimPrefix(userID, "user_")) {
			t.Errorf("text %d (0 is the database) names the person", i)
		}
	}
}

func (p *program) rawMetricsIfUp(t *testing.T) []byte {
	t.Helper()
	if p.ended() {
		return nil
	}
	return p.rawMetrics(t)
}

// hanging makes a deletion hang at Clerk.
func (s *stack) hanging(t *testing.T) (userID string) {
	t.Helper()
	asked := s.clerk.UserRequests()
	s.clerk.Break(clerkstandin.Fault{Hang: true})
	userID = s.erased(t)
	eventually(t, "the deletion hangs at Clerk", func() bool { return s.clerk.UserRequests() > asked })
	return userID
}

// The process dies while Clerk does not answer; the next one finishes the work by itself.
func TestADeletionOutlivesItsProcess(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	first := s.replica(t)
	id := s.hanging(t)
	first.signal(t, syscall.SIGKILL)
	first.wait(t)
	first.expected = first.status()
	if got := deletionState(t, conn); got != "running" {
		t.Fatalf("the job of the dead process is %s, so this test shows nothing", got)
	}
	s.clerk.Heal()
	if s.gone(t, conn, id) {
		t.Fatal("the person is gone already")
	}
	second := s.replica(t)
	for end := time.Now().Add(rescue); !s.gone(t, conn, id); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the job was not taken up again: it is %s", deletionState(t, conn))
		}
	}
	s.wantUnnamed(t, conn, id, first, second)
}

// SIGTERM while a deletion hangs: it goes back into the queue at once, well
// within the time that the settings promise, and the status is 0.
func TestShutdownPutsAHangingDeletionBack(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	first := s.replica(t, "SHUTDOWN_TIMEOUT", "6s")
	id := s.hanging(t)
	first.stop(t)
	if line, ok := first.line("stopped"); !ok || line["clean"] != true {
		t.Errorf("the last word is %v", line)
	}
	if got := deletionState(t, conn); got != "available" && got != "scheduled" {
		t.Errorf("the job is %s", got)
	}
	s.wantUnnamed(t, conn, id, first)
	s.clerk.Heal()
	second := s.replica(t)
	eventually(t, "the person is gone", func() bool { return s.gone(t, conn, id) })
	s.wantUnnamed(t, conn, id, second)
}

// Clerk fails, then comes back. The operators see it, and SECRET_KEY was rotated meanwhile.
func TestADeletionOutlastsClerkAndTheKey(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	const older = "An0ther.Key/That~was^used{before}the|rotation:of[last]summer"
	s.clerk.Break(clerkstandin.Fault{Status: 503})
	p := start(t, s.with("SECRET_KEY_FALLBACKS", older))
	eventually(t, "ready", func() bool { return p.get(t, "/health/ready", "").status == 200 })
	id := s.erased(t, older)
	runs := func(outcome string) float64 {
		return p.metrics(t).value(`jobs_finished_total{kind="clerk_deletion",outcome="` + outcome + `"}`)
	}
	eventually(t, "the deletion was put off", func() bool { return runs("snoozed") >= 1 })
	if m := p.metrics(t); m.sum("jobs_unfinished{") < 1 || m.value(`jobs_unfinished{state="retryable"}`) != 0 {
		t.Errorf("unfinished: %v", m.sum("jobs_unfinished{"))
	}
	s.wantUnnamed(t, conn, id, p)
	s.clerk.Heal()
	eventually(t, "the person is gone", func() bool { return s.gone(t, conn, id) })
	eventually(t, "the metrics tell", func() bool {
		return runs("completed") == 1 && p.metrics(t).value(`jobs_duration_seconds_count{kind="clerk_deletion"}`) >= 2
	})
	eventually(t, "the purge has run", func() bool { return p.metrics(t).value(`jobs_finished_total{kind="purge",outcome="completed"}`) >= 1 })
	s.wantUnnamed(t, conn, id, p)
}

// On the smallest pool requests and jobs are both served.
func TestJobsOnTheSmallestPool(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	p := s.replica(t, "DB_MAX_OPEN_CONNS", "1", "DB_MAX_IDLE_CONNS", "1")
	token, _ := s.person(t)
	id := s.erased(t)
	for range 200 {
		if r := p.get(t, "/v1/profiles/me", token); r.status != 200 {
			t.Fatalf("me is %d: %s", r.status, r.body)
		}
	}
	eventually(t, "the person is gone", func() bool { return s.gone(t, conn, id) })
}

// While the database is away there is no number of jobs, rather than a zero.
func TestUnfinishedJobsAreAbsentWithoutADatabase(t *testing.T) {
	parallel(t)
	p := start(t, production("postgres://u:p@"+freeAddr(t)+"/x", "redis://"+freeAddr(t), "http://"+freeAddr(t)+"/v1"))
	text := string(p.rawMetrics(t))
	if strings.Contains(text, "jobs_unfinished{") || !strings.Contains(text, `jobs_finished_total{kind="purge",outcome="discarded"} 0`) {
		t.Errorf("the metrics are\n%s", text)
	}
	p.stop(t)
}

// River discards by itself what no worker of this release can run, as after a rollback: no worker counts it, and the alert's metric does.
func TestWhatRiverGivesUpIsSeen(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	p := s.replica(t)
	givenUp := func(kind string) float64 { return p.metrics(t).value(`jobs_given_up{kind="` + kind + `"}`) }
	for _, kind := range append(domain.JobKinds(), "other") {
		if !strings.Contains(string(p.rawMetrics(t)), `jobs_given_up{kind="`+kind+`"} 0`) {
			t.Errorf("there is no zero for %s", kind)
		}
	}
	_, err := conn.Exec(t.Context(), `INSERT INTO river_job (kind, state, max_attempts, scheduled_at, args) VALUES
		('of_a_later_release', 'available', 1, now(), '{}'), ('of_another_later_release', 'available', 1, now(), '{}'), ('profile_refresh', 'available', 1, now(), '"no object"')`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "River gave them up", func() bool { return givenUp("other") == 2 && givenUp("profile_refresh") == 1 })
	if n := p.metrics(t).sum("jobs_finished_total", `outcome="discarded"`); n != 0 {
		t.Errorf("%v were counted by workers, and were to be given up by River", n)
	}
	if _, err := conn.Exec(t.Context(), "DELETE FROM river_job WHERE state = 'discarded'"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "their work is done", func() bool { return givenUp("other") == 0 && givenUp("profile_refresh") == 0 })
}
