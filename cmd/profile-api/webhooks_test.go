package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testhooks"
)

const webhookPath = "/v1/webhooks/clerk"

// signedBySvix are the headers of a delivery as Clerk sends it.
func signedBySvix(t *testing.T, id string, body []byte) []string {
	t.Helper()
	headers := []string{"Content-Type", "application/json"}
	for name, values := range testhooks.Header(t, testhooks.Secret, id, time.Now(), body) {
		headers = append(headers, name, values[0])
	}
	return headers
}

// deliver sends a delivery.
func (p *program) deliver(t *testing.T, id string, body []byte) reply {
	t.Helper()
	return p.call(t, http.MethodPost, webhookPath, "", string(body), signedBySvix(t, id, body)...)
}

func (p *program) wantTaken(t *testing.T, id, result string, body []byte) {
	t.Helper()
	r := p.deliver(t, id, body)
	var got struct{ ID, Result string }
	if err := json.Unmarshal(r.body, &got); err != nil || r.status != 202 || got.ID != id || got.Result != result {
		t.Errorf("%s: %d %s, want %s", id, r.status, r.body, result)
	}
}

// member is somebody of Clerk's whom nobody has seen before.
func member() clerkstandin.Person {
	p := clerkstandin.NewPerson("noether", "Emmy", "Noether", "")
	p.ID = newUserID()
	p.Email = strings.ToLower(p.ID) + "@mail.test"
	p.UpdatedAt = time.Now()
	return p
}

// delivered is the state of a delivery; empty when there is none.
func delivered(t *testing.T, conn *pgx.Conn, id string) (state string) {
	t.Helper()
	scan(t, conn, &state, "SELECT coalesce(max(state), '') FROM webhook_deliveries WHERE id = $1", id)
	return state
}

func profilesOf(t *testing.T, conn *pgx.Conn, userID string) (n int) {
	t.Helper()
	scan(t, conn, &n, "SELECT count(*) FROM profiles WHERE clerk_user_id = $1", userID)
	return n
}

// While Clerk hangs and Valkey is away, deliveries are taken and applied: neither is asked.
func TestDeliveriesNeedNeitherClerkNorValkey(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	s.clerk.Break(clerkstandin.Fault{Hang: true})
	defer s.clerk.Heal()
	p := start(t, s.with("VALKEY_URL", "redis://"+freeAddr(t), "RATE_LIMIT_IP", "2/1h", "RATE_LIMIT_GLOBAL", "2/1h"))
	eventually(t, "ready", func() bool { return p.get(t, "/health/ready", "").status == 200 })
	m := member()
	for i := range 20 {
		m.UpdatedAt = m.UpdatedAt.Add(time.Second)
		p.wantTaken(t, fmt.Sprint("msg_", i), "queued", clerkstandin.Event("user.updated", m, time.Now()))
	}
	p.wantTaken(t, "msg_0", "known", clerkstandin.Event("user.updated", m, time.Now()))
	p.wantTaken(t, "msg_other", "ignored", clerkstandin.EventOf("session.created", map[string]any{}, time.Now()))
	eventually(t, "all are done with", func() bool {
		var open int
		scan(t, conn, &open, "SELECT count(*) FROM webhook_deliveries WHERE state NOT IN ('applied', 'ignored')")
		return open == 0
	})
	var email string
	scan(t, conn, &email, "SELECT email FROM profiles WHERE clerk_user_id = $1", m.ID)
	if email != m.Email || s.clerk.UserRequests() != 0 {
		t.Errorf("the profile has %q; Clerk was asked %d times", email, s.clerk.UserRequests())
	}
	metrics := p.metrics(t)
	if metrics.value(`webhook_events_total{outcome="received",type="user.updated"}`) != 20 || metrics.value(`webhook_lag_seconds_count`) < 1 ||
		metrics.value(`webhook_deliveries{state="dead"}`) != 0 || metrics.value(`webhook_events_total{outcome="ignored",type="other"}`) != 1 {
		t.Error("the metrics do not show it")
	}
	wantFixedLabels(t, string(p.rawMetrics(t)))
	if out := p.stdout.String(); strings.Contains(out, m.Email) || strings.Contains(out, m.ID) || !strings.Contains(out, `"delivery_id":"msg_19"`) {
		t.Error("the log tells of whom, or not of which delivery")
	}
}

