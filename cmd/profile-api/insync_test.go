package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// delivery is one message of Clerk's, signed by Svix's own library when it is sent.
type delivery struct {
	id   string
	body []byte
}

func newDelivery(eventType string, p clerkstandin.Person) delivery {
	return delivery{"msg_" + newUserID()[5:], clerkstandin.Event(eventType, p, time.Now())}
}

// send gives the status of one try.
func (d delivery) send(t *testing.T, p *program) (int, error) {
	t.Helper()
	r, err := p.try(http.MethodPost, webhookPath, "", string(d.body), signedBySvix(t, d.id, d.body)...)
	return r.status, err
}

// deliver sends the message and expects it to be taken.
func (d delivery) deliver(t *testing.T, p *program) {
	t.Helper()
	if status, err := d.send(t, p); err != nil || status/100 != 2 {
		t.Errorf("delivery %s: %d, %v", d.id, status, err)
	}
}

// inboxIsEmpty tells whether every delivery was worked off.
func inboxIsEmpty(t *testing.T, conn *pgx.Conn) bool {
	t.Helper()
	var open int
	scan(t, conn, &open, "SELECT count(*) FROM webhook_deliveries WHERE state NOT IN ('applied', 'ignored')")
	return open == 0
}

// lives are the states of one person: created, changed twice, and gone at last.
func lives(id, username string) (events []delivery, last clerkstandin.Person) {
	p := clerkstandin.Person{ID: id, Username: username, FirstName: "First", Email: username + "@first.example", EmailVerified: true, CreatedAt: time.Now().Add(-time.Hour)}
	p.UpdatedAt = p.CreatedAt
	events = append(events, newDelivery("user.created", p))
	p.UpdatedAt, p.Email, p.FirstName = p.UpdatedAt.Add(time.Minute), username+"@second.example", "Second"
	events = append(events, newDelivery("user.updated", p))
	p.UpdatedAt, p.Email, p.Username, p.Banned = p.UpdatedAt.Add(time.Minute), username+"@third.example", username+"_x", true
	events = append(events, newDelivery("user.updated", p))
	return events, p
}

// permutations of n things.
func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			p := append(append(append([]int{}, shorter[:at]...), n-1), shorter[at:]...)
			all = append(all, p)
		}
	}
	return all
}

// Each order of created, updated, updated and deleted, and each without the
// deletion, with every delivery twice and some at once, on two replicas.
func TestDeliveriesInEveryOrder(t *testing.T) {
	parallel(t)
	s := newStack(t)
	replicas := []*program{s.replica(t), s.replica(t)}
	conn := connect(t, s.database)
	type person struct{ id, username, order string }
	var stay, leave []person
	var all sync.WaitGroup
	play := func(deletion bool, orders [][]int) (people []person) {
		for n, order := range orders {
			who := person{newUserID(), fmt.Sprintf("life_%v_%d", deletion, n), fmt.Sprint(order)}
			people = append(people, who)
			events, last := lives(who.id, who.username)
			if deletion {
				events = append(events, newDelivery("user.deleted", last))
			}
			all.Go(func() {
				for step, i := range order {
					events[i].deliver(t, replicas[(n+step)%2])
					events[order[rand.N(step+1)]].deliver(t, replicas[(n+step+1)%2]) // one of those before, again
					if step == n%len(order) && n%3 == 0 {                            // and among them a first request
						replicas[step%2].get(t, "/v1/profiles/me", s.clerk.Mint(clerkstandin.WithUser(who.id)))
					}
				}
			})
		}
		return people
	}
	stay, leave = play(false, permutations(3)), play(true, permutations(4))
	all.Wait()
	eventually(t, "everything is applied", func() bool { return inboxIsEmpty(t, conn) })

	for _, who := range stay {
		var got string
		scan(t, conn, &got, `SELECT concat_ws(' ', handle, display_name, email, status) FROM profiles WHERE clerk_user_id = $1`, who.id)
		if want := who.username + " First " + who.username + "@third.example suspended"; got != want {
			t.Errorf("order %s ended as %q, not %q", who.order, got, want)
		}
		replicas[0].get(t, "/v1/profiles/me", s.clerk.Mint(clerkstandin.WithUser(who.id))).wantProblem(t, 403, "account-suspended")
	}
	for _, who := range leave {
		replicas[1].get(t, "/v1/profiles/me", s.clerk.Mint(clerkstandin.WithUser(who.id))).wantProblem(t, 401, "account-erased")
	}
	var left, twice int
	scan(t, conn, &left, "SELECT count(*) FROM profiles WHERE handle LIKE 'life_true%' OR email LIKE 'life_true%'")
	scan(t, conn, &twice, "SELECT count(*) FROM (SELECT 1 FROM audit_events WHERE action IN ('profile.created', 'profile.erased') GROUP BY profile_id, action HAVING count(*) > 1) x")
	if left != 0 || twice != 0 {
		t.Errorf("%d who left are still there; %d were created or erased twice", left, twice)
	}
	var deadlocks int
	if scan(t, conn, &deadlocks, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); deadlocks != 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
	for _, p := range replicas {
		if log := p.stdout.String(); strings.Contains(log, ".example") || strings.Contains(log, leave[0].id) {
			t.Error("the log tells of whom")
		}
	}
}

