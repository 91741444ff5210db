package rest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/delivery/ops"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testhooks"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

const webhookPath = "/v1/webhooks/clerk"

// rotatedSecret is the second of the secrets that are set.
const rotatedSecret = "whsec_cm90YXRlZC1zZWNyZXQtb2YtdGhlLXRlc3Rz"

var webhookSecrets = sync.OnceValue(func() domain.WebhookSecrets {
	s, err := domain.NewWebhookSecrets([]string{testhooks.Secret, rotatedSecret})
	if err != nil {
		panic(err)
	}
	return s
})

func (w *world) inbox(t *testing.T, stores usecase.ProfilesDeps, log *slog.Logger) *usecase.Inbox {
	t.Helper()
	return usecase.NewInbox(usecase.InboxDeps{
		Tx: w.db, Deliveries: postgres.NewWebhookDeliveries(w.db), Queue: stores.Queue, Identities: stores.Identities,
		Mirror: usecase.NewMirror(stores), Sealer: testSealer, Hashes: testHashes, Clock: w.clock, Observer: ops.NewInbox(w.registry, log),
	})
}

// signedBy adds the headers that Svix's library makes.
func (w *world) signedBy(t *testing.T, secret, id string, body []byte) with {
	t.Helper()
	h := testhooks.Header(t, secret, id, w.clock.Now(), body)
	return func(r *http.Request) {
		for name, values := range h {
			r.Header[name] = values
		}
	}
}

// deliver sends a signed delivery.
func (w *world) deliver(t *testing.T, id, body string, changes ...with) reply {
	t.Helper()
	changes = append([]with{mediaType("application/json"), w.signedBy(t, testhooks.Secret, id, []byte(body))}, changes...)
	return w.do(t, "POST", webhookPath, body, changes...)
}

// somebody is a person of Clerk's with a made-up id.
func somebody() clerkstandin.Person {
	p := clerkstandin.NewPerson("noether", "Emmy", "Noether", "")
	p.ID = "user_" + rand.Text()
	return p
}

func (w *world) event(eventType string, p clerkstandin.Person) string {
	return string(clerkstandin.Event(eventType, p, w.clock.Now()))
}

// rows counts what is stored of deliveries, jobs included.
func (w *world) rows(t *testing.T) int64 {
	t.Helper()
	return w.count(t, "SELECT (SELECT count(*) FROM webhook_deliveries) + (SELECT count(*) FROM river_job WHERE kind = 'webhook_delivery')")
}

func (w *world) webhookEvents(t *testing.T, eventType, outcome string) float64 {
	t.Helper()
	return w.metric(t, "webhook_events_total", map[string]string{"type": eventType, "outcome": outcome})
}

func wantTaken(t *testing.T, got reply, id, result string) {
	t.Helper()
	m := got.want(t, 202).object(t)
	wantNames(t, m, "id", "result")
	if m["id"] != id || m["result"] != result || got.header.Get("RateLimit") != "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, headers %v", got.body, got.header)
	}
}

