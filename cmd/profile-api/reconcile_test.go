package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testservers"
)

// populate gives Clerk so many people and nobody else, and returns them, the oldest first.
func (s *stack) populate(people int) []clerkstandin.Person {
	for _, p := range s.clerk.People() {
		s.clerk.RemovePerson(p.ID)
	}
	list := make([]clerkstandin.Person, people)
	for i := range list {
		p := clerkstandin.NewPerson(fmt.Sprintf("person%04d", i), "A", "B", "")
		p.ID, p.CreatedAt = newUserID(), p.CreatedAt.Add(time.Duration(i)*time.Second)
		list[i] = p
		s.clerk.PutPerson(p)
	}
	return list
}

// change has Clerk know somebody otherwise, as of now.
func (s *stack) change(p clerkstandin.Person, how func(p *clerkstandin.Person)) {
	how(&p)
	p.UpdatedAt = time.Now()
	s.clerk.PutPerson(p)
}

// mirrored is a stack on which so many people of Clerk's have profiles.
func mirroredStack(t *testing.T, people int) (*stack, []clerkstandin.Person, *pgx.Conn) {
	t.Helper()
	s := newStack(t)
	list := s.populate(people)
	if r := command(t, s.settings, "reconcile"); r.status != 0 || !strings.Contains(r.stdout, "reconciliation completed") {
		t.Fatalf("the first run: %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	return s, list, connect(t, s.database)
}

// wantInStep checks that exactly Clerk's people have profiles, with e-mail and suspension as there.
func (s *stack) wantInStep(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := conn.Query(ctx, "SELECT clerk_user_id, coalesce(email, ''), status = 'suspended' FROM profiles")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		id, email string
		suspended bool
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (v row, err error) {
		return v, r.Scan(&v.id, &v.email, &v.suspended)
	})
	if err != nil {
		t.Fatal(err)
	}
	if people := s.clerk.People(); len(found) != len(people) {
		t.Errorf("%d profiles for %d people", len(found), len(people))
	}
	for _, r := range found {
		p, ok := s.clerk.Person(r.id)
		if !ok || p.Email != r.email || p.Banned != r.suspended {
			t.Errorf("a profile is not as at Clerk (there: %v): %+v", ok, r)
		}
	}
}

// wantUnnamedOutput looks for people in what a command wrote.
func wantUnnamedOutput(t *testing.T, r result, people []clerkstandin.Person) {
	t.Helper()
	for _, p := range people {
		if text := r.stdout + r.stderr; strings.Contains(text, p.ID) || strings.Contains(text, "@example.") || strings.Contains(text, p.Username) {
			t.Fatalf("the command names somebody:\n%s", text)
		}
	}
}

// jsonSummary is what --json prints.
type jsonSummary struct {
	Run, Outcome                                                string
	DryRun                                                      bool `json:"dry_run"`
	Resumed                                                     bool
	Seen, Created, Updated, Unchanged, Stale, Unreadable, Pages int
	Vanished                                                    struct {
		Candidates, Erased, Refused int
		WouldBeErased               int `json:"would_be_erased"`
	}
}

func summaryOf(t *testing.T, r result) (s jsonSummary) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("standard output is no JSON: %v\n%s", err, r.stdout)
	}
	return s
}

