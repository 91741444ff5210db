package events_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/repository/postgres"
)

func upTo(n int64) (list []int64) {
	for v := range n {
		list = append(list, v+1)
	}
	return list
}

// Every way in which an endpoint may fail: the same event comes again under the
// same id, what follows it waits, and nobody else does: neither other profiles nor
// other endpoints.
func TestAFailureDelaysNobodyElse(t *testing.T) {
	hold := make(chan struct{})
	var release sync.Once
	t.Cleanup(func() { release.Do(func() { close(hold) }) })
	var poor atomic.Value // the profile whose events fail
	poor.Store("")
	var tries atomic.Int32
	failing := newEndpoint(t, func(w http.ResponseWriter, r *http.Request, m message) {
		if m.Data.ProfileID != poor.Load() {
			return
		}
		switch tries.Add(1) {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case 3:
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		case 4:
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	})
	healthy := newEndpoint(t, nil)
	w := newWorld(t, failing, healthy)
	p := w.program(t, postgres.Options{})
	first := p.edit(t, "user_poor", "1") // created, then updated
	poor.Store(first.ID)
	p.run(t)
	for i := range 5 {
		p.edit(t, "user_poor", fmt.Sprint("x", i))
	}
	eventually(t, "the fourth try hangs", func() bool { return tries.Load() == 4 })
	other := p.edit(t, "user_other", "1")
	for _, e := range w.endpoints {
		eventually(t, "the other profile's events arrive", func() bool { return slices.Equal(e.versions(other.ID), upTo(2)) })
	}
	eventually(t, "the other endpoint gets all", func() bool { return slices.Equal(healthy.versions(first.ID), upTo(7)) })
	if got := failing.of(first.ID); len(got) != 4 {
		t.Fatalf("got %v", got)
	}
	release.Do(func() { close(hold) })
	eventually(t, "all has arrived", func() bool { return w.waiting(t) == 0 })
	got := failing.of(first.ID)
	for i, m := range got {
		if i < 4 && (m.ID != got[0].ID || m.Type != "profile.created") || i >= 4 && m.Data.Version != int64(i-2) {
			t.Errorf("%d: %+v", i, m)
		}
	}
	if delivered, failed := p.count(t, "http_1", "delivered"), p.count(t, "http_1", "failed"); delivered != 9 || failed != 3 {
		t.Errorf("%v delivered, %v failed", delivered, failed)
	}
	if p.count(t, "http_2", "delivered") != 9 || p.count(t, "http_2", "failed") != 0 {
		t.Error("the other endpoint's counts are wrong")
	}
	wantQuietLog(t, w, got[0].ID)
}

// wantQuietLog looks for the event's id, and for what may not be in a log.
func wantQuietLog(t *testing.T, w *world, id string) {
	t.Helper()
	for _, want := range []string{"event_id=" + id, "sink=http_1", "outcome=failed", `reason="The endpoint answered with status 500."`, "outcome=delivered"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, w.log)
		}
	}
	for _, e := range w.endpoints {
		if strings.Contains(w.log.String(), strings.TrimPrefix(e.url, "http://")) || strings.Contains(w.log.String(), "changed_fields") {
			t.Errorf("the log tells too much:\n%s", w.log)
		}
	}
}

// More profiles whose events are refused than there are places do not keep others from theirs.
func TestManyPoorProfilesTakeNotEveryPlace(t *testing.T) {
	const poor = 30
	names := map[string]bool{}
	var mu sync.Mutex
	stop := make(chan struct{})
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request, m message) {
		mu.Lock()
		bad := names[m.Data.ProfileID]
		mu.Unlock()
		if !bad {
			return
		}
		select { // a second try hangs: by then the places of tried events are all that it may take
		case <-stop:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(stop) })
	w := newWorld(t, e)
	p := w.program(t, postgres.Options{})
	for i := range poor {
		profile := p.edit(t, fmt.Sprint("user_poor_", i), "x")
		mu.Lock()
		names[profile.ID] = true
		mu.Unlock()
	}
	_, err := w.conn.Exec(within(t), "UPDATE event_outbox SET attempts = 1")
	must(t, err)
	p.run(t)
	eventually(t, "the poor ones hang", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.got) >= 4 })
	for i := range 20 {
		good := p.edit(t, fmt.Sprint("user_good_", i), "x")
		eventually(t, "the good ones' events arrive", func() bool { return slices.Equal(e.versions(good.ID), upTo(2)) })
	}
	e.mu.Lock()
	hanging := len(e.got) - 40
	e.mu.Unlock()
	if hanging != 4 {
		t.Errorf("%d tried events are under way, want 4", hanging)
	}
}

