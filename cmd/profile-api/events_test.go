package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/profile-api/profile-api/internal/testservers"
)

const (
	eventsSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	formerSecret  = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	endpointToken = "t0ken-of-an-endpoint"
)

// event is what another service gets.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		ProfileID string `json:"profile_id"`
		Version   int64  `json:"version"`
	} `json:"data"`
}

// endpoint is another service. While it hangs it answers nothing.
type endpoint struct {
	url   string
	hangs atomic.Bool

	mu  sync.Mutex
	got []event
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil { // the sender was killed
			return
		}
		for _, secret := range []string{eventsSecret, formerSecret} {
			oracle, err := standardwebhooks.NewWebhook(secret)
			if err == nil {
				err = oracle.Verify(body, r.Header)
			}
			if err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
		var got event
		if err := json.Unmarshal(body, &got); err != nil || got.ID != r.Header.Get("webhook-id") {
			t.Errorf("%s: %v", body, err)
		}
		e.mu.Lock()
		e.got = append(e.got, got)
		e.mu.Unlock()
		if e.hangs.Load() {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	e.url = server.URL + "/hook?key=" + endpointToken
	return e
}

func (e *endpoint) events() []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// withEvents is the stack's settings with the endpoints.
func (s *stack) withEvents(endpoints ...*endpoint) {
	var urls []string
	for _, e := range endpoints {
		urls = append(urls, e.url)
	}
	s.settings = s.with("EVENTS_WEBHOOK_URLS", strings.Join(urls, ","), "EVENTS_WEBHOOK_SECRET", eventsSecret+","+formerSecret)
}

// waitingEvents counts the events that no sink has taken.
func waitingEvents(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	scan(t, conn, &n, "SELECT count(*) FROM event_outbox")
	return n
}

// wantAll compares what came with what was committed: of each version of each
// profile one event under one id, in order.
func wantAll(t *testing.T, conn *pgx.Conn, name string, got []event) {
	t.Helper()
	ids, last := map[string]string{}, map[string]int64{}
	for _, e := range got {
		key := fmt.Sprint(e.Data.ProfileID, " ", e.Data.Version)
		if old, ok := ids[key]; ok && old != e.ID {
			t.Errorf("%s: version %s came as %s and as %s", name, key, old, e.ID)
		} else if !ok && e.Data.Version != last[e.Data.ProfileID]+1 {
			t.Errorf("%s: version %s came after %d", name, key, last[e.Data.ProfileID])
		} else if !ok {
			ids[key], last[e.Data.ProfileID] = e.ID, e.Data.Version
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := conn.Query(ctx, "SELECT id::text FROM audit_events WHERE action LIKE 'profile.%' ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	committed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if came := slices.Sorted(maps.Values(ids)); len(committed) == 0 || !slices.Equal(came, committed) {
		t.Errorf("%s: %d changes were committed and %d events came, or others", name, len(committed), len(came))
	}
}

func streamOf(t *testing.T, address, name string) (list []event) {
	t.Helper()
	opts, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	entries, err := client.XRange(ctx, name, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		var e event
		if err := json.Unmarshal([]byte(text(entry.Values["data"])), &e); err != nil || e.ID != entry.Values["id"] || e.Type != entry.Values["type"] {
			t.Errorf("entry %v: %v", entry.Values, err)
		}
		list = append(list, e)
	}
	return list
}

// Events of all kinds arrive at two endpoints and in the stream; operators see it.
func TestEventsArriveEverywhere(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	one, two := newEndpoint(t), newEndpoint(t)
	s.withEvents(one, two)
	p := s.replica(t, "EVENTS_STREAM", "profile-events", "EVENTS_STREAM_MAXLEN", "1000", "LOG_LEVEL", "debug")
	if m := p.metrics(t); m.value(`event_deliveries_total{outcome="delivered",sink="http_1"}`) != 0 || !strings.Contains(string(p.rawMetrics(t)), `event_deliveries_total{outcome="failed",sink="stream"} 0`) {
		t.Error("the counts do not begin at zero")
	}
	for range 5 {
		token, _ := s.person(t)
		p.get(t, "/v1/profiles/me", token)
		p.patch(t, "/v1/profiles/me", token, `{"bio":"told to nobody"}`)
		if r := p.call(t, "DELETE", "/v1/profiles/me", token, ""); r.status != 202 {
			t.Fatalf("erase: %d %s", r.status, r.body)
		}
	}
	eventually(t, "all has arrived", func() bool { return waitingEvents(t, conn) == 0 })
	wantAll(t, conn, "the first endpoint", one.events())
	wantAll(t, conn, "the second endpoint", two.events())
	wantAll(t, conn, "the stream", streamOf(t, s.settings["VALKEY_URL"], "profile-events"))
	eventually(t, "the metrics tell", func() bool {
		m := p.metrics(t)
		return m.value(`event_deliveries_total{outcome="delivered",sink="http_2"}`) == 15 && m.value(`event_deliveries_total{outcome="delivered",sink="stream"}`) == 15
	})
	raw := string(p.rawMetrics(t))
	for _, sink := range []string{"http_1", "http_2", "stream"} {
		for _, name := range []string{"event_outbox_pending", "event_outbox_oldest_seconds"} {
			if !strings.Contains(raw, name+`{sink="`+sink+`"} 0`) {
				t.Errorf("there is no %s of %s", name, sink)
			}
		}
	}
	wantFixedLabels(t, raw)
	p.stop(t)
	for _, secret := range []string{endpointToken, eventsSecret[6:], "told to nobody", "changed_fields", strings.Split(one.url, "/")[2]} {
		if strings.Contains(p.stdout.String()+raw, secret) {
			t.Errorf("the log or the metrics hold %s", secret)
		}
	}
	if !strings.Contains(p.stdout.String(), `"event_id":"`+one.events()[0].ID+`"`) {
		t.Error("the log does not name the event")
	}
}

// The process dies while an endpoint does not answer; the next one sends the same event under the same id.
func TestAnEventOutlivesItsProcess(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	e := newEndpoint(t)
	e.hangs.Store(true)
	s.withEvents(e)
	first := s.replica(t)
	token, _ := s.person(t)
	first.get(t, "/v1/profiles/me", token)
	first.patch(t, "/v1/profiles/me", token, `{"bio":"x"}`)
	eventually(t, "the event hangs", func() bool { return len(e.events()) == 1 })
	first.signal(t, syscall.SIGKILL)
	first.wait(t)
	first.expected = first.status()
	if n := waitingEvents(t, conn); n != 2 {
		t.Fatalf("%d events wait", n)
	}
	e.hangs.Store(false)
	second := s.replica(t)
	if age := second.metrics(t).value(`event_outbox_oldest_seconds{sink="http_1"}`); age <= 0 {
		t.Errorf("the oldest event is %v s old", age)
	}
	eventually(t, "all has arrived", func() bool { return waitingEvents(t, conn) == 0 })
	if got := e.events(); len(got) < 3 || got[0].ID != got[1].ID {
		t.Errorf("got %+v", got)
	}
	wantAll(t, conn, "the endpoint", e.events())
}

// SIGTERM while an endpoint hangs: the program ends in time and in good order, and nothing is lost.
func TestShutdownPutsAHangingEventBack(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	e := newEndpoint(t)
	e.hangs.Store(true)
	s.withEvents(e)
	first := s.replica(t, "SHUTDOWN_TIMEOUT", "5s") // less than a try has
	token, _ := s.person(t)
	first.get(t, "/v1/profiles/me", token)
	eventually(t, "the event hangs", func() bool { return len(e.events()) > 0 })
	first.stop(t)
	if line, ok := first.line("stopped"); !ok || line["clean"] != true {
		t.Errorf("the last word is %v", line)
	}
	e.hangs.Store(false)
	s.replica(t)
	eventually(t, "all has arrived", func() bool { return waitingEvents(t, conn) == 0 })
	wantAll(t, conn, "the endpoint", e.events())
}

// Killed again and again in the middle of traffic: of everything that was committed there is one event, and it arrives.
func TestKillsLoseNoEvent(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	e := newEndpoint(t)
	s.withEvents(e)
	s.settings = s.with("EVENTS_STREAM", "profile-events")
	const people, rounds = 6, 4
	tokens := make([]string, people)
	for i := range tokens {
		tokens[i], _ = s.person(t)
	}
	for range rounds {
		p := s.replica(t)
		stop := make(chan struct{})
		var traffic sync.WaitGroup
		for i, token := range tokens {
			traffic.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default: // what fails was cut off by the kill
						_, _ = p.try("PATCH", "/v1/profiles/me", token, fmt.Sprintf(`{"bio":"%d %d"}`, i, rand.N(1<<40)), "Content-Type", "application/json")
					}
				}
			})
		}
		time.Sleep(200*time.Millisecond + rand.N(800*time.Millisecond))
		p.signal(t, syscall.SIGKILL)
		p.wait(t)
		p.expected = p.status()
		close(stop)
		traffic.Wait()
	}
	s.replica(t)
	eventually(t, "all has arrived", func() bool { return waitingEvents(t, conn) == 0 })
	wantAll(t, conn, "the endpoint", e.events())
	wantAll(t, conn, "the stream", streamOf(t, s.settings["VALKEY_URL"], "profile-events"))
	t.Logf("%d deliveries", len(e.events()))
}

