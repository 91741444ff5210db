// Package sentrystandin is a Sentry for tests: it takes envelopes as Sentry's
// relay does (https://develop.sentry.dev/sdk/data-model/envelopes/), keeps the
// events, and can be away, slow or hostile.
package sentrystandin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	publicKey = "0123456789abcdef0123456789abcdef"
	project   = "42"
)

// Server is one Sentry.
type Server struct {
	http *httptest.Server
	stop chan struct{} // closed at the end: lets go of who hangs

	mu     sync.Mutex
	asked  int
	events []Event
	raw    []string
	faults []error
	answer http.HandlerFunc // instead of 200
}

// Event is what tests look at. Raw is the whole of it.
type Event struct {
	ID          string            `json:"event_id"`
	Release     string            `json:"release"`
	Environment string            `json:"environment"`
	Transaction string            `json:"transaction"`
	Level       string            `json:"level"`
	Fingerprint []string          `json:"fingerprint"`
	Tags        map[string]string `json:"tags"`
	Contexts    map[string]struct {
		TraceID string `json:"trace_id"`
		SpanID  string `json:"span_id"`
	} `json:"contexts"`
	Exception []struct {
		Type       string `json:"type"`
		Value      string `json:"value"`
		Stacktrace *struct {
			Frames []struct {
				Function string         `json:"function"`
				Module   string         `json:"module"`
				Filename string         `json:"filename"`
				InApp    bool           `json:"in_app"`
				Vars     map[string]any `json:"vars"`
			} `json:"frames"`
		} `json:"stacktrace"`
	} `json:"exception"`
	Raw string `json:"-"`
}

// New starts one for the test, which fails when anything was sent that Sentry would not take.
func New(t *testing.T) *Server {
	t.Helper()
	s := &Server{stop: make(chan struct{})}
	s.http = httptest.NewServer(s)
	t.Cleanup(func() {
		close(s.stop)
		s.http.Close()
		for _, err := range s.faults {
			t.Errorf("Sentry would not take it: %v", err)
		}
	})
	return s
}

// DSN is what SENTRY_DSN must be.
func (s *Server) DSN() string {
	return strings.Replace(s.http.URL, "http://", "http://"+publicKey+"@", 1) + "/" + project
}

// Answer makes the server answer every envelope with h from now on; nil: as Sentry does.
func (s *Server) Answer(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

// Hang answers nothing until the client or the test has gone.
func (s *Server) Hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.stop:
	}
}

// Stopped is closed at the end of the test.
func (s *Server) Stopped() <-chan struct{} { return s.stop }

// Asked is how many envelopes came.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Events are the events that were taken, in their order.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// Everything is all that came, headers and bodies.
func (s *Server) Everything() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.raw, "\n")
}

// ServeHTTP takes one envelope.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	events, parseErr := parse(r, body)
	s.mu.Lock()
	s.asked++
	s.raw = append(s.raw, fmt.Sprintf("%s %s %v\n%s", r.Method, r.URL, r.Header, body))
	answer := s.answer
	if err = errors.Join(err, parseErr); err != nil {
		s.faults = append(s.faults, err)
	} else if answer == nil {
		s.events = append(s.events, events...)
	}
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	_, _ = io.WriteString(w, "{}") // the sender may have gone
}

// parse reads an envelope: a line with a header, then items of a line with a
// header and a payload of the length that this says, each ended by a line feed.
func parse(r *http.Request, body []byte) (events []Event, err error) {
	if r.Method != http.MethodPost || r.URL.Path != "/api/"+project+"/envelope/" {
		return nil, fmt.Errorf("%s %s", r.Method, r.URL.Path)
	}
	if auth := r.Header.Get("X-Sentry-Auth"); !strings.Contains(auth, "sentry_key="+publicKey) {
		return nil, errors.New("the key is missing")
	}
	head, rest, _ := bytes.Cut(body, []byte("\n"))
	var envelope struct {
		EventID string `json:"event_id"`
	}
	if err := json.Unmarshal(head, &envelope); err != nil {
		return nil, fmt.Errorf("the envelope's header: %w", err)
	}
	for len(bytes.TrimSpace(rest)) > 0 {
		head, rest, _ = bytes.Cut(rest, []byte("\n"))
		var item struct {
			Type   string `json:"type"`
			Length int    `json:"length"`
		}
		if err := json.Unmarshal(head, &item); err != nil || item.Length > len(rest) {
			return nil, fmt.Errorf("an item's header %s: %w", head, err)
		}
		payload := rest[:item.Length]
		rest = bytes.TrimPrefix(rest[item.Length:], []byte("\n"))
		if item.Type != "event" {
			return nil, fmt.Errorf("an item of the type %q", item.Type)
		}
		e := Event{Raw: string(payload)}
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, fmt.Errorf("an event: %w", err)
		}
		if len(e.ID) != 32 || e.ID != envelope.EventID {
			return nil, fmt.Errorf("the event's id is %q, the envelope's %q", e.ID, envelope.EventID)
		}
		events = append(events, e)
	}
	return events, nil
}