// A hundred repeats at once to two replicas: one row, one job, one profile.
func TestRepeatsOnTwoReplicas(t *testing.T) {
	parallel(t)
	s, a, b, _ := twoReplicas(t)
	conn := connect(t, s.database)
	m := member()
	body := clerkstandin.Event("user.created", m, time.Now())
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			p := []*program{a, b}[i%2]
			r := p.deliver(t, "msg_1", body)
			// Whoever finds no connection free within a second, on a busy machine, is told to come again, and comes, as Svix does.
			for tries := 0; r.status == http.StatusServiceUnavailable && tries < 20; tries++ {
				time.Sleep(200 * time.Millisecond)
				r = p.deliver(t, "msg_1", body)
			}
			if r.status != http.StatusAccepted {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	eventually(t, "it is applied", func() bool { return delivered(t, conn, "msg_1") == "applied" })
	var rows, jobs, events int
	scan(t, conn, &rows, "SELECT count(*) FROM webhook_deliveries")
	scan(t, conn, &jobs, "SELECT count(*) FROM river_job WHERE kind = 'webhook_delivery'")
	scan(t, conn, &events, "SELECT count(*) FROM audit_events WHERE action = 'profile.created'")
	if rows != 1 || jobs != 1 || events != 1 || profilesOf(t, conn, m.ID) != 1 {
		t.Errorf("%d rows, %d jobs, %d profiles created", rows, jobs, events)
	}
}

// SIGKILL between the mirror's work and its end: neither the profile nor the note
// is there, and the next process makes both, once.
func TestADeliveryOutlivesItsProcess(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn, locker := connect(t, s.database), connect(t, s.database)
	first := s.replica(t)
	tx, err := locker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE audit_events"); err != nil { // the work's last step but one
		t.Fatal(err)
	}
	m := member()
	first.wantTaken(t, "msg_1", "queued", clerkstandin.Event("user.created", m, time.Now()))
	eventually(t, "the job waits inside of its transaction", func() bool { return waiting(t, conn) > 0 })
	first.kill(t)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dead process's transaction is over", func() bool { return waiting(t, conn) == 0 })
	if delivered(t, conn, "msg_1") != "received" || profilesOf(t, conn, m.ID) != 0 {
		t.Fatalf("%s, %d profiles", delivered(t, conn, "msg_1"), profilesOf(t, conn, m.ID))
	}
	s.replica(t)
	for end := time.Now().Add(rescue); delivered(t, conn, "msg_1") != "applied"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the delivery was not taken up again: it is %s", delivered(t, conn, "msg_1"))
		}
	}
	var events int
	scan(t, conn, &events, "SELECT count(*) FROM audit_events WHERE action = 'profile.created'")
	if events != 1 || profilesOf(t, conn, m.ID) != 1 {
		t.Errorf("%d events, %d profiles", events, profilesOf(t, conn, m.ID))
	}
}

// What operators do with deliveries that died, by the program's own commands.
func TestWebhooksCommands(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	p := s.replica(t)
	m := member()
	p.wantTaken(t, "msg_good", "queued", clerkstandin.Event("user.created", m, time.Now()))
	for _, id := range []string{"msg_bad", "msg_worse"} {
		p.wantTaken(t, id, "queued", clerkstandin.EventOf("user.updated", map[string]any{"id": m.ID}, time.Now()))
		eventually(t, id+" is dead", func() bool { return delivered(t, conn, id) == "dead" })
	}
	eventually(t, "the good one is applied", func() bool { return delivered(t, conn, "msg_good") == "applied" })

	list := command(t, s.settings, "webhooks", "list", "--state", "dead")
	if lines := strings.Split(strings.TrimSpace(list.stdout), "\n"); list.status != 0 || len(lines) != 3 || !strings.HasPrefix(lines[1], "msg_worse") ||
		!strings.Contains(lines[2], "updated_at") {
		t.Errorf("list: %d\n%s%s", list.status, list.stdout, list.stderr)
	}
	var shown []map[string]any
	asJSON := command(t, s.settings, "webhooks", "list", "--json")
	if err := json.Unmarshal([]byte(asJSON.stdout), &shown); err != nil || len(shown) != 3 || shown[2]["id"] != "msg_good" || shown[2]["state"] != "applied" {
		t.Errorf("list as JSON: %v, %s", err, asJSON.stdout)
	}
	if strings.Contains(list.stdout+asJSON.stdout, m.ID) || strings.Contains(asJSON.stdout, "sealed") {
		t.Error("the lists tell of whom")
	}
	if none := command(t, s.settings, "webhooks", "list", "--state=failed", "--json"); strings.TrimSpace(none.stdout) != "[]" {
		t.Errorf("none: %q", none.stdout)
	}

	replay := func(status int, wants []string, args ...string) {
		t.Helper()
		r := command(t, s.settings, append([]string{"webhooks", "replay"}, args...)...)
		if r.status != status {
			t.Errorf("replay %v: status %d: %s%s", args, r.status, r.stdout, r.stderr)
		}
		for _, want := range wants {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("replay %v says %q, not %q", args, r.stdout, want)
			}
		}
	}
	runs := func() (n int) {
		scan(t, conn, &n, "SELECT count(*) FROM river_job WHERE kind = 'webhook_delivery' AND state = 'completed'")
		return n
	}
	replay(0, []string{"msg_bad was dead and is queued"}, "msg_bad")
	eventually(t, "it was run again", func() bool { return runs() == 4 && delivered(t, conn, "msg_bad") == "dead" })
	replay(1, []string{"msg_bad was dead and is queued", "msg_unknown is not here; replay the message", "msg_good is applied, and its data is gone"}, "msg_bad", "msg_unknown", "msg_good")
	eventually(t, "it was run a third time", func() bool { return runs() == 5 && delivered(t, conn, "msg_bad") == "dead" })
	replay(0, []string{"msg_bad was dead and is queued", "msg_worse was dead and is queued"}, "--dead")
	eventually(t, "both were run again", func() bool { return runs() == 7 })
	// Clerk's own replay, repaired, makes good what was wrong.
	for _, id := range []string{"msg_bad", "msg_worse"} {
		eventually(t, id+" is dead again", func() bool { return delivered(t, conn, id) == "dead" })
		p.wantTaken(t, id, "queued", clerkstandin.Event("user.updated", m, time.Now()))
		eventually(t, id+" is done with", func() bool { return delivered(t, conn, id) == "applied" })
	}
	replay(0, []string{"no delivery is dead"}, "--dead")
	// Of what names nobody nothing is kept, and the command says what to do.
	p.wantTaken(t, "msg_nobody", "ignored", clerkstandin.EventOf("user.updated", map[string]any{"id": "nobody", "first_name": "Emmy"}, time.Now()))
	replay(1, []string{"msg_nobody is dead, and nothing of it was kept", "Clerk's dashboard"}, "msg_nobody")
	replay(1, []string{"msg_nobody is dead, and nothing of it was kept"}, "--dead")
}

