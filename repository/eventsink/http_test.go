package eventsink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/eventsink"
	"github.com/profile-api/profile-api/usecase"
)

var _ usecase.EventSink = (*eventsink.HTTP)(nil)

const (
	secret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	token       = "t0ken-of-the-endpoint"
)

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func sinkOf(t *testing.T, url string) *eventsink.HTTP {
	t.Helper()
	secrets, err := domain.NewWebhookSecrets([]string{secret, otherSecret})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := eventsink.NewHTTP(url, secrets, systemClock{})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func endpoint(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/hook?key=" + token
}

func event() domain.PendingEvent {
	return domain.PendingEvent{EventID: domain.NewID(time.Now()), Type: domain.ActionProfileUpdated, Payload: []byte(`{"a":"é"}`), Attempts: 1}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// What is sent passes the public library of Standard Webhooks, under each secret.
func TestWhatIsSent(t *testing.T) {
	e := event()
	var seen atomic.Int32
	sink := sinkOf(t, endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != string(e.Payload) {
			t.Errorf("body %q, %v", body, err)
		}
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/hook?key="+token || r.ContentLength != int64(len(e.Payload)) {
			t.Errorf("%s %s, %d bytes", r.Method, r.URL, r.ContentLength)
		}
		for name, want := range map[string]string{"webhook-id": e.EventID, "Content-Type": "application/json", "User-Agent": "profile-api"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for _, s := range []string{secret, otherSecret} {
			oracle, err := standardwebhooks.NewWebhook(s)
			if err == nil {
				err = oracle.Verify(body, r.Header)
			}
			if err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	if err := sink.Deliver(within(t, time.Minute), e); err != nil || seen.Load() != 1 {
		t.Errorf("%v, asked %d times", err, seen.Load())
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		header string // Retry-After
		ok     bool
		after  time.Duration
	}{
		{status: 200, ok: true}, {status: 201, ok: true}, {status: 204, ok: true}, {status: 299, ok: true, header: "60"},
		{status: 301}, {status: 302}, {status: 307}, {status: 308}, {status: 304}, {status: 400}, {status: 401}, {status: 404}, {status: 410}, {status: 500},
		{status: 500, header: "60"}, {status: 502, header: "60"}, {status: 404, header: "60"}, {status: 307, header: "60"},
		{status: 429, header: "60", after: time.Minute}, {status: 503, header: "60", after: time.Minute}, {status: 503, header: "99999999999999999999"}, {status: 503, header: "999999999", after: 24 * time.Hour},
		{status: 503, header: "-5"}, {status: 503, header: "soon"}, {status: 503, header: "Thu, 01 Jan 1970 00:00:00 GMT"},
		{status: 503, header: "Fri, 31 Dec 9999 23:59:59 GMT", after: 24 * time.Hour},
	} {
		var asked atomic.Int32
		sink := sinkOf(t, endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", r.URL.String())
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.status)
			if c.status != http.StatusNoContent && c.status != http.StatusNotModified {
				_, _ = io.WriteString(w, "the answer's text, "+strings.Repeat("and so on ", 100_000))
			}
		}))
		err := sink.Deliver(within(t, time.Minute), event())
		var e *domain.Error
		switch {
		case c.ok && err != nil:
			t.Errorf("%d: %v", c.status, err)
		case !c.ok && (!errors.As(err, &e) || e.Kind() != domain.Unavailable || e.Message() != fmt.Sprintf("The endpoint answered with status %d.", c.status)):
			t.Errorf("%d: %v", c.status, err)
		case !c.ok && e.RetryAfter() != c.after:
			t.Errorf("%d, %q: after %s", c.status, c.header, e.RetryAfter())
		}
		if asked.Load() != 1 {
			t.Errorf("%d: asked %d times", c.status, asked.Load())
		}
		wantNothingTold(t, err)
	}
}

// wantNothingTold fails when an error tells where the event went or what came back.
func wantNothingTold(t *testing.T, err error) {
	t.Helper()
	if err != nil && regexp.MustCompile(token+`|127\.0\.0\.1|http:|hook|answer's`).MatchString(err.Error()) {
		t.Errorf("the error tells too much: %v", err)
	}
}

func TestEndpointsThatDoNotAnswer(t *testing.T) {
	hanging := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client has left
		<-r.Context().Done()
	})
	broken := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	for name, c := range map[string]struct{ url, message string }{
		"hangs":          {hanging, "The endpoint did not answer in time."},
		"hangs up":       {broken, "The endpoint could not be reached."},
		"nobody listens": {"http://127.0.0.1:1/hook?key=" + token, "The endpoint could not be reached."},
		"no such host":   {"http://" + token + ".invalid/hook", "The endpoint could not be reached."},
		"no TLS there":   {strings.Replace(broken, "http:", "https:", 1), "The endpoint could not be reached."},
	} {
		patience := time.Minute
		if name == "hangs" {
			patience = 200 * time.Millisecond
		}
		err := sinkOf(t, c.url).Deliver(within(t, patience), event())
		var e *domain.Error
		if !errors.As(err, &e) || e.Kind() != domain.Unavailable || e.Message() != c.message {
			t.Errorf("%s: %v", name, err)
		}
		wantNothingTold(t, err)
	}
}

// A handshake for each event would cost more than the event.
func TestConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	sink := sinkOf(t, server.URL)
	for range 5 {
		if err := sink.Deliver(within(t, time.Minute), event()); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for five events", n)
	}
}

func TestURLsThatAreNone(t *testing.T) {
	secrets, err := domain.NewWebhookSecrets([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"", "hook", "/hook", "ftp://a/" + token, "https://", "https://a/%zz" + token} {
		if _, err := eventsink.NewHTTP(url, secrets, systemClock{}); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestKeys(t *testing.T) {
	one, other := eventsink.KeyOf("https://a.dev/"+token), eventsink.KeyOf("https://a.dev/x")
	if one == other || !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(one) || one != eventsink.KeyOf("https://a.dev/"+token) {
		t.Errorf("%s, %s", one, other)
	}
}