// A hundred deliveries were lost; one command mends it all, within Clerk's limits. Who is gone stays gone.
func TestReconcileMendsAHundredLostDeliveries(t *testing.T) {
	parallel(t)
	s, people, conn := mirroredStack(t, 200)
	for i := range 25 {
		s.change(people[i], func(p *clerkstandin.Person) { p.Email = "changed" + p.Email })
		s.change(people[50+i], func(p *clerkstandin.Person) { p.Banned = true })
		s.clerk.RemovePerson(people[100+i].ID)
		fresh := clerkstandin.NewPerson(fmt.Sprintf("fresh%02d", i), "A", "B", "")
		fresh.ID, fresh.CreatedAt = newUserID(), time.Now()
		s.clerk.PutPerson(fresh)
		people = append(people, fresh)
	}
	s.clerk.SetRateLimit(4, time.Second)
	r := command(t, s.settings, "reconcile", "--json")
	wantUnnamedOutput(t, r, people)
	got := summaryOf(t, r)
	if r.status != 0 || got.Outcome != "completed" || got.Seen != 200 || got.Created != 25 || got.Updated != 50 || got.Unchanged != 125 ||
		got.Vanished.Candidates != 25 || got.Vanished.Erased != 25 {
		t.Errorf("status %d, %+v\n%s", r.status, got, r.stderr)
	}
	if s.clerk.RateLimited() == 0 || !strings.Contains(r.stderr, "Clerk answered with status 429. Asking again in 1 s") {
		t.Errorf("%d requests were limited:\n%s", s.clerk.RateLimited(), r.stderr)
	}
	s.clerk.SetRateLimit(0, 0)
	s.wantInStep(t, conn)

	again := command(t, s.settings, "reconcile")
	_, rows, _ := strings.Cut(again.stdout, "\n") // behind the run's id, which may hold any digits
	if again.status != 0 || !strings.Contains(rows, "unchanged") || strings.Contains(rows, "25") {
		t.Errorf("the second run: %d\n%s%s", again.status, again.stdout, again.stderr)
	}
	p := s.replica(t)
	if got := p.get(t, "/v1/profiles/me", s.clerk.Mint(clerkstandin.WithUser(people[100].ID))); got.status != 401 || !strings.Contains(string(got.body), "account-erased") {
		t.Errorf("who was deleted at Clerk gets %d: %s", got.status, got.body)
	}
	if got := p.get(t, "/v1/profiles/me", s.clerk.Mint(clerkstandin.WithUser(people[50].ID))); got.status != 403 {
		t.Errorf("who was banned gets %d: %s", got.status, got.body)
	}
	eventually(t, "operators see when the last run ended", func() bool {
		return p.metrics(t).value("reconcile_last_finished_timestamp_seconds") > float64(time.Now().Add(-time.Hour).Unix())
	})
	s.wantInStep(t, conn)
}

// everyRow is the text of every row of every table.
func everyRow(t *testing.T, conn *pgx.Conn) (dump string) {
	t.Helper()
	scan(t, conn, &dump, `SELECT string_agg(tablename || ': ' || query_to_xml(format('SELECT * FROM %I t ORDER BY t::text', tablename), true, false, '')::text, '' ORDER BY tablename)
		|| (SELECT string_agg(schemaname || sequencename || coalesce(last_value, 0), ',' ORDER BY sequencename) FROM pg_sequences)
		FROM pg_tables WHERE schemaname = 'public'`)
	return dump
}

func TestReconcileDryRunChangesNoRow(t *testing.T) {
	parallel(t)
	s, people, conn := mirroredStack(t, 30)
	s.change(people[3], func(p *clerkstandin.Person) { p.Email = "changed@example.com" })
	s.change(people[4], func(p *clerkstandin.Person) { p.Banned = true })
	s.clerk.RemovePerson(people[5].ID)
	s.clerk.PutPerson(clerkstandin.NewPerson("fresh", "A", "B", ""))
	before := everyRow(t, conn)
	r := command(t, s.settings, "reconcile", "--dry-run", "--json")
	got := summaryOf(t, r)
	if r.status != 0 || !got.DryRun || got.Created != 1 || got.Updated != 2 || got.Unchanged != 27 || got.Vanished.WouldBeErased != 1 || got.Vanished.Erased != 0 {
		t.Errorf("status %d, %+v\n%s", r.status, got, r.stderr)
	}
	text := command(t, s.settings, "reconcile", "--dry-run")
	if text.status != 0 || !strings.Contains(text.stdout, "would be created") || !strings.Contains(text.stdout, "nothing was changed") {
		t.Errorf("status %d\n%s", text.status, text.stdout)
	}
	if everyRow(t, conn) != before {
		t.Error("the dry run changed a row or a sequence")
	}
	done := summaryOf(t, command(t, s.settings, "reconcile", "--json"))
	if done.Created != 1 || done.Updated != 2 || done.Unchanged != 27 || done.Vanished.Erased != 1 {
		t.Errorf("the run itself: %+v", done)
	}
	s.wantInStep(t, conn)
}