func TestADeliveryIsTakenOnce(t *testing.T) {
	w := newWorld(t)
	p := somebody()
	wantTaken(t, w.deliver(t, "msg_1", w.event("user.created", p)), "msg_1", "queued")
	wantTaken(t, w.deliver(t, "msg_1", w.event("user.created", p)), "msg_1", "known")
	wantTaken(t, w.deliver(t, "msg_2", w.event("user.updated", p), w.signedBy(t, rotatedSecret, "msg_2", []byte(w.event("user.updated", p)))), "msg_2", "queued")
	wantTaken(t, w.deliver(t, "msg_3", `{"type":"session.created","data":{"id":"sess_1"}}`), "msg_3", "ignored")
	if n := w.rows(t); n != 4 {
		t.Errorf("%d rows and jobs", n)
	}
	for name, want := range map[string]float64{
		"user.created received": 1, "user.created known": 1, "user.updated received": 1, "other ignored": 1, "user.deleted received": 0, "other rejected": 0,
	} {
		eventType, outcome, _ := strings.Cut(name, " ")
		if got := w.webhookEvents(t, eventType, outcome); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if calls := w.limiter.taken(); len(calls) != 0 {
		t.Errorf("the limiter was asked %v", calls)
	}
	if w.clerk.UserRequests()+w.clerk.KeyFetches() != 0 {
		t.Error("Clerk was asked")
	}
	lines := w.log.lines(t, "webhook")
	if len(lines) != 4 || lines[0]["delivery_id"] != "msg_1" || lines[0]["outcome"] != "received" || lines[1]["outcome"] != "known" {
		t.Errorf("log %v", lines)
	}
	for _, secret := range []string{p.ID, p.Email, p.ImageURL, "Noether", "v1,"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// Each header once, each byte signed, in time: else 400 and nothing is stored.
func TestBadDeliveriesAreRefused(t *testing.T) {
	w := newWorld(t)
	body := w.event("user.created", somebody())
	at := func(offset time.Duration) with {
		h := testhooks.Header(t, testhooks.Secret, "msg_1", w.clock.Now().Add(offset), []byte(body))
		return func(r *http.Request) {
			for name, values := range h {
				r.Header[name] = values
			}
		}
	}
	twice := func(name string) with {
		return func(r *http.Request) { r.Header[name] = append(r.Header[name], r.Header[name][0]) }
	}
	cases := map[string]with{
		"no id": header("Svix-Id"), "no timestamp": header("Svix-Timestamp"), "no signature": header("Svix-Signature"),
		"an empty id": header("Svix-Id", ""), "an empty timestamp": header("Svix-Timestamp", ""), "an empty signature": header("Svix-Signature", ""),
		"two ids": twice("Svix-Id"), "two timestamps": twice("Svix-Timestamp"), "two signatures": twice("Svix-Signature"),
		"another id": header("Svix-Id", "msg_2"), "a long id": w.signedBy(t, testhooks.Secret, strings.Repeat("m", 256), []byte(body)),
		"an odd timestamp": header("Svix-Timestamp", "soon"), "too old": at(-301 * time.Second), "too new": at(301 * time.Second),
		"another body": w.signedBy(t, testhooks.Secret, "msg_1", []byte(body+" ")), "another secret": w.signedBy(t, testhooks.OtherSecret, "msg_1", []byte(body)),
		"v1a": func(r *http.Request) { r.Header["Svix-Signature"][0] = "v1a" + r.Header["Svix-Signature"][0][2:] },
		"the unbranded headers": func(r *http.Request) {
			for _, name := range []string{"Id", "Timestamp", "Signature"} {
				r.Header["Webhook-"+name] = r.Header["Svix-"+name]
				delete(r.Header, "Svix-"+name)
			}
		},
		"a token instead": func(r *http.Request) { bearer(w.person(adminRole).token)(r); delete(r.Header, "Svix-Signature") },
	}
	for name, change := range cases {
		got := w.deliver(t, "msg_1", body, change).problem(t, 400, domain.CodeMalformedRequest)
		if detail := got.object(t)["detail"].(string); !strings.Contains(detail, "svix-") || strings.Contains(detail, "msg_") {
			t.Errorf("%s: %s", name, detail)
		}
	}
	if n := w.rows(t); n != 0 {
		t.Errorf("%d rows and jobs", n)
	}
	calls := w.limiter.taken()
	for _, call := range calls {
		if call.policy != domain.PolicyIP {
			t.Errorf("counted under %s", call.policy)
		}
	}
	if got := w.webhookEvents(t, "other", "rejected"); got != float64(len(cases)) || len(calls) != len(cases) {
		t.Errorf("%v rejected, %d counted, of %d", got, len(calls), len(cases))
	}
	if n := w.metric(t, "auth_token_verifications_total", nil); n != 0 {
		t.Errorf("%v tokens were judged", n)
	}
	for _, offset := range []time.Duration{-300 * time.Second, 300 * time.Second} { // inclusive
		w.deliver(t, "msg_1", body, at(offset)).want(t, 202)
	}
}

func TestMalformedDeliveriesAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{"", " ", "null", "[]", "{", "{}", `{"type":7}`, `{"type":"user.created"}`, `{"type":"user.created","data":[]}`, `{"Type":"user.created","data":{}}`, "{}{}"} {
		w.deliver(t, "msg_1", body).problem(t, 400, domain.CodeMalformedRequest)
	}
	if n := w.rows(t); n != 0 || w.webhookEvents(t, "other", "rejected") != 11 {
		t.Errorf("%d rows and jobs, %v rejected", n, w.webhookEvents(t, "other", "rejected"))
	}
	// What is inside of data is no reason to refuse: it is stored where an operator sees it.
	for i, data := range []any{map[string]any{}, map[string]any{"id": 7}, json.RawMessage(`{"first_name":"\ud800"}`)} {
		body := string(clerkstandin.EventOf("user.updated", data, w.clock.Now()))
		wantTaken(t, w.deliver(t, fmt.Sprint("msg_", i), body), fmt.Sprint("msg_", i), "ignored")
	}
	if n := w.count(t, "SELECT count(*) FROM webhook_deliveries WHERE state = 'dead' AND sealed_data IS NULL"); n != 3 || w.webhookEvents(t, "user.updated", "dead") != 3 {
		t.Errorf("%d are dead, %v counted", n, w.webhookEvents(t, "user.updated", "dead"))
	}
	wantTaken(t, w.deliver(t, "msg_bad", string(clerkstandin.EventOf("user.updated", map[string]any{"id": "user_1"}, w.clock.Now()))), "msg_bad", "queued")
	// A media type means nothing: what is signed is the body.
	w.do(t, "POST", webhookPath, strings.NewReader(`{"type":"x"}`), w.signedBy(t, testhooks.Secret, "msg_x", []byte(`{"type":"x"}`)), mediaType("text/plain")).want(t, 202)
}

// 1 MiB passes whatever other bodies may have, declared or not; one byte more does not.
func TestTheLimitOfADelivery(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.MaxBodyBytes = 10 })
	body := func(size int) string {
		event := `{"type":"user.updated","data":{"id":"user_big","updated_at":1,"public_metadata":"`
		return event + strings.Repeat("a", size-len(event)-len(`"}}`)) + `"}}`
	}
	undeclared := func(r *http.Request) { r.ContentLength = -1 }
	for name, changes := range map[string][]with{"declared": nil, "undeclared": {undeclared}} {
		full, over := body(middleware.MaxWebhookBytes), body(middleware.MaxWebhookBytes+1)
		before, rejected := w.rows(t), w.webhookEvents(t, "other", "rejected")
		w.deliver(t, "msg_over_"+name, over, changes...).problem(t, 413, domain.CodePayloadTooLarge)
		if w.rows(t) != before || w.webhookEvents(t, "other", "rejected") != rejected+1 {
			t.Errorf("%s: stored, or not counted", name)
		}
		wantTaken(t, w.deliver(t, "msg_full_"+name, full, changes...), "msg_full_"+name, "queued")
	}
	// What is kept has a limit of its own; over it, the delivery is seen and nothing more.
	large := strings.Replace(body(80_000), "public_metadata", "first_name", 1)
	wantTaken(t, w.deliver(t, "msg_large", large), "msg_large", "ignored")
	if n := w.count(t, "SELECT count(*) FROM webhook_deliveries WHERE id = 'msg_large' AND state = 'dead' AND reason LIKE 'payload-too-large: %' AND sealed_data IS NULL"); n != 1 {
		t.Error("it is not dead with its reason, or its data is there")
	}
	// Nobody else's limit has changed.
	w.do(t, "PATCH", "/v1/profiles/me", strings.Repeat(" ", 11), w.person().is()).problem(t, 413, domain.CodePayloadTooLarge)
}