// An endpoint that answers 429 with Retry-After hears nothing of anybody for that long; others do.
func TestAnEndpointThatIsAskedTooMuchIsLeftAlone(t *testing.T) {
	var asked atomic.Int32
	busy := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request, _ message) {
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "1800")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	healthy := newEndpoint(t, nil)
	w := newWorld(t, busy, healthy)
	p := w.program(t, postgres.Options{})
	ids := []string{p.edit(t, "user_0", "x").ID}
	p.run(t)
	eventually(t, "the endpoint asks for a pause", func() bool { return p.count(t, "http_1", "failed") == 1 })
	for i := range 10 {
		id := p.edit(t, fmt.Sprint("user_", i+1), "x").ID
		eventually(t, "the other endpoint gets all", func() bool { return slices.Equal(healthy.versions(id), upTo(2)) })
		ids = append(ids, id)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	p.clock.Store(int64(30 * time.Minute))
	eventually(t, "all has arrived", func() bool { return w.waiting(t) == 0 })
	for _, id := range ids {
		if got := busy.versions(id); !slices.Equal(got, upTo(2)) {
			t.Errorf("versions %v", got)
		}
	}
}

// Two processes and one outbox: whatever they do at once, each endpoint sees each profile's versions in order and none is missing.
func TestTwoProcessesKeepTheOrder(t *testing.T) {
	const people, edits = 30, 12
	var asked atomic.Int32
	flaky := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request, _ message) {
		if asked.Add(1)%7 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w := newWorld(t, newEndpoint(t, nil), flaky)
	both := []*program{w.program(t, postgres.Options{}).run(t), w.program(t, postgres.Options{}).run(t)}
	ids := make([]string, people)
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() {
			for n := range edits {
				ids[i] = both[(i+n)%2].edit(t, fmt.Sprint("user_", i), fmt.Sprint(n)).ID
			}
		})
	}
	wg.Wait()
	eventually(t, "all has arrived", func() bool { return w.waiting(t) == 0 })
	for n, e := range w.endpoints {
		for _, id := range ids {
			if got := e.versions(id); !slices.Equal(got, upTo(edits+1)) {
				t.Errorf("endpoint %d: versions %v", n, got)
			}
			byVersion := map[int64]string{}
			last := int64(0)
			for _, m := range e.of(id) {
				if old, ok := byVersion[m.Data.Version]; ok && old != m.ID || m.Data.Version < last {
					t.Errorf("endpoint %d: %+v after version %d, %s", n, m, last, old)
				}
				byVersion[m.Data.Version], last = m.ID, m.Data.Version
			}
		}
	}
	if a, b := both[0].count(t, "http_1", "delivered"), both[1].count(t, "http_1", "delivered"); a+b != people*(edits+1) || a == 0 || b == 0 {
		t.Errorf("the processes delivered %v and %v", a, b)
	}
}

// On a pool of one connection an endpoint that hangs is in nobody's way.
func TestNoConnectionIsHeldWhileSending(t *testing.T) {
	stop := make(chan struct{})
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request, _ message) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	w := newWorld(t, e)
	p := w.program(t, postgres.Options{MaxOpen: 1}).run(t)
	var ids []string
	for i := range 10 {
		ids = append(ids, p.edit(t, fmt.Sprint("user_", i), "x").ID)
	}
	eventually(t, "every place is taken", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.got) == 8 })
	for i := range 20 {
		p.edit(t, "user_0", fmt.Sprint("y", i))
	}
	close(stop)
	eventually(t, "all has arrived", func() bool { return w.waiting(t) == 0 })
	if got := e.versions(ids[0]); !slices.Equal(got, upTo(22)) {
		t.Errorf("versions %v", got)
	}
}

