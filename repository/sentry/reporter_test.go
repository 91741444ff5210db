package sentry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/sentrystandin"
	"github.com/profile-api/profile-api/internal/testlog"
	"github.com/profile-api/profile-api/repository/sentry"
)

const patience = 30 * time.Second

// secret is what errors and panics hold here.
const secret = "grace@example.test"

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a reporter and its Sentry.
type world struct {
	*sentry.Reporter
	clock *clock
	log   testlog.Buffer

	mu     sync.Mutex
	counts map[sentry.Outcome]int
}

func newWorld(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{clock: &clock{now: time.Unix(1e9, 0)}, counts: map[sentry.Outcome]int{}}
	r, err := sentry.New(t.Context(), sentry.Options{
		DSN: dsn, Release: "profile-api@1.2.3+abc", Environment: "staging", Clock: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Count: func(o sentry.Outcome) { w.mu.Lock(); defer w.mu.Unlock(); w.counts[o]++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Reporter = r
	t.Cleanup(func() { w.end(0) })
	return w
}

// end flushes for as long as d.
func (w *world) end(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	w.Flush(ctx)
}

func (w *world) want(t *testing.T, o sentry.Outcome, n int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts[o] != n {
		t.Errorf("%d are counted as %s, want %d: %v", w.counts[o], o, n, w.counts)
	}
}

type databaseError struct{}

func (databaseError) Error() string    { return "Key (email)=(" + secret + ") is wrong" }
func (databaseError) SQLState() string { return "42703" }

func thrown(v any) (fault domain.Fault) {
	defer func() { fault = domain.Fault{Err: domain.NewPanic(recover())} }()
	throw(v)
	return fault
}

func throw(v any) { panic(v) }

var fields = map[string]string{
	"message": "request", "route": "/v1/profiles/{handle}", "method": "GET", "request_id": "r-1", "status": "500",
	"trace_id": strings.Repeat("a", 32), "span_id": strings.Repeat("b", 16),
	"cause": secret, "user": secret, "client_network": "203.0.113.0/24", "reason": secret, "stack": secret,
}

func TestAnEventSaysWhatItMayAndNothingElse(t *testing.T) {
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	err := fmt.Errorf("read %s: %w", secret, domain.NewError(domain.Internal, domain.CodeInternal, secret).WithCause(databaseError{}))
	w.Report(domain.Fault{Err: err}, fields)
	w.Report(thrown(secret), fields)
	w.Report(thrown(fmt.Errorf("%s", secret)), map[string]string{"kind": "purge", "job_id": "7", "attempt": "2"})
	w.end(patience)
	w.want(t, sentry.Sent, 3)
	events := s.Events()
	if len(events) != 3 {
		t.Fatalf("%d events", len(events))
	}
	if everything := s.Everything(); strings.Contains(everything, secret) || strings.Contains(everything, "203.0.113") || strings.Contains(everything, "/root") {
		t.Errorf("too much is told: %s", everything)
	}
	e := events[0]
	if e.Release != "profile-api@1.2.3+abc" || e.Environment != "staging" || e.Transaction != "GET /v1/profiles/{handle}" || e.Level != "error" ||
		e.Tags["request_id"] != "r-1" || e.Tags["trace_id"] != fields["trace_id"] || e.Tags["route"] != fields["route"] || e.Tags["method"] != "GET" ||
		e.Contexts["trace"].TraceID != fields["trace_id"] || e.Contexts["trace"].SpanID != fields["span_id"] {
		t.Errorf("the event is %s", e.Raw)
	}
	if x := e.Exception[0]; x.Type != "sentry_test.databaseError" || x.Value != "internal, SQLSTATE 42703, *fmt.wrapError > *domain.Error > sentry_test.databaseError" {
		t.Errorf("the exception is %+v", x)
	}
	if x := events[1].Exception[0]; x.Type != "panic" || x.Value != "string" {
		t.Errorf("the panic is %+v", x)
	}
	frames := events[1].Exception[0].Stacktrace.Frames
	last := frames[len(frames)-1]
	if last.Function != "throw" || !last.InApp || last.Filename != "github.com/profile-api/profile-api/repository/sentry_test/reporter_test.go" || last.Vars != nil {
		t.Errorf("it was thrown in %+v", last)
	}
	if events[2].Transaction != "job purge" || events[2].Tags["job_id"] != "7" || events[2].Tags["attempt"] != "2" {
		t.Errorf("the job's event is %s", events[2].Raw)
	}
}

func TestOneFaultIsOneIssue(t *testing.T) {
	on := func(route string) map[string]string { return map[string]string{"method": "GET", "route": route} }
	outOf := func(i int) (fault domain.Fault) { // by the runtime, which says the numbers
		defer func() { fault = domain.Fault{Err: domain.NewPanic(recover())} }()
		return domain.Fault{Err: []error{nil}[i]}
	}
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	reports := []struct {
		issue  string
		fault  domain.Fault
		fields map[string]string
	}{
		{"a", domain.Fault{Err: databaseError{}}, on("/a")},
		{"b", domain.Fault{Err: databaseError{}}, on("/b")},
		{"a", domain.Fault{Err: databaseError{}}, on("/a")},
		{"c", domain.Fault{Err: errors.New("x")}, on("/a")},
		{"c", domain.Fault{Err: errors.New("y")}, on("/a")},
		{"d", thrown([]int{}), on("/a")},
		{"d", thrown([]int{}), on("/b")},         // in code that both routes run
		{"e", thrown(errors.New("x")), on("/a")}, // by the same function: something else
		{"f", outOf(3), on("/a")},
		{"f", outOf(7), on("/b")},
		{"unknown", domain.Fault{}, on("/a")},
	}
	for _, r := range reports {
		w.Report(r.fault, r.fields)
	}
	w.end(patience)
	events := s.Events()
	if len(events) != len(reports) {
		t.Fatalf("%d events", len(events))
	}
	for i, a := range reports {
		for j, b := range reports {
			if same := slices.Equal(events[i].Fingerprint, events[j].Fingerprint); same != (a.issue == b.issue) {
				t.Errorf("the fingerprints of %s and %s: %q, %q", a.issue, b.issue, events[i].Fingerprint, events[j].Fingerprint)
			}
		}
	}
}

// Panics on several lines of one function are one issue, and none keeps another from being told.
func TestPanicsOfOneFunctionAreCountedApart(t *testing.T) {
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	fault := func(here bool) (f domain.Fault) {
		defer func() { f = domain.Fault{Err: domain.NewPanic(recover())} }()
		throwHereOr(here)
		return f
	}
	for range 4 {
		w.Report(fault(true), fields)
	}
	w.Report(fault(false), fields)
	w.end(patience)
	w.want(t, sentry.HeldBack, 1)
	w.want(t, sentry.Sent, 4)
	events := s.Events()
	if a, b := events[0].Fingerprint, events[len(events)-1].Fingerprint; !slices.Equal(a, b) {
		t.Errorf("the fingerprints are %q and %q", a, b)
	}
}

func throwHereOr(here bool) {
	if here {
		panic("x")
	}
	panic("y")
}

// The log says that Sentry takes nothing, once, and that it does again; and at the end, how much was lost.
func TestTheLogSaysWhenNobodyIsTold(t *testing.T) {
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	report := func(route string, o sentry.Outcome, n int) {
		t.Helper()
		w.Report(domain.Fault{Err: databaseError{}}, map[string]string{"route": route})
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			w.mu.Lock()
			got := w.counts[o]
			w.mu.Unlock()
			if got == n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d are counted as %s, want %d", got, o, n)
			}
		}
	}
	s.Answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	report("/1", sentry.Failed, 1)
	report("/2", sentry.Failed, 2)
	s.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	report("/3", sentry.Refused, 1)
	s.Answer(nil)
	report("/4", sentry.Sent, 1)
	report("/5", sentry.Sent, 2)
	s.Answer(s.Hang)
	for i := range 3 {
		w.Report(domain.Fault{Err: databaseError{}}, map[string]string{"route": fmt.Sprint("/late/", i)})
	}
	w.end(0)
	w.end(0)
	var got []string
	for line := range strings.Lines(w.log.String()) {
		_, said, _ := strings.Cut(line, " ") // without the time
		got = append(got, strings.TrimSpace(said))
	}
	want := []string{
		`level=WARN msg="faults cannot be reported; see SENTRY_DSN" reason="Sentry cannot be reached, or does not answer in time"`,
		`level=WARN msg="faults cannot be reported; see SENTRY_DSN" reason="Sentry does not take them, or wants a pause"`,
		`level=INFO msg="faults are reported to Sentry again"`,
		`level=WARN msg="the last faults could not be reported to Sentry" faults=3`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log says\n%s", strings.Join(got, "\n"))
	}
}

func TestAStormIsAFewEvents(t *testing.T) {
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	storm := func(routes, each int) {
		for i := range routes {
			for range each {
				w.Report(domain.Fault{Err: databaseError{}}, map[string]string{"route": fmt.Sprint("/", i)})
			}
		}
	}
	storm(1, 1000)
	w.want(t, sentry.HeldBack, 997)
	storm(400, 10)
	w.want(t, sentry.HeldBack, 997+4000-27) // thirty in all
	w.clock.advance(time.Minute)
	storm(1, 1)
	w.end(patience)
	w.want(t, sentry.Sent, 31)
	events := s.Events()
	if held := events[len(events)-1].Tags["held_back"]; held != "1007" {
		t.Errorf("the event after the storm says that %q were held back, want 1007", held)
	}
}

// A storm of more faults than are told apart silences none that come later, not
// even while all of the storm's wait to be told of.
func TestAStormDoesNotSilenceWhatComesLater(t *testing.T) {
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	report := func(name string, n int) {
		for i := range n {
			w.Report(domain.Fault{Err: databaseError{}}, map[string]string{"route": fmt.Sprint("/", name, i)})
		}
	}
	report("storm", 2000)
	report("storm", 2000)    // now something is held back of those too that were sent
	for minute := range 40 { // more of them than are told apart
		w.clock.advance(time.Minute)
		report(fmt.Sprint("later", minute, "-"), 10)
		eventually(t, "they are sent", func() bool { return s.Asked() == 30+10*(minute+1) })
	}
	w.end(patience)
	w.want(t, sentry.Sent, 30+400)
	w.want(t, sentry.HeldBack, 4000-30)
}

// eventually waits for what must come to be.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}

// Whatever Sentry does, reporting goes on at once, and so does the end.
func TestSentryThatIsAwaySlowOrHostile(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("an event went elsewhere") }))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		answer  func(s *sentrystandin.Server) http.HandlerFunc
		outcome sentry.Outcome
		asked   int // of two reports
	}{
		"error":    {func(*sentrystandin.Server) http.HandlerFunc { return status(http.StatusInternalServerError) }, sentry.Refused, 2},
		"too many": {func(*sentrystandin.Server) http.HandlerFunc { return status(http.StatusTooManyRequests) }, sentry.Refused, 1},
		"redirect": {func(*sentrystandin.Server) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			}
		}, sentry.Refused, 2},
		"huge header": {func(*sentrystandin.Server) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Huge", strings.Repeat("x", 1<<20)) }
		}, sentry.Failed, 2},
		"endless answer": {func(s *sentrystandin.Server) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for chunk := strings.Repeat("x", 1<<16); ; {
					select {
					case <-s.Stopped():
						return
					default:
					}
					if _, err := io.WriteString(w, chunk); err != nil {
						return
					}
				}
			}
		}, sentry.Sent, 2},
		"dropped connection": {func(*sentrystandin.Server) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, sentry.Failed, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := sentrystandin.New(t)
			s.Answer(c.answer(s))
			w := newWorld(t, s.DSN())
			for i := range 2 {
				w.Report(domain.Fault{Err: databaseError{}}, map[string]string{"route": fmt.Sprint("/", i)})
			}
			w.end(patience)
			w.want(t, c.outcome, 2)
			if s.Asked() != c.asked {
				t.Errorf("asked %d times, want %d", s.Asked(), c.asked)
			}
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(code)
	}
}