// While Valkey is away changes are made as ever, and their events wait for it.
func TestEventsWaitForValkey(t *testing.T) {
	parallel(t)
	server := testservers.OwnValkey(t)
	s := stackOn(t, migrated(t), server.URL())
	conn := connect(t, s.database)
	p := s.replica(t, "EVENTS_STREAM", "profile-events")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	token, _ := s.person(t)
	for range 3 {
		if r := p.patch(t, "/v1/profiles/me", token, fmt.Sprintf(`{"bio":"%d"}`, rand.N(1<<40))); r.status != 200 {
			t.Fatalf("while Valkey is away a change is %d: %s", r.status, r.body)
		}
	}
	eventually(t, "it was tried in vain", func() bool { return p.metrics(t).value(`event_deliveries_total{outcome="failed",sink="stream"}`) >= 1 })
	if m := p.metrics(t); m.value(`event_outbox_pending{sink="stream"}`) != 4 || m.value(`event_outbox_oldest_seconds{sink="stream"}`) <= 0 {
		t.Errorf("pending %v", m.value(`event_outbox_pending{sink="stream"}`))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all has arrived", func() bool { return waitingEvents(t, conn) == 0 })
	wantAll(t, conn, "the stream", streamOf(t, server.URL(), "profile-events"))
}

// While the database is away there is no age of the outbox, rather than a zero.
func TestTheOutboxIsAbsentWithoutADatabase(t *testing.T) {
	parallel(t)
	p := start(t, production("postgres://u:p@"+freeAddr(t)+"/x", "redis://"+freeAddr(t), "http://"+freeAddr(t)+"/v1").with("EVENTS_STREAM", "profile-events"))
	raw := string(p.rawMetrics(t))
	if strings.Contains(raw, "event_outbox") || !strings.Contains(raw, `event_deliveries_total{outcome="delivered",sink="stream"} 0`) {
		t.Errorf("the metrics are\n%s", raw)
	}
	p.stop(t)
}

// What a command changes leaves events for the sinks of the command's own settings, and for none without.
func TestACommandLeavesEventsForItsOwnSettings(t *testing.T) {
	parallel(t)
	s := newStack(t)
	conn := connect(t, s.database)
	s.populate(2)
	reconcile := func() {
		t.Helper()
		if r := command(t, s.settings, "reconcile"); r.status != 0 {
			t.Fatalf("%d\n%s%s", r.status, r.stdout, r.stderr)
		}
	}
	reconcile()
	if n := waitingEvents(t, conn); n != 0 {
		t.Errorf("%d events for nobody", n)
	}
	e := newEndpoint(t)
	s.withEvents(e)
	s.populate(3) // others: two are erased and three created
	s.settings = s.with("RECONCILE_MAX_ERASE_PERCENT", "100")
	reconcile()
	s.replica(t)
	eventually(t, "the events arrive", func() bool { return len(e.events()) >= 5 })
	if n := len(e.events()); n != 5 {
		t.Errorf("%d events", n)
	}
}
