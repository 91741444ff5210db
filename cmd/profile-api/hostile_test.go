package main_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// internals is what no answer may hold: SQL, stacks, places, products.
var internals = regexp.MustCompile(`(?i)SQLSTATE|\b(select|insert|update|delete|where)\b.{0,40}\b(from|into|set|profiles)\b|goroutine |\.go:[0-9]|runtime error|panic|` +
	`gorm|pgx|postgres|pg_|redis|valkey|miniredis|clerk\.blackbox|jwks|dial tcp|127\.0\.0\.1|connection re|context (canceled|deadline)|/work/|/tmp/|jsontext|unmarshal|\*errors`)

// shot is a request with what came of it.
type shot struct {
	method, raw string
	reply
	err error
}

func (s shot) head() string {
	line, _, _ := strings.Cut(s.raw, "\r\n")
	return fmt.Sprintf("%.200q", line)
}

// Two thousand hostile requests, the same in each run.
func TestHostileRequests(t *testing.T) {
	parallel(t)
	s := newStack(t)
	// At debug level: not even there may anything of a client's be seen.
	p := s.replica(t, "LOG_LEVEL", "debug", "REQUEST_TIMEOUT", "20s")
	h := &hostile{Rand: rand.New(rand.NewPCG(20, 26)), clerk: s.clerk, made: map[string][]string{}}
	for range 5 {
		h.people = append(h.people, newUserID())
	}
	shots := make([]shot, 2000)
	for i := range shots {
		shots[i].method, shots[i].raw = h.request()
	}
	var wg sync.WaitGroup
	next := make(chan *shot)
	for range 8 {
		wg.Go(func() {
			for s := range next {
				s.fire(p.api)
			}
		})
	}
	for i := range shots {
		next <- &shots[i]
	}
	close(next)
	wg.Wait()

	judge(t, shots)
	if r := p.get(t, "/health/live", ""); r.status != 200 {
		t.Errorf("afterwards live is %d", r.status)
	}
	metrics := string(p.rawMetrics(t))
	wantFixedLabels(t, metrics)
	p.stop(t)
	output := p.stdout.String() + p.stderr.String()
	for where, s := range map[string]string{"the log": output, "/metrics": metrics} {
		wantNoTrace(t, where, s, h)
	}
	wantLogFields(t, p, h.people)
}

// fire sends the request and reads what comes. The writing half is closed
// after it, so that a body that is too short ends.
func (s *shot) fire(addr string) {
	w, err := dial(addr)
	if err != nil {
		s.err = err
		return
	}
	defer func() { _ = w.Close() }()
	// The server may answer and close before it has read all of it, so that the sending fails.
	_, sendErr := io.WriteString(w, s.raw)
	if tcp, ok := w.Conn.(*net.TCPConn); ok && sendErr == nil && len(s.raw) > 0 && strings.Contains(s.raw, "\r\n\r\n") {
		_ = s.halfClose(tcp)
	}
	s.reply, _, s.err = w.read(s.method)
}

// halfClose ends the sending where the request announces more than it has.
// Otherwise net/http would take a closed half for a client that went away.
func (s *shot) halfClose(tcp *net.TCPConn) error {
	head, body, _ := strings.Cut(s.raw, "\r\n\r\n")
	if strings.HasSuffix(head, fmt.Sprintf("\r\nContent-Length: %d", len(body))) {
		return nil
	}
	time.Sleep(20 * time.Millisecond)
	return tcp.CloseWrite()
}

// judge looks at every answer.
func judge(t *testing.T, shots []shot) {
	t.Helper()
	handled, silent := map[int]int{}, 0
	for _, s := range shots {
		switch {
		case s.err != nil && s.status == 0:
			// Cut off without an answer: by net/http, which had stopped reading. The operating system may throw the answer away with it.
			silent++
			var timeout net.Error
			if errors.As(s.err, &timeout) && timeout.Timeout() {
				t.Errorf("%s was never answered", s.head())
			}
		case s.header.Get("X-Request-ID") == "":
			t.Errorf("%s: answered %d by something that is not ours: %.200s", s.head(), s.status, s.body)
		default:
			handled[s.status]++
			s.judge(t)
		}
		if leak := internals.FindString(withoutInstance(s.body)); leak != "" {
			t.Errorf("%s: the body holds %q: %.400s", s.head(), leak, s.body)
		}
	}
	t.Logf("answered: %v; cut off: %d", handled, silent)
	for _, status := range []int{200, 400, 401, 404, 405, 406, 412, 413, 415, 421, 422} {
		if handled[status] == 0 {
			t.Errorf("none of the requests got a %d: the generator misses something", status)
		}
	}
	if silent > len(shots)/50 {
		t.Errorf("%d requests were cut off without an answer", silent)
	}
}

func (s *shot) judge(t *testing.T) {
	t.Helper()
	if s.status >= 500 {
		t.Errorf("%s is answered with %d: %s\n%.1500q", s.head(), s.status, s.body, s.raw)
	}
	if s.header.Get("X-Content-Type-Options") != "nosniff" || s.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%s: a %d without the security headers", s.head(), s.status)
	}
	if s.status < 400 {
		return
	}
	if s.method == "HEAD" {
		if len(s.body) != 0 || s.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d with %q and %d bytes", s.head(), s.status, s.header.Get("Content-Type"), len(s.body))
		}
		return
	}
	if fault := s.fault(); fault != "" {
		t.Errorf("%s: the %d is no problem document: %s: %.300s", s.head(), s.status, fault, s.body)
	}
}