// A first request fills its profile from Clerk when no webhook comes.
func TestAFirstRequestIsFilledFromClerk(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t)
	token, id := s.person(t)
	s.clerk.PutPerson(clerkstandin.Person{ID: id, Username: "filled_in", FirstName: "Filled", LastName: "In", Email: "filled@example.org", EmailVerified: true,
		ImageURL: "https://img.example/f", CreatedAt: time.Now()})
	s.clerk.Break(clerkstandin.Fault{Status: 500}) // it may be away at first
	first := p.get(t, "/v1/profiles/me", token).profile(t)
	eventually(t, "it was put off", func() bool {
		return p.metrics(t).value(`jobs_finished_total{kind="profile_refresh",outcome="snoozed"}`) >= 1
	})
	if r := p.get(t, "/v1/profiles/me", token); r.field(t, "email") != nil || r.profile(t).Handle != first.Handle {
		t.Errorf("%s", r.body)
	}
	s.clerk.Heal()
	eventually(t, "the profile is filled", func() bool { return p.get(t, "/v1/profiles/me", token).field(t, "email") == "filled@example.org" })
	r := p.get(t, "/v1/profiles/me", token)
	if got := r.profile(t); got.ID != first.ID || got.Handle != "filled_in" || r.field(t, "display_name") != "Filled In" || r.field(t, "avatar_url") != "https://img.example/f" {
		t.Errorf("%s", r.body)
	}
	// Somebody whom Clerk does not know keeps the profile: only the reconciliation can judge that.
	stranger, _ := s.person(t)
	p.get(t, "/v1/profiles/me", stranger).profile(t)
	eventually(t, "Clerk was asked", func() bool {
		return p.metrics(t).value(`jobs_finished_total{kind="profile_refresh",outcome="completed"}`) >= 2
	})
	p.get(t, "/v1/profiles/me", stranger).profile(t)
}

// kill ends the program without a chance to say good-bye.
func (p *program) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.wait(t)
	p.expected = p.status()
}

// outside is what other services got: the ids of events by profile and version.
type outside struct {
	mu   sync.Mutex
	ids  map[string]map[string]bool // "profile version" → ids
	late []string                   // what came after a later one that had not come before
	high map[string]int64
}

func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		ID   string `json:"id"`
		Data struct {
			ProfileID string `json:"profile_id"`
			Version   int64  `json:"version"`
		} `json:"data"`
	}
	if json.NewDecoder(r.Body).Decode(&event) != nil || event.ID != r.Header.Get("webhook-id") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := fmt.Sprint(event.Data.ProfileID, " ", event.Data.Version)
	if o.ids[key] == nil {
		o.ids[key] = map[string]bool{}
		if event.Data.Version != o.high[event.Data.ProfileID]+1 {
			o.late = append(o.late, key)
		}
		o.high[event.Data.ProfileID] = event.Data.Version
	}
	o.ids[key][event.ID] = true
	w.WriteHeader(http.StatusNoContent)
}

// A replica that is killed at any moment, again and again, while Clerk delivers:
// at the end the state is right, and other services have heard of each version
// once, in order and under one id.
func TestKilledAtAnyMomentNothingIsLost(t *testing.T) {
	parallel(t)
	s := newStack(t)
	receiver := &outside{ids: map[string]map[string]bool{}, high: map[string]int64{}}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	s.settings = s.with("EVENTS_WEBHOOK_URLS", server.URL, "EVENTS_WEBHOOK_SECRET", "whsec_AAECAwQFBgcICQ==")
	conn := connect(t, s.database)
	steady := s.replica(t)
	const rounds, people = 5, 6
	ids := map[string]string{} // by user name
	for round := range rounds {
		victim := s.replica(t)
		var all sync.WaitGroup
		for n := range people {
			id, username := newUserID(), fmt.Sprintf("kill_%d_%d", round, n)
			ids[username] = id
			events, _ := lives(id, username)
			for _, i := range rand.Perm(len(events)) {
				all.Go(func() {
					for status := 0; status/100 != 2; time.Sleep(20 * time.Millisecond) { // Clerk tries again, elsewhere at last
						status, _ = events[i].send(t, victim)
						if status/100 != 2 && victim.ended() {
							status, _ = events[i].send(t, steady)
						}
					}
				})
			}
		}
		time.Sleep(rand.N(400 * time.Millisecond))
		victim.kill(t)
		all.Wait()
	}
	for end := time.Now().Add(rescue); !inboxIsEmpty(t, conn); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not everything was applied")
		}
	}
	eventually(t, "every event is delivered", func() bool {
		var pending int
		scan(t, conn, &pending, "SELECT count(*) FROM event_outbox")
		return pending == 0
	})
	for username, id := range ids {
		var got string
		scan(t, conn, &got, `SELECT concat_ws(' ', handle, email, status) FROM profiles WHERE clerk_user_id = $1`, id)
		if want := username + " " + username + "@third.example suspended"; got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	rows, err := conn.Query(context.Background(), "SELECT id || ' ' || v FROM profiles, generate_series(1, version) v")
	if err != nil {
		t.Fatal(err)
	}
	want, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	for _, key := range want {
		if len(receiver.ids[key]) != 1 {
			t.Errorf("version %s was told under %d ids", key, len(receiver.ids[key]))
		}
	}
	if len(receiver.ids) != len(want) || len(receiver.late) > 0 || len(want) < rounds*people {
		t.Errorf("%d versions were told of %d; out of order: %v", len(receiver.ids), len(want), receiver.late)
	}
}