func TestWithoutASecretThereIsNoRoute(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.WebhookSecrets, d.Inbox = domain.WebhookSecrets{}, nil })
	r := w.signedBy(t, testhooks.Secret, "msg_1", []byte(`{}`))
	w.api.ServeHTTP(noWriter{t}, mustRequest(t, r))
}

// mustRequest is a signed request past the document, which knows the route.
func mustRequest(t *testing.T, change with) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, webhookPath, strings.NewReader(`{}`))
	must(t, err)
	r.RemoteAddr = "192.0.2.1:1"
	change(r)
	return r
}

// noWriter fails unless the status is 404.
type noWriter struct{ t *testing.T }

func (noWriter) Header() http.Header         { return http.Header{} }
func (noWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w noWriter) WriteHeader(status int) {
	if status != 404 {
		w.t.Errorf("status %d", status)
	}
}

// Whoever guesses signatures is limited by address, and Clerk is not.
func TestUnverifiedDeliveriesAreLimited(t *testing.T) {
	w := newWorld(t)
	body := w.event("user.created", somebody())
	w.limiter.script(refuse)
	w.deliver(t, "msg_1", body, w.signedBy(t, testhooks.OtherSecret, "msg_1", []byte(body))).problem(t, 429, domain.CodeRateLimited)
	w.deliver(t, "msg_1", body, header("Svix-Id")).problem(t, 429, domain.CodeRateLimited)
	if got := w.webhookEvents(t, "other", "rejected"); got != 2 {
		t.Errorf("%v rejected", got)
	}
	wantTaken(t, w.deliver(t, "msg_1", body), "msg_1", "queued")
	calls := w.limiter.taken()
	if len(calls) != 2 || calls[0].key != calls[1].key {
		t.Errorf("the limiter was asked %v", calls)
	}
}