// A drain lets arrive what can, and puts back what hangs, for the next process to find at once.
func TestDrain(t *testing.T) {
	var hangs atomic.Bool
	hangs.Store(true)
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request, m message) {
		if hangs.Load() && m.Type == "profile.created" {
			<-r.Context().Done()
		}
	})
	w := newWorld(t, e)
	p := w.program(t, postgres.Options{}).run(t)
	id := p.edit(t, "user_1", "x").ID
	eventually(t, "the event hangs", func() bool { return len(e.of(id)) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) // less than the try's own timeout
	defer cancel()
	p.runner.Drain(ctx)
	if ctx.Err() != nil {
		t.Error("the drain took all of its time")
	}
	<-p.ended
	hangs.Store(false)
	p.edit(t, "user_1", "y")
	if n := w.waiting(t); n != 3 {
		t.Errorf("%d events wait", n)
	}
	if p.count(t, "http_1", "failed") != 0 || !strings.Contains(w.log.String(), "outcome=interrupted") {
		t.Errorf("the interruption counts as the endpoint's failure: %s", w.log)
	}
	var claimed bool
	must(t, w.conn.QueryRow(within(t), "SELECT bool_or(next_attempt_at > now()) FROM event_outbox").Scan(&claimed))
	if claimed {
		t.Error("what was interrupted is not free at once")
	}
	w.program(t, postgres.Options{}).run(t)
	eventually(t, "all has arrived", func() bool { return w.waiting(t) == 0 })
	if got := e.of(id); len(got) != 4 || got[0].ID != got[1].ID || !slices.Equal(e.versions(id), upTo(3)) {
		t.Errorf("got %+v", got)
	}
}

// A process that died had claimed an event: it is sent again when the claim ends.
func TestAClaimEnds(t *testing.T) {
	e := newEndpoint(t, nil)
	w := newWorld(t, e)
	p := w.program(t, postgres.Options{})
	id := p.edit(t, "user_1", "x").ID
	_, err := w.conn.Exec(within(t), "UPDATE event_outbox SET attempts = 1, next_attempt_at = now() + interval '3 seconds' WHERE type = 'profile.created'")
	must(t, err)
	p.run(t)
	eventually(t, "all has arrived", func() bool { return w.waiting(t) == 0 })
	if !slices.Equal(e.versions(id), upTo(2)) {
		t.Errorf("versions %v", e.versions(id))
	}
}

func TestNothingIsSentBeforeTheSchemaIsCurrent(t *testing.T) {
	e := newEndpoint(t, nil)
	w := newWorld(t, e)
	p := w.program(t, postgres.Options{})
	id := p.edit(t, "user_1", "x").ID
	_, err := w.conn.Exec(within(t), "DELETE FROM goose_db_version WHERE version_id = 8")
	must(t, err)
	p.run(t)
	// Who looks a second time has seen that a migration is pending, and waited.
	eventually(t, "it looks again", func() bool { return p.looks.Load() >= 2 })
	var claims int
	must(t, w.conn.QueryRow(within(t), "SELECT sum(attempts) FROM event_outbox").Scan(&claims))
	if got := e.of(id); claims != 0 || len(got) != 0 {
		t.Errorf("with a migration pending it has claimed %d times and sent %v", claims, got)
	}
	_, err = w.conn.Exec(within(t), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (8, true)")
	must(t, err)
	eventually(t, "all has arrived", func() bool { return slices.Equal(e.versions(id), upTo(2)) })
}

// Events of a sink that was taken out of the settings are told of, and stay.
func TestEventsOfAFormerSink(t *testing.T) {
	e := newEndpoint(t, nil)
	w := newWorld(t, e)
	w.program(t, postgres.Options{}).edit(t, "user_1", "x")
	w.endpoints = nil
	p := w.program(t, postgres.Options{}).run(t)
	eventually(t, "the log tells", func() bool {
		return strings.Contains(w.log.String(), "level=WARN") && strings.Contains(w.log.String(), "events=2 ")
	})
	<-p.ended // there is nothing to do
	if n := w.waiting(t); n != 2 {
		t.Errorf("%d events are left", n)
	}
}

// A runner without a database can be told to stop as well.
func TestStopsBeforeItStarted(t *testing.T) {
	w := newWorld(t)
	w.url = "postgres://u:p@127.0.0.1:1/x"
	p := w.program(t, postgres.Options{}).run(t)
	p.runner.Drain(within(t))
	<-p.ended
}
