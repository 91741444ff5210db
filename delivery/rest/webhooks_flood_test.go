package rest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testhooks"
)

// heldBody is a body that does not come before it is let go. It tells when it is asked for.
type heldBody struct {
	asked, goOn chan struct{}
	once        sync.Once
}

func (b *heldBody) Read([]byte) (int, error) {
	b.once.Do(func() { close(b.asked) })
	<-b.goOn
	return 0, io.EOF
}

func newHeldBody() *heldBody {
	return &heldBody{asked: make(chan struct{}), goOn: make(chan struct{})}
}

func (b *heldBody) wasAsked() bool {
	select {
	case <-b.asked:
		return true
	default:
		return false
	}
}

func length(n int64) with { return func(r *http.Request) { r.ContentLength = n } }

// What the headers show is refused with the body unread, and counted like any other.
func TestABodyIsNotReadForBadHeaders(t *testing.T) {
	w := newWorld(t)
	cases := map[string]with{
		"no id": header("Svix-Id"), "two ids": header("Svix-Id", "a", "b"), "an odd id": header("Svix-Id", "a b"),
		"no timestamp": header("Svix-Timestamp"), "an odd timestamp": header("Svix-Timestamp", "soon"), "too old": header("Svix-Timestamp", "1"),
		"no signature": header("Svix-Signature"), "another version": header("Svix-Signature", "v1a,x v2,x"), "no version": header("Svix-Signature", "x"),
	}
	for name, change := range cases {
		body := newHeldBody()
		close(body.goOn)
		w.do(t, "POST", webhookPath, body, w.signedBy(t, testhooks.Secret, "msg_1", nil), mediaType("application/json"), length(100), change).
			problem(t, 400, domain.CodeMalformedRequest)
		if body.wasAsked() {
			t.Errorf("%s: the body was read", name)
		}
	}
	calls := w.limiter.taken()
	if len(calls) != len(cases) || calls[0].policy != domain.PolicyIP || w.webhookEvents(t, "other", "rejected") != float64(len(cases)) {
		t.Errorf("counted %v, rejected %v", calls, w.webhookEvents(t, "other", "rejected"))
	}
}

// hold sends a body that does not come, and waits until it is being read.
func (w *world) hold(t *testing.T, wg *sync.WaitGroup, size int64) *heldBody {
	t.Helper()
	body := newHeldBody()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhookPath, body)
	r.RemoteAddr = "192.0.2.1:1234"
	w.signedBy(t, testhooks.OtherSecret, "msg_held", nil)(r)
	length(size)(r)
	wg.Go(func() { w.api.ServeHTTP(httptest.NewRecorder(), r) })
	select {
	case <-body.asked:
	case <-time.After(liveness):
		t.Error("a place should be free")
	}
	return body
}

// Of bodies whose sender is not known only so many are read at once; one more waits
// as long as a request may and is not read. Small ones and large ones are not in
// each other's way.
func TestUnverifiedBodiesHaveABound(t *testing.T) {
	for name, c := range map[string]struct {
		size, other int64
		places      int
	}{
		"large": {middleware.MaxWebhookBytes, 64 << 10, 16}, "undeclared": {-1, 1, 16}, "small": {64 << 10, 64<<10 + 1, 256},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(d *Deps) { d.RequestTimeout = 3 * time.Second })
			var wg sync.WaitGroup
			held := make([]*heldBody, c.places)
			for i := range held {
				held[i] = w.hold(t, &wg, c.size)
			}
			close(w.hold(t, &wg, c.other).goOn) // the other kind has places of its own
			late := newHeldBody()
			close(late.goOn)
			w.do(t, "POST", webhookPath, late, w.signedBy(t, testhooks.Secret, "msg_1", nil), mediaType("application/json"), length(c.size)).
				problem(t, 504, domain.CodeTimeout)
			if late.wasAsked() {
				t.Error("it was read")
			}
			close(held[0].goOn)
			close(w.hold(t, &wg, c.size).goOn) // whose place is free again
			for _, body := range held[1:] {
				close(body.goOn)
			}
			wg.Wait()
		})
	}
}

// As many slow senders as there are places: Clerk's deliveries are taken while they
// last, and theirs end long before a request must.
func TestSlowSendersDoNotStopDeliveries(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout = 2 * liveness })
	server := w.serve(t)
	slow := make([]*bufio.Reader, 16)
	for i := range slow {
		conn := dial(t, server)
		slow[i] = bufio.NewReader(conn)
		_, err := io.WriteString(conn, w.signedHead(t, testhooks.OtherSecret, nil, middleware.MaxWebhookBytes)+"{")
		must(t, err)
	}
	take := func(result, body string) {
		t.Helper()
		conn := dial(t, server)
		_, err := io.WriteString(conn, w.signedHead(t, testhooks.Secret, []byte(body), len(body))+body)
		must(t, err)
		wantTaken(t, readReply(t, bufio.NewReader(conn), "POST"), "msg_1", result)
	}
	event := w.event("user.created", somebody())
	take("queued", event)
	take("known", event+strings.Repeat(" ", 64<<10)) // large: it waits for a place
	for _, from := range slow {
		readReply(t, from, "POST").problem(t, 504, domain.CodeTimeout)
	}
}

// signedHead is the head of a delivery msg_1 whose body has so many bytes.
func (w *world) signedHead(t *testing.T, secret string, body []byte, size int) string {
	t.Helper()
	lines := []string{"POST " + webhookPath + " HTTP/1.1", "Host: test", fmt.Sprint("Content-Length: ", size)}
	for name, values := range testhooks.Header(t, secret, "msg_1", w.clock.Now(), body) {
		lines = append(lines, name+": "+values[0])
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}
