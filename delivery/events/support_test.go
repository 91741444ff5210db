package events_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/profile-api/profile-api/delivery/events"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/internal/testschema"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/internal/teststores"
	"github.com/profile-api/profile-api/repository/eventsink"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const (
	// liveness is how long anything may take before a test gives up on it.
	liveness = time.Minute
	secret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// aheadClock is ahead of the system's by so many nanoseconds.
type aheadClock struct{ atomic.Int64 }

func (c *aheadClock) Now() time.Time { return time.Now().Add(time.Duration(c.Load())) }

// message is an event as an endpoint got it.
type message struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		ProfileID string `json:"profile_id"`
		Version   int64  `json:"version"`
	} `json:"data"`
}

// endpoint notes what it gets, and answers as the test says.
type endpoint struct {
	url    string
	answer func(w http.ResponseWriter, r *http.Request, m message) // nil: 204

	mu  sync.Mutex
	got []message
}

func newEndpoint(t *testing.T, answer func(http.ResponseWriter, *http.Request, message)) *endpoint {
	t.Helper()
	e := &endpoint{answer: answer}
	oracle, err := standardwebhooks.NewWebhook(secret)
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil { // the sender was cut off
			return
		}
		var m message
		if err := json.Unmarshal(body, &m); err != nil || m.ID != r.Header.Get("webhook-id") || oracle.Verify(body, r.Header) != nil {
			t.Errorf("got %s with %v: %v", body, r.Header, err)
		}
		e.mu.Lock()
		e.got = append(e.got, m)
		e.mu.Unlock()
		if e.answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		e.answer(w, r, m)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// of lists what came of a profile, in the order of arrival.
func (e *endpoint) of(profileID string) (list []message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.got {
		if m.Data.ProfileID == profileID {
			list = append(list, m)
		}
	}
	return list
}

// versions are those of of, each one once.
func (e *endpoint) versions(profileID string) (list []int64) {
	for _, m := range e.of(profileID) {
		if !slices.Contains(list, m.Data.Version) {
			list = append(list, m.Data.Version)
		}
	}
	return list
}

// world is a database, and endpoints that its programs know.
type world struct {
	url       string
	conn      *pgx.Conn
	log       *testlog.Buffer
	endpoints []*endpoint
}

func newWorld(t *testing.T, endpoints ...*endpoint) *world {
	t.Helper()
	w := &world{url: testschema.Database(t), log: &testlog.Buffer{}, endpoints: endpoints}
	var err error
	w.conn, err = pgx.Connect(within(t), w.url)
	must(t, err)
	t.Cleanup(func() { _ = w.conn.Close(context.Background()) })
	return w
}

// program is what one process has of all this.
type program struct {
	*world
	db       *postgres.DB
	outbox   *postgres.EventOutbox
	profiles *usecase.Profiles
	runner   *events.Runner
	clock    aheadClock   // of the dispatches
	looks    atomic.Int32 // at the schema
	registry *prometheus.Registry
	kill     context.CancelFunc
	ended    chan struct{}
}

// program makes one whose events nobody sends yet.
func (w *world) program(t *testing.T, opts postgres.Options) *program {
	t.Helper()
	opts.URL, opts.AcquireTimeout = w.url, liveness
	p := &program{world: w, registry: prometheus.NewRegistry()}
	var err error
	p.db, err = postgres.Open(t.Context(), opts)
	must(t, err)
	t.Cleanup(func() { must(t, p.db.Close()) })
	var keys []string
	for _, e := range w.endpoints {
		keys = append(keys, eventsink.KeyOf(e.url))
	}
	p.outbox = postgres.NewEventOutbox(p.db, keys...)
	p.profiles = usecase.NewProfiles(teststores.Over(p.db, systemClock{}, storetest.Hashes, domain.Cursors{}, keys...))
	return p
}

var labels = []string{"http_1", "http_2", "http_3"}

// run starts the sending, until the test ends.
func (p *program) run(t *testing.T) *program {
	t.Helper()
	secrets, err := domain.NewWebhookSecrets([]string{secret})
	must(t, err)
	m, err := p.db.Migrator()
	must(t, err)
	deps := events.Deps{
		Queue: p.outbox, Migrations: countedGate{m, &p.looks}, Clock: systemClock{}, Registry: p.registry, Poll: 100 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	for i, e := range p.endpoints {
		sink, err := eventsink.NewHTTP(e.url, secrets, systemClock{})
		must(t, err)
		deps.Sinks = append(deps.Sinks, events.Sink{Label: labels[i], Dispatch: usecase.NewEventDispatch(usecase.EventDispatchDeps{
			Queue: p.outbox, Sink: sink, Key: eventsink.KeyOf(e.url), Clock: &p.clock,
		})})
	}
	p.runner = events.New(t.Context(), deps)
	ctx, kill := context.WithCancel(context.Background())
	p.kill, p.ended = kill, make(chan struct{})
	go func() {
		defer close(p.ended)
		if err := p.runner.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { kill(); <-p.ended; must(t, m.Close()) })
	return p
}

// countedGate counts the looks at the schema.
type countedGate struct {
	usecase.MigrationGate

	looks *atomic.Int32
}

func (g countedGate) Pending(ctx context.Context) (bool, error) {
	defer g.looks.Add(1)
	return g.MigrationGate.Pending(ctx)
}

// edit makes one change of somebody's profile, which is created with the first.
func (p *program) edit(t *testing.T, user, bio string) *domain.Profile {
	t.Helper()
	profile, err := p.profiles.UpdateOwn(within(t), storetest.Caller(user), domain.ProfilePatch{Bio: domain.Some(bio)}, domain.IfMatch{})
	must(t, err)
	return profile
}

// waiting counts the rows of the outbox.
func (w *world) waiting(t *testing.T) (n int) {
	t.Helper()
	must(t, w.conn.QueryRow(within(t), "SELECT count(*) FROM event_outbox").Scan(&n))
	return n
}

// count reads event_deliveries_total.
func (p *program) count(t *testing.T, sink, outcome string) float64 {
	t.Helper()
	families, err := p.registry.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == "event_deliveries_total" && l[0].GetValue() == outcome && l[1].GetValue() == sink {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Errorf("there is no series of %s and %s", sink, outcome)
	return 0
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

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(liveness); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