// An Authorization header is not looked at, whoever's; nor is a body read twice.
func TestATokenMeansNothingToADelivery(t *testing.T) {
	w := newWorld(t)
	body := w.event("user.created", somebody())
	for i, change := range []with{bearer("bad"), header("Authorization", "a", "b"), w.person(adminRole).is(), header("Idempotency-Key", "a", "b")} {
		wantTaken(t, w.deliver(t, fmt.Sprint("msg_", i), body, change), fmt.Sprint("msg_", i), "queued")
	}
	if n := w.metric(t, "auth_token_verifications_total", nil); n != 0 {
		t.Errorf("%v tokens were judged", n)
	}
	if n := w.count(t, "SELECT count(*) FROM profiles"); n != 0 {
		t.Errorf("%d profiles", n)
	}
}

// A hundred repeats at once, on two replicas: one row, one job.
func TestAHundredRepeatsAtOnce(t *testing.T) {
	w := newWorld(t)
	other, err := postgres.Open(t.Context(), postgres.Options{URL: w.url, MaxOpen: 8, AcquireTimeout: liveness})
	must(t, err)
	defer func() { must(t, other.Close()) }()
	deps, stores := w.deps, storesOver(other, w.clock)
	deps.Inbox = usecase.NewInbox(usecase.InboxDeps{
		Tx: other, Deliveries: postgres.NewWebhookDeliveries(other), Queue: stores.Queue, Identities: stores.Identities,
		Mirror: usecase.NewMirror(stores), Sealer: testSealer, Hashes: testHashes, Clock: w.clock, Observer: nopObserver{},
	})
	second := &world{deps: deps, api: New(deps), clock: w.clock}
	body := w.event("user.created", somebody())
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			from := w
			if i%2 == 0 {
				from = second
			}
			from.deliver(t, "msg_1", body).want(t, 202)
		})
	}
	wg.Wait()
	if n := w.rows(t); n != 2 {
		t.Errorf("%d rows and jobs, want one of each", n)
	}
}

type nopObserver struct{}

func (nopObserver) Delivery(context.Context, string, domain.WebhookType, domain.WebhookOutcome, string) {
}
func (nopObserver) Lag(time.Duration) {}

// A delivery that waits for the database longer than a request may is 504, and nothing is stored.
func TestADeliveryThatTakesTooLong(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout = 200 * time.Millisecond })
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	defer func() { must(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE webhook_deliveries")
	must(t, err)
	w.deliver(t, "msg_1", w.event("user.created", somebody())).problem(t, 504, domain.CodeTimeout)
	must(t, tx.Rollback(t.Context()))
	if n := w.rows(t); n != 0 {
		t.Errorf("%d rows and jobs", n)
	}
}

// Over a real connection: a body that stops, one that is too slow, one without a length.
func TestDeliveriesOverTheWire(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout = 500 * time.Millisecond })
	server := w.serve(t)
	body := w.event("user.created", somebody())
	h := testhooks.Header(t, testhooks.Secret, "msg_1", w.clock.Now(), []byte(body))
	lines := func(more ...string) string {
		for name, values := range h {
			more = append(more, name+": "+values[0])
		}
		return "POST " + webhookPath + " HTTP/1.1\r\nHost: test\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
	}
	send := func(text string, end bool) reply {
		conn := dial(t, server)
		_, err := io.WriteString(conn, text)
		must(t, err)
		if end {
			must(t, conn.CloseWrite())
		}
		return readReply(t, bufio.NewReader(conn), "POST")
	}
	length := fmt.Sprint("Content-Length: ", len(body))
	send(lines(length)+body[:10], true).problem(t, 400, domain.CodeMalformedRequest)
	send(lines(length)+body[:10], false).problem(t, 504, domain.CodeTimeout)
	if n := w.rows(t); n != 0 {
		t.Errorf("%d rows and jobs", n)
	}
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	wantTaken(t, send(lines("Transfer-Encoding: chunked")+chunked, false), "msg_1", "queued")
	wantTaken(t, send(lines(length)+body, false), "msg_1", "known")
}

// No table but profiles ever holds an e-mail or a Clerk id that a delivery brought.
func TestADumpOfTheInboxNamesNobody(t *testing.T) {
	w := newWorld(t)
	p := somebody()
	for i, eventType := range []string{"user.created", "user.updated", "user.deleted"} {
		w.deliver(t, fmt.Sprint("msg_", i), w.event(eventType, p)).want(t, 202)
	}
	for _, name := range []string{p.ID, strings.TrimPrefix(p.ID, "user_"), p.Email, p.ImageURL, p.LastName, p.FirstName} {
		n := w.count(t, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'
			AND query_to_xml(format('SELECT * FROM %I', tablename), true, false, '')::text LIKE '%' || $1::text || '%'`, name)
		if n != 0 {
			t.Errorf("%d tables hold %q", n, name)
		}
	}
}