// Without a database the commands fail and say so; without a secret there is no route.
func TestWebhooksWithoutWhatTheyNeed(t *testing.T) {
	parallel(t)
	env := production("postgres://u:p@"+freeAddr(t)+"/x", "redis://"+freeAddr(t), "http://"+freeAddr(t)+"/v1")
	for _, args := range [][]string{{"list"}, {"replay", "msg_1"}, {"replay", "--dead"}, {"dismiss", "--reason", "test", "msg_1"}} {
		if r := command(t, env, append([]string{"webhooks"}, args...)...); r.status != 1 || r.stdout != "" || r.stderr == "" {
			t.Errorf("%v: status %d, %q, %q", args, r.status, r.stdout, r.stderr)
		}
	}
	p := start(t, env)
	if r := p.deliver(t, "msg_1", clerkstandin.Event("user.created", member(), time.Now())); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("without a database: %d %s", r.status, r.body)
	}
	if text := string(p.rawMetrics(t)); strings.Contains(text, "webhook_deliveries{") || !strings.Contains(text, `webhook_events_total{outcome="dead",type="user.created"} 0`) {
		t.Error("the gauge is there without a database, or the counters are not")
	}
	p.stop(t)
	p = start(t, env.with("CLERK_WEBHOOK_SECRET", ""))
	p.deliver(t, "msg_1", []byte("{}")).wantProblem(t, 404, "not-found")
	p.stop(t)
}

// On a schema that the program does not know, the commands touch nothing.
func TestWebhooksNeedACurrentSchema(t *testing.T) {
	parallel(t)
	env := production(migrated(t), "redis://"+freeAddr(t), "http://"+freeAddr(t)+"/v1")
	if r := command(t, env, "migrate", "down"); r.status != 0 {
		t.Fatalf("migrate down: %s", r.stderr)
	}
	for _, args := range [][]string{{"list"}, {"replay", "msg_1"}, {"replay", "--dead"}, {"dismiss", "--reason", "test", "msg_1"}} {
		r := command(t, env, append([]string{"webhooks"}, args...)...)
		if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "profile-api migrate up") {
			t.Errorf("%v: status %d, %q, %q", args, r.status, r.stdout, r.stderr)
		}
	}
}

// Deliveries that are done with are forgotten after their retention.
func TestOldDeliveriesArePurged(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	if _, err := conn.Exec(t.Context(), `INSERT INTO webhook_deliveries (id, type, state, received_at, updated_at, expires_at)
		SELECT id, 'user.updated', 'applied', now(), now(), now() + ends FROM (VALUES ('old', interval '-1 second'), ('new', interval '1 hour')) v(id, ends)`); err != nil {
		t.Fatal(err)
	}
	s.replica(t)
	eventually(t, "the old one is gone", func() bool { return delivered(t, conn, "old") == "" })
	if delivered(t, conn, "new") != "applied" {
		t.Error("the new one is gone too")
	}
}