// An empty answer empties nothing, and more than a fifth at once is for a person to decide.
func TestReconcileErasesNobodyOnClerksWordAlone(t *testing.T) {
	parallel(t)
	s, people, conn := mirroredStack(t, 10)
	profiles := func() (n int) { scan(t, conn, &n, "SELECT count(*) FROM profiles"); return n }
	for name, args := range map[string][]string{"run": {"reconcile"}, "dry run": {"reconcile", "--dry-run"}} {
		s.clerk.BreakPages(0, clerkstandin.Fault{Body: []byte("[]")})
		asked := s.clerk.UserRequests()
		r := command(t, s.settings, args...)
		if r.status != 1 || !strings.Contains(r.stderr, "nobody at all") || profiles() != 10 || s.clerk.UserRequests() != asked+1 {
			t.Errorf("%s on an empty list: status %d, %d profiles\n%s", name, r.status, profiles(), r.stderr)
		}
	}
	if r := command(t, s.settings, "reconcile", "--force"); r.status != 0 || profiles() != 10 { // Clerk knows each of them when asked
		t.Errorf("forced on an empty list: status %d, %d profiles\n%s%s", r.status, profiles(), r.stdout, r.stderr)
	}
	s.clerk.HealPages()
	for _, p := range people[:4] {
		s.clerk.RemovePerson(p.ID)
	}
	r := command(t, s.settings, "reconcile")
	if r.status != 1 || !strings.Contains(r.stderr, "4 profiles have nobody") || !strings.Contains(r.stderr, "of the 10 from before") ||
		!strings.Contains(r.stderr, "--force") || profiles() != 10 {
		t.Errorf("over the share: status %d, %d profiles\n%s", r.status, profiles(), r.stderr)
	}
	if r := command(t, s.settings, "reconcile", "--force"); r.status != 0 {
		t.Errorf("forced: status %d\n%s", r.status, r.stderr)
	}
	s.wantInStep(t, conn)
	s.clerk.RemovePerson(people[4].ID)
	s.clerk.RemovePerson(people[5].ID)
	s.clerk.RemovePerson(people[6].ID)
	if r := command(t, s.with("RECONCILE_MAX_ERASE_PERCENT", "50"), "reconcile"); r.status != 0 { // 3 of 6
		t.Errorf("within a share of one's own: status %d\n%s", r.status, r.stderr)
	}
	s.wantInStep(t, conn)
}

