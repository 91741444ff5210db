// Package sentry brings faults to Sentry. Of Sentry's library it uses the envelope
// and the transport alone, and fills in each field of an event itself: what is not
// named in event.go is not sent.
package sentry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"

	"github.com/profile-api/profile-api/domain"
)

const (
	queueLength    = 64              // events that wait; more are dropped
	sendTimeout    = 5 * time.Second // of one event, Sentry's answer included
	maxAnswerHead  = 64 << 10        // bytes of Sentry's header; of its body the library reads 16 KiB at most
	perFault       = 3               // events of one fault in a minute
	perMinute      = 30              // events in a minute
	mostFaultsKept = 256             // faults that are told apart while counting
)

// Outcome is what became of one fault.
type Outcome string

// The outcomes.
const (
	Sent     Outcome = "sent"      // Sentry took it
	Refused  Outcome = "refused"   // Sentry answered with another status than 2xx, or had asked for a pause
	Failed   Outcome = "failed"    // Sentry could not be reached in time
	HeldBack Outcome = "held_back" // too many like it, or too many in all; the next event that is sent of it says how many
	Dropped  Outcome = "dropped"   // the queue was full, or the program had ended
)

// Outcomes lists them, for metrics that begin at zero.
func Outcomes() []Outcome { return []Outcome{Sent, Refused, Failed, HeldBack, Dropped} }

// Options say where faults go and what every event says.
type Options struct {
	DSN         string // https://PUBLIC_KEY@HOST/PROJECT
	Release     string
	Environment string
	Clock       interface{ Now() time.Time }
	Count       func(Outcome) // hears what became of each fault; it must not block
	Log         *slog.Logger  // hears that Sentry takes nothing, and that it does again; not one that brings faults here
}

// Reporter sends faults from a queue, one at a time, and never makes its caller
// wait. Of several replicas each counts for itself.
type Reporter struct {
	opts  Options
	limit *limit

	mu     sync.Mutex
	closed bool
	queue  chan *sentry.Event
	lost   int // at the end; the sending goroutine's until finished is closed

	transport *sentry.HTTPSyncTransport
	answers   *answers
	finished  chan struct{}
	cut       context.CancelFunc // ends the sending
}

// New starts a reporter, which runs until Flush. The error, about a DSN that
// Sentry's library does not take, does not repeat it.
func New(ctx context.Context, opts Options) (*Reporter, error) {
	if _, err := sentry.NewDsn(opts.DSN); err != nil {
		return nil, errors.New("SENTRY_DSN cannot be used: it must be https://PUBLIC_KEY@HOST/PROJECT as Sentry's project settings show it, or the word disabled")
	}
	through := &answers{next: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: maxAnswerHead, DisableCompression: true, ForceAttemptHTTP2: true,
		MaxConnsPerHost: 1, IdleConnTimeout: time.Minute,
	}}
	transport := sentry.NewHTTPSyncTransport()
	transport.Configure(sentry.ClientOptions{Dsn: opts.DSN, HTTPClient: &http.Client{
		Transport: through, Timeout: sendTimeout,
		// An event goes where the settings say and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	ctx, cut := context.WithCancel(context.WithoutCancel(ctx))
	r := &Reporter{
		opts: opts, limit: newLimit(opts.Clock), queue: make(chan *sentry.Event, queueLength),
		transport: transport, answers: through, finished: make(chan struct{}), cut: cut,
	}
	go r.send(ctx)
	return r, nil
}

// Report queues a fault, or counts it where that may not be. Fields are the
// circumstances; of these, only those pass that event.go names.
func (r *Reporter) Report(f domain.Fault, fields map[string]string) {
	event := r.event(f, fields)
	held, ok := r.limit.take(limitKey(event))
	if !ok {
		r.opts.Count(HeldBack)
		return
	}
	noteHeldBack(event, held)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		select {
		case r.queue <- event:
			return
		default:
		}
	}
	r.opts.Count(Dropped)
}

// Flush sends what is queued until ctx ends, and then gives up what is left, and
// says so: nobody reads a metric any more. A reporter takes nothing after it. It
// may be called again.
func (r *Reporter) Flush(ctx context.Context) {
	r.mu.Lock()
	first := !r.closed
	if first {
		r.closed = true
		close(r.queue)
	}
	r.mu.Unlock()
	select {
	case <-r.finished:
	case <-ctx.Done():
	}
	r.cut()
	<-r.finished
	if first && r.lost > 0 {
		r.opts.Log.LogAttrs(ctx, slog.LevelWarn, "the last faults could not be reported to Sentry", slog.Int("faults", r.lost))
	}
}

func (r *Reporter) send(ctx context.Context) {
	defer close(r.finished)
	said := Sent // what the log was last told
	for event := range r.queue {
		if ctx.Err() != nil {
			r.lost++
			r.opts.Count(Dropped)
			continue
		}
		r.answers.last = Refused // unless somebody answers: the transport asks nobody while Sentry wants a pause
		r.transport.SendEventWithContext(ctx, event)
		r.opts.Count(r.answers.last)
		if ctx.Err() != nil && r.answers.last != Sent { // cut off by the end
			r.lost++
			continue
		}
		r.tell(ctx, said, r.answers.last)
		said = r.answers.last
	}
}

// tell logs a change once, not each event. The texts of Sentry and of the network
// stay out: they may quote the DSN.
func (r *Reporter) tell(ctx context.Context, before, now Outcome) {
	reason := "Sentry cannot be reached, or does not answer in time"
	switch now {
	case before:
		return
	case Sent:
		r.opts.Log.LogAttrs(ctx, slog.LevelInfo, "faults are reported to Sentry again")
		return
	case Refused:
		reason = "Sentry does not take them, or wants a pause"
	case Failed, HeldBack, Dropped: // the first alone comes here
	}
	r.opts.Log.LogAttrs(ctx, slog.LevelWarn, "faults cannot be reported; see SENTRY_DSN", slog.String("reason", reason))
}

// answers notes how Sentry answered. It is used by the sending goroutine alone.
type answers struct {
	next http.RoundTripper
	last Outcome
}

// RoundTrip asks Sentry.
func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := a.next.RoundTrip(req)
	switch {
	case err != nil:
		a.last = Failed
	case res.StatusCode >= 200 && res.StatusCode < 300:
		a.last = Sent
	}
	return res, err
}