// The queue has an end, and what was being sent is cut off when the time is over.
func TestSentryThatHangs(t *testing.T) {
	s := sentrystandin.New(t)
	s.Answer(s.Hang)
	w := newWorld(t, s.DSN())
	const minutes = 10
	for i := range minutes * 30 {
		w.Report(domain.Fault{Err: databaseError{}}, map[string]string{"route": fmt.Sprint("/", i)})
		if i%30 == 29 {
			w.clock.advance(time.Minute)
		}
	}
	w.mu.Lock()
	dropped := w.counts[sentry.Dropped]
	w.mu.Unlock()
	if dropped < minutes*30-64-2 || dropped > minutes*30-64 {
		t.Errorf("%d of %d were dropped", dropped, minutes*30)
	}
	w.end(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.counts[sentry.Dropped] + w.counts[sentry.Failed] + w.counts[sentry.Refused]; n != minutes*30 {
		t.Errorf("%d were reported and these are accounted for: %v", minutes*30, w.counts)
	}
}

func TestNothingIsTakenAfterTheEnd(t *testing.T) {
	s := sentrystandin.New(t)
	w := newWorld(t, s.DSN())
	w.end(patience)
	w.Report(domain.Fault{Err: databaseError{}}, nil)
	w.end(patience)
	w.want(t, sentry.Dropped, 1)
}

func TestAWrongDSNIsNotRepeated(t *testing.T) {
	for _, dsn := range []string{"", "https://hunter2@sentry.test", "https://sentry.test/hunter2", "ftp://hunter2@sentry.test/1", "https://hunter2@ sentry.test/1"} {
		_, err := sentry.New(t.Context(), sentry.Options{DSN: dsn})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "SENTRY_DSN") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}