// With the key of another, larger instance everybody here has vanished. The strangers whom the walk creates make the share no smaller:
// not in the first run, and not in the second, which finds them in the table.
func TestReconcileErasesNobodyForAnotherInstancesKey(t *testing.T) {
	parallel(t)
	s, people, conn := mirroredStack(t, 5)
	strangers := s.populate(40)
	ours := func() (n int) {
		ids := make([]string, len(people))
		for i, p := range people {
			ids[i] = p.ID
		}
		if err := conn.QueryRow(context.Background(), "SELECT count(*) FROM profiles WHERE clerk_user_id = ANY($1)", ids).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct{ args, created string }{
		{"--dry-run", "40 profiles would have been created"}, {"--json", "40 profiles were created"}, {"--dry-run", "0 profiles would"}, {"--json", "0 profiles were"},
	} {
		r := command(t, s.settings, "reconcile", c.args)
		wantUnnamedOutput(t, r, append(strangers, people...))
		if r.status != 1 || !strings.Contains(r.stderr, "5 profiles have nobody") || !strings.Contains(r.stderr, "of the 5 from before") ||
			!strings.Contains(r.stderr, c.created) || ours() != 5 {
			t.Errorf("%s: status %d, %d of ours are left\n%s", c.args, r.status, ours(), r.stderr)
		}
	}
	for _, p := range s.clerk.People() {
		s.clerk.RemovePerson(p.ID)
	}
	for _, p := range people { // the right key again
		s.clerk.PutPerson(p)
	}
	if r := command(t, s.settings, "reconcile"); r.status != 1 || !strings.Contains(r.stderr, "40 profiles have nobody") || ours() != 5 {
		t.Errorf("with the right key: status %d\n%s", r.status, r.stderr)
	}
	if r := command(t, s.settings, "reconcile", "--force"); r.status != 0 {
		t.Errorf("forced: status %d\n%s", r.status, r.stderr)
	}
	s.wantInStep(t, conn)
}

// started is a reconcile that runs on.
type started struct {
	cmd            *exec.Cmd
	stdout, stderr capture
	done           chan struct{}
}

func (s *stack) reconciling(t *testing.T, args ...string) *started {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := &started{cmd: exec.Command(path, append([]string{"reconcile"}, args...)...), done: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = s.environ(), &c.stdout, &c.stderr
	if err := startTied(c.cmd, c.done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.cmd.Process.Kill(); err == nil {
			<-c.done
		}
	})
	return c
}

// end waits for the end of the command, after a signal if there is one.
func (c *started) end(t *testing.T, signal syscall.Signal) result {
	t.Helper()
	if signal != 0 {
		if err := c.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("the command does not end:\n%s", c.stderr.String())
	}
	return result{c.cmd.ProcessState.ExitCode(), c.stdout.String(), c.stderr.String()}
}

// hangsAt has a walk hang at that offset.
func (s *stack) hangsAt(t *testing.T, offset int, args ...string) *started {
	t.Helper()
	before := len(s.clerk.PagesAsked())
	s.clerk.BreakPages(offset, clerkstandin.Fault{Hang: true})
	c := s.reconciling(t, args...)
	eventually(t, "the walk hangs", func() bool {
		asked := s.clerk.PagesAsked()[before:]
		return len(asked) > 0 && asked[len(asked)-1] == offset
	})
	return c
}

func TestReconcileGoesOnAfterItsEnd(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "interrupted": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			parallel(t)
			s := newStack(t)
			s.populate(350)
			conn := connect(t, s.database)
			r := s.hangsAt(t, 200).end(t, signal)
			if signal == syscall.SIGINT && (r.status != 1 || !strings.Contains(r.stderr, "interrupted") || !strings.Contains(r.stderr, "goes on behind person 200")) {
				t.Errorf("status %d:\n%s", r.status, r.stderr)
			}
			s.clerk.HealPages()
			again := command(t, s.settings, "reconcile", "--json")
			got := summaryOf(t, again)
			if again.status != 0 || !got.Resumed || got.Created != 350 || got.Seen != 350 || !strings.Contains(again.stderr, "goes on behind person 200; 2 pages are done already") {
				t.Errorf("status %d, %+v\n%s", again.status, got, again.stderr)
			}
			if waited := strings.Contains(again.stderr, "another reconciliation is at work"); waited != (signal == syscall.SIGKILL) {
				t.Errorf("it waited for the lease: %v", waited)
			}
			if asked := fmt.Sprint(s.clerk.PagesAsked()); asked != "[0 100 200 200 300 350]" {
				t.Errorf("asked for %s", asked)
			}
			s.wantInStep(t, conn)
			var left int
			if scan(t, conn, &left, "SELECT count(*) FROM reconciliation_seen"); left != 0 {
				t.Errorf("%d rows of whom was met are left", left)
			}
		})
	}
}