// withoutInstance blanks the one member that repeats what the client sent.
func withoutInstance(body []byte) string {
	return instance.ReplaceAllString(string(body), "")
}

var instance = regexp.MustCompile(`"instance":"[^"]*"`)

// wantNoTrace looks for anything that a client sent.
func wantNoTrace(t *testing.T, where, output string, h *hostile) {
	t.Helper()
	report := func(what, needle string) {
		if at := strings.Index(strings.ToLower(output), strings.ToLower(needle)); at >= 0 {
			t.Errorf("%s holds %s: …%s…", where, what, output[max(0, at-300):min(len(output), at+200)])
		}
	}
	report("a canary", canary)
	report("an e-mail address", "@mail.test")
	report("the secret key", signingKey)
	report("Clerk's secret key", clerkKey)
	for _, id := range h.people {
		report("a Clerk id", id)
	}
	for _, token := range h.tokens {
		parts := strings.Split(token, ".")
		for _, part := range parts[1:] {
			if len(part) > 20 && strings.Contains(output, part) {
				t.Errorf("%s holds a part of a token", where)
				return
			}
		}
	}
}

// wantLogFields checks the access log, line by line.
func wantLogFields(t *testing.T, p *program, people []string) {
	t.Helper()
	requests, users := 0, map[string]bool{}
	for _, line := range p.logLines(t) {
		if line["msg"] != "request" {
			continue
		}
		requests++
		for _, name := range []string{"status", "duration"} {
			if _, ok := line[name].(float64); !ok {
				t.Fatalf("a request's line has no %s: %v", name, line)
			}
		}
		if !requestID.MatchString(text(line["request_id"])) || !traceID.MatchString(text(line["trace_id"])) || !fixed["route"].MatchString(text(line["route"])) {
			t.Fatalf("a request's line has a wrong id or route: %v", line)
		}
		if user := text(line["user"]); user != "" {
			users[user] = true
		}
	}
	if requests < 1000 {
		t.Errorf("the log has %d requests", requests)
	}
	if len(users) < len(people) {
		t.Errorf("the log knows %d people, want %d at least", len(users), len(people))
	}
}

var (
	requestID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	traceID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	label     = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// fixed are all the values that labels of ours may have.
var fixed = map[string]*regexp.Regexp{
	"method": regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|OTHER)$`),
	"route": regexp.MustCompile(`^(/health(/ready|/live)?|/v1/profiles(/me(/preferences|/activity|/export)?|/\{handle\})?|/v1/handles/\{handle\}|` +
		`/v1/webhooks/clerk|/v1/admin/(profiles(/\{id\}(/suspend|/reactivate)?)?|audit-events)|/problems/\{code\}|/docs(/\*)?|/openapi\.(yaml|json)|/\.well-known/security\.txt|unmatched)$`),
	"status": regexp.MustCompile(`^[1-5][0-9][0-9]$`),
	"le":     regexp.MustCompile(`^([0-9.e+-]+|\+Inf)$`),
	"policy": regexp.MustCompile(`^(user|ip|global)$`),
	"outcome": regexp.MustCompile(`^(ok|malformed|algorithm|type|category|unknown_key|signature|expired|not_yet_valid|issuer|authorized_party|audience|claims|pending|unavailable|` +
		`allowed|refused|bypassed|allowed_local|refused_local|completed|retried|snoozed|discarded|cancelled|` +
		`created|updated|unchanged|stale|skipped|unreadable|failed|erased|received|known|rejected|applied|ignored|dead|delivered|sent|held_back|dropped)$`),
	"kind":       regexp.MustCompile(`^(clerk_deletion|purge|reconcile|webhook_delivery|profile_refresh|other)$`),
	"type":       regexp.MustCompile(`^(user\.(created|updated|deleted)|other)$`),
	"sink":       regexp.MustCompile(`^(stream|http_([1-9]|10))$`),
	"dependency": regexp.MustCompile(`^(database|cache|clerk)$`),
	"check":      regexp.MustCompile(`^(overall|database|cache|disk)$`),
	"state":      regexp.MustCompile(`^(in_use|idle|connecting|available|pending|retryable|running|scheduled|received|failed|dead)$`),
	"version":    regexp.MustCompile(`^go[0-9.]+`),
	"quantile":   regexp.MustCompile(`^[0-9.]+$`),
}

// wantFixedLabels checks every label of every series.
func wantFixedLabels(t *testing.T, metrics string) {
	t.Helper()
	seen := 0
	for line := range strings.Lines(metrics) {
		if line[0] == '#' {
			continue
		}
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			seen++
			if form := fixed[m[1]]; form == nil || !form.MatchString(m[2]) {
				t.Errorf("a label that is not from the fixed set: %s", line)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d labels were seen", seen)
	}
}
