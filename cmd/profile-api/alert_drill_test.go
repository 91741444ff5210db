//go:build drill

package main_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testservers"
)

// The real program, the real rules in a real Prometheus, and one fault after the
// other: each must make its alerts fire, and they must end with it. Run it with
// `make alert-drill`; it takes about seven minutes. Burn rates over days and the disk are
// for the cases of promtool alone.
func TestAlertDrill(t *testing.T) {
	d := newDrill(t)
	d.await("all quiet", func() bool { return d.prometheus.up(t) == 2 && len(d.firing()) == 0 })

	d.step("a replica is gone", d.killReplica, d.startReplica, "ProfileAPIInstanceDown")
	d.step("Valkey is killed", func() { must(t, d.valkey.Kill()) }, func() { must(t, d.valkey.Start(d.ctx)) }, "ProfileAPIHealthFailing")
	d.step("PostgreSQL is killed", func() { must(t, d.postgres.Kill()) }, func() { must(t, d.postgres.Start(d.ctx)) },
		"ProfileAPIHealthFailing", "ProfileAPIErrorRateHigh", "ProfileAPIAvailabilityBudgetBurn over 1h", "ProfileAPIAvailabilityBudgetBurn over 6h")
	d.step("forged tokens come in a flood", d.flood, d.endFlood, "ProfileAPITokenVerificationFailures over 5m", "ProfileAPIRateLimitRefusals")
	d.step("statements hang on a lock", d.hang, d.endHang, "ProfileAPIPoolExhausted", "ProfileAPIRequestTimeouts", "ProfileAPILatencyHigh")
	d.step("Clerk is away when a replica starts", d.loseClerk, d.findClerk, "ProfileAPIKeySetAgeing")
	d.step("an endpoint takes no events", d.stopEvents, d.takeEvents, "ProfileAPIOutboxAge")
	d.step("deliveries come an hour late", d.deliverLate, func() {}, "ProfileAPIWebhookLag")
	d.step("a delivery is dead", d.buryDelivery, d.dismissDelivery, "ProfileAPIDeadJobs")
	d.summary()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// step injects a fault, sees the alerts fire, takes it away and sees them clear.
func (d *drill) step(what string, inject, mend func(), alerts ...string) {
	d.t.Helper()
	begun := time.Now()
	d.t.Logf("%s", what)
	inject()
	for _, alert := range alerts {
		d.await(alert+" fires", func() bool { return d.firing()[alert] != "" })
		d.t.Logf("  fires after %3.0f s: %s: %s", time.Since(begun).Seconds(), alert, d.firing()[alert])
	}
	mended := time.Now()
	mend()
	for _, alert := range alerts {
		d.await(alert+" clears", func() bool { return d.firing()[alert] == "" })
		d.t.Logf("  clears after %2.0f s: %s", time.Since(mended).Seconds(), alert)
		d.seen[alert] = true
	}
}

// drill is what the steps work on.
type drill struct {
	*stack
	t        *testing.T
	ctx      context.Context
	postgres interface {
		Kill() error
		Start(context.Context) error
	}
	valkey interface {
		Kill() error
		Start(context.Context) error
	}
	clerkAddr  string
	endpoint   *endpoint
	a, b       *program
	bSettings  settings
	prometheus *prometheus
	seen       map[string]bool
	stopFlood  func()
	stopHang   func()
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	postgres, valkey := testservers.OwnPostgres(t), testservers.OwnValkey(t)
	d := &drill{t: t, ctx: t.Context(), postgres: postgres, valkey: valkey, clerkAddr: freeAddr(t), endpoint: newEndpoint(t), seen: map[string]bool{}}
	d.stack = &stack{database: postgres.URL("postgres"), clerk: newClerk(t)}
	d.running = startClerk(t, d.clerk, d.clerkAddr)
	d.settings = production(d.database, valkey.URL(), d.running.APIURL()).with(
		"DB_MAX_OPEN_CONNS", "10", "DB_MAX_IDLE_CONNS", "10", "REQUEST_TIMEOUT", "2s", "RATE_LIMIT_IP", "60/1m")
	d.withEvents(d.endpoint)
	if r := command(t, d.settings, "migrate", "up"); r.status != 0 {
		t.Fatalf("migrate up: %d, %s", r.status, r.stderr)
	}
	d.a = d.replica(t)
	d.bSettings = d.with("HTTP_ADDR", freeAddr(t), "OPS_ADDR", freeAddr(t))
	d.startReplica()
	d.prometheus = startPrometheus(t, d.a.ops, d.b.ops)
	d.keepAsking(10, func(i int) {
		p, id := d.a, "user_drillmembernumber"+strconv.Itoa(i%5)
		_, _ = p.try(http.MethodGet, "/v1/profiles/me", d.clerk.Mint(clerkstandin.WithUser(id)), "") // what becomes of it is Prometheus's to tell
	})
	return d
}

// keepAsking calls that many times a second, each on its own, until the returned
// function or the test's end.
func (d *drill) keepAsking(perSecond int, ask func(i int)) (stop func()) {
	ctx, cancel := context.WithCancel(d.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				wg.Go(func() { ask(i) })
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	d.t.Cleanup(stop)
	return stop
}

// await is eventually with the patience that windows of half a minute need.
func (d *drill) await(what string, ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if ok() {
			return
		}
	}
	d.t.Fatalf("waited in vain: %s; firing: %v", what, d.firing())
}

func (d *drill) firing() map[string]string { return d.prometheus.firing(d.t) }

func (d *drill) killReplica()  { d.b.stop(d.t) }
func (d *drill) startReplica() { d.b = start(d.t, d.bSettings) }

func (d *drill) flood() {
	forged := d.clerk.Mint(clerkstandin.WithUser("user_drillforger"))
	forged = forged[:strings.LastIndexByte(forged, '.')+1] + strings.Repeat("A", 342)
	d.stopFlood = d.keepAsking(20, func(int) { _, _ = d.a.try(http.MethodGet, "/v1/profiles/me", forged, "") })
}

func (d *drill) endFlood() { d.stopFlood() }

// hang locks a person's row, and twelve changes of it wait at every moment: more than the pool has connections.
func (d *drill) hang() {
	const id = "user_drillmembernumber0"
	release := lockProfile(d.t, d.database, id)
	stop := d.keepAsking(6, func(int) {
		_, _ = d.a.try(http.MethodPatch, "/v1/profiles/me", d.clerk.Mint(clerkstandin.WithUser(id)), `{"bio":"waits"}`, "Content-Type", "application/json")
	})
	d.stopHang = func() { stop(); release() }
}

func (d *drill) endHang() { d.stopHang() }

func (d *drill) loseClerk() {
	stopClerk(d.t, d.running)
	d.b.stop(d.t)
	d.startReplica()
}

func (d *drill) findClerk() { d.running = startClerk(d.t, d.clerk, d.clerkAddr) }

// stopEvents lets an event wait that claims to be an hour old: the threshold of the age is not shortened with the windows.
func (d *drill) stopEvents() {
	d.endpoint.hangs.Store(true)
	conn := connect(d.t, d.database)
	token, _ := d.person(d.t)
	eventually(d.t, "a profile is made", func() bool { return d.a.get(d.t, "/v1/profiles/me", token).status == http.StatusOK })
	_, err := conn.Exec(d.ctx, "UPDATE event_outbox SET occurred_at = occurred_at - interval '1 hour'")
	must(d.t, err)
}

func (d *drill) takeEvents() { d.endpoint.hangs.Store(false) }

func (d *drill) deliverLate() {
	for i := range 40 {
		m := member()
		m.UpdatedAt = time.Now().Add(-time.Hour)
		d.a.wantTaken(d.t, "msg_late_"+strconv.Itoa(i), "queued", clerkstandin.Event("user.updated", m, time.Now()))
	}
}

func (d *drill) buryDelivery() {
	_, err := connect(d.t, d.database).Exec(d.ctx, `INSERT INTO webhook_deliveries (id, type, state, received_at, updated_at)
		VALUES ('msg_dead', 'user.updated', 'dead', now(), now())`)
	must(d.t, err)
}

func (d *drill) dismissDelivery() {
	if r := command(d.t, d.settings, "webhooks", "dismiss", "--reason", "test", "msg_dead"); r.status != 0 {
		d.t.Fatalf("dismiss: status %d, %s%s", r.status, r.stdout, r.stderr)
	}
}

// summary says which alerts were not among the faults: their proof are the cases of promtool.
func (d *drill) summary() {
	var left []string
	for _, r := range d.prometheus.rules {
		if r.Alert != "" && !d.seen[r.Name()] {
			left = append(left, r.Name())
		}
	}
	d.t.Logf("%d alerts fired and cleared; not tried here: %s", len(d.seen), strings.Join(left, ", "))
}