// Two commands and the server's job at once: one works, the others wait, all end well.
func TestReconcileOneAtATime(t *testing.T) {
	parallel(t)
	s := newStack(t)
	s.populate(150)
	conn := connect(t, s.database)
	first := s.hangsAt(t, 100)
	second := s.reconciling(t, "--json")
	eventually(t, "the second says that it waits", func() bool { return strings.Contains(second.stderr.String(), "another reconciliation is at work") })
	if asked := fmt.Sprint(s.clerk.PagesAsked()); asked != "[0 100]" {
		t.Errorf("asked for %s", asked)
	}
	s.clerk.HealPages()
	if r := first.end(t, 0); r.status != 0 {
		t.Errorf("the first: status %d\n%s", r.status, r.stderr)
	}
	r := second.end(t, 0)
	if got := summaryOf(t, r); r.status != 0 || got.Resumed || got.Unchanged != 150 {
		t.Errorf("the second: status %d, %+v\n%s", r.status, got, r.stderr)
	}
	s.wantInStep(t, conn)
}

// A page that fails ends the command when it is no matter of waiting; nothing is lost.
func TestReconcileAPageThatFails(t *testing.T) {
	parallel(t)
	s := newStack(t)
	s.populate(150)
	conn := connect(t, s.database)
	for name, fault := range map[string]clerkstandin.Fault{"401": {Status: 401}, "no list": {Body: []byte("<html>@example.com</html>")}} {
		s.clerk.BreakPages(100, fault)
		r := command(t, s.settings, "reconcile")
		if r.status != 1 || !strings.Contains(r.stdout, "unfinished") || !strings.Contains(r.stderr, "goes on behind person 100") || strings.Contains(r.stderr, "@") {
			t.Errorf("%s: status %d\n%s%s", name, r.status, r.stdout, r.stderr)
		}
	}
	s.clerk.BreakPages(100, clerkstandin.Fault{Status: 502})
	c := s.reconciling(t)
	eventually(t, "it waits", func() bool { return strings.Contains(c.stderr.String(), "status 502. Asking again in 5 s") })
	s.clerk.HealPages()
	if r := c.end(t, 0); r.status != 0 {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
	s.wantInStep(t, conn)
}

// Somebody who cannot be read is left alone and told of; the others are in step.
func TestReconcileTellsOfTheUnreadable(t *testing.T) {
	parallel(t)
	s, people, conn := mirroredStack(t, 10)
	people[2].Override = map[string]any{"updated_at": "yesterday"}
	s.clerk.PutPerson(people[2])
	s.change(people[3], func(p *clerkstandin.Person) { p.Email = "changed@example.com" })
	r := command(t, s.settings, "reconcile")
	wantUnnamedOutput(t, r, people)
	var n int
	scan(t, conn, &n, "SELECT count(*) FROM profiles")
	if r.status != 1 || !strings.Contains(r.stderr, "1 could not be read") || !strings.Contains(r.stderr, "one person is left out") || n != 10 {
		t.Errorf("status %d, %d profiles\n%s%s", r.status, n, r.stdout, r.stderr)
	}
	s.wantInStep(t, conn)
}

func TestReconcileNeedsACurrentSchemaAndADatabase(t *testing.T) {
	parallel(t)
	empty := production(reachable(t, testservers.Database(t)), "redis://127.0.0.1:1", "http://127.0.0.1:1/v1")
	for _, args := range [][]string{{"reconcile"}, {"reconcile", "--dry-run"}} {
		if r := command(t, empty, args...); r.status != 1 || !strings.Contains(r.stderr, "migrate up") || r.stdout != "" {
			t.Errorf("%v: status %d\n%s", args, r.status, r.stderr)
		}
	}
	nowhere := production("postgres://someone:hunter2hunter2@127.0.0.1:1/x", "redis://127.0.0.1:1", "http://127.0.0.1:1/v1")
	if r := command(t, nowhere, "reconcile"); r.status != 1 || !strings.Contains(r.stderr, "database") || strings.Contains(r.stderr, "hunter2hunter2") {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
	if r := command(t, nil, "reconcile"); r.status != 1 || !strings.Contains(r.stderr, "DATABASE_URL") {
		t.Errorf("without settings: status %d\n%s", r.status, r.stderr)
	}
}
