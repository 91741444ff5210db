package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/otlpreceiver"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
)

func sampled(traceID string) string { return "00-" + traceID + "-" + callersSpan + "-01" }

// heard is a Clerk that notes the traceparent of each call.
type heard struct {
	sync.Mutex

	byCall map[string][]string // METHOD /path → traceparents
}

// listening puts itself between the program and the stack's Clerk.
func listening(t *testing.T, s *stack) *heard {
	t.Helper()
	target, err := url.Parse(s.running.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{byCall: map[string][]string{}}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Lock()
		call := r.Method + " " + r.URL.Path
		h.byCall[call] = append(h.byCall[call], r.Header.Get("Traceparent"))
		h.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.settings = s.with("CLERK_API_URL", server.URL+target.Path)
	return h
}

func (h *heard) of(call string) []string {
	h.Lock()
	defer h.Unlock()
	return slices.Clone(h.byCall[call])
}

// tree checks that the spans hang together under the one span whose parent is
// given, and returns their names with those of their parents.
func tree(t *testing.T, spans []otlpreceiver.Span, root string) []string {
	t.Helper()
	byID := map[string]otlpreceiver.Span{}
	for _, s := range spans {
		if _, twice := byID[s.ID]; twice {
			t.Errorf("the span id %s of %s comes twice", s.ID, s.Name)
		}
		byID[s.ID] = s
	}
	var edges []string
	roots := 0
	for _, s := range spans {
		parent, known := byID[s.Parent]
		switch {
		case s.Parent == root:
			roots++
			edges = append(edges, "> "+s.Name)
		case !known:
			t.Errorf("%s hangs in the air: nobody knows its parent %q", s.Name, s.Parent)
		default:
			edges = append(edges, parent.Name+" > "+s.Name)
		}
	}
	if roots != 1 {
		t.Errorf("the trace has %d beginnings: %q", roots, edges)
	}
	return edges
}

func named(spans []otlpreceiver.Span, name string) (otlpreceiver.Span, bool) {
	i := slices.IndexFunc(spans, func(s otlpreceiver.Span) bool { return s.Name == name })
	if i < 0 {
		return otlpreceiver.Span{}, false
	}
	return spans[i], true
}

// One request, with all that comes of it: HTTP, SQL, Valkey, the job that it put
// into the queue and the job's call to Clerk are one tree under the caller's span.
func TestOneRequestIsOneTree(t *testing.T) {
	parallel(t)
	s := newStack(t)
	clerk := listening(t, s)
	spans := otlpreceiver.New(t)
	p := s.replica(t, "OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL(), "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=black%20box",
		"OTEL_EXPORTER_OTLP_HEADERS", "api-key=collectors-key")
	token, userID := s.person(t)
	s.clerk.PutPerson(clerkstandin.Person{ID: userID, Username: "traced"})
	p.get(t, "/v1/profiles/me", token).profile(t)

	if r := p.call(t, "DELETE", "/v1/profiles/me", token, "", "Traceparent", sampled(callersTrace)); r.status != 202 {
		t.Fatalf("erase: %d %s", r.status, r.body)
	}
	const server, job, call = "DELETE /v1/profiles/me", "job clerk_deletion", "clerk DELETE /users/{id}"
	eventually(t, "the job's span came", func() bool { _, ok := named(spans.Spans(callersTrace), job); return ok })
	all := spans.Spans(callersTrace)
	edges := tree(t, all, callersSpan)
	for _, want := range []string{
		"> " + server, server + " > valkey EVALSHA", server + " > BEGIN", server + " > SELECT profiles", server + " > DELETE profiles", server + " > COMMIT",
		server + " > " + job, job + " > " + call, job + " > SELECT clerk_deletions", job + " > DELETE clerk_deletions",
	} {
		if !slices.Contains(edges, want) {
			t.Errorf("there is no %q among %q", want, edges)
		}
	}
	root, _ := named(all, server)
	if root.Kind != "SERVER" || root.Failed || root.Attributes["http.route"] != "/v1/profiles/me" || root.Attributes["http.response.status_code"] != "202" ||
		root.Attributes["http.request.method"] != "DELETE" || root.Resource["service.name"] != "profile-api" ||
		root.Resource["deployment.environment.name"] != "black box" {
		t.Errorf("the request's span is %+v", root)
	}
	asked, _ := named(all, call)
	if got := clerk.of("DELETE /v1/users/" + userID); !slices.Contains(got, "00-"+callersTrace+"-"+asked.ID+"-01") || asked.Kind != "CLIENT" {
		t.Errorf("Clerk was told %q, by the span %+v", got, asked)
	}
	if h := spans.Headers()[0]; h.Get("Api-Key") != "collectors-key" {
		t.Errorf("the collector's headers are %v", h)
	}
	if strings.Contains(spans.Raw(), strings.TrimPrefix(userID, "user_")) {
		t.Error("the spans name the person")
	}
	wantSameIDs(t, p, spans)
	if own, ok := named(spans.Spans(""), "clerk GET /jwks"); !ok || own.Parent != "" || !slices.Contains(clerk.of("GET /v1/jwks"), "00-"+own.TraceID+"-"+own.ID+"-01") {
		t.Errorf("the fetch of the keys: %+v", own)
	}
}

// wantSameIDs holds the log against the spans: the trace of a line is the trace of
// a span. Probes are in the log at debug level alone, and in no span.
func wantSameIDs(t *testing.T, p *program, spans *otlpreceiver.Receiver) {
	t.Helper()
	found := 0
	for _, line := range p.logLines(t) {
		if line["msg"] != "request" && line["msg"] != "job" {
			continue
		}
		traceID, name := text(line["trace_id"]), text(line["method"])+" "+text(line["route"])
		if line["msg"] == "job" {
			name = "job " + text(line["kind"])
		}
		if strings.Contains(name, "/health") {
			continue
		}
		eventually(t, "the span of "+name, func() bool { _, ok := named(spans.Spans(traceID), name); return ok && len(traceID) == 32 })
		found++
	}
	if found < 3 {
		t.Errorf("only %d log lines were compared", found)
	}
	for _, span := range spans.Spans("") {
		if strings.Contains(span.Name, "/health") { // there were some, or the program would not be ready
			t.Errorf("a probe is traced: %+v", span)
		}
	}
}

// Whatever a client sends, its words are in no span: not in a name, not in an attribute.
func TestSpansHoldNothingOfAClient(t *testing.T) {
	parallel(t)
	s := newStack(t)
	spans := otlpreceiver.New(t)
	p := s.replica(t, "OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL())
	const canary = "c4n4ry_in_a_trace"
	token, userID := s.person(t)
	email := canary + "@example.org"
	s.clerk.PutPerson(clerkstandin.NewPerson(canary+"_name", "Canary", canary, email))
	p.get(t, "/v1/profiles/me?"+canary+"=1", token).profile(t)
	p.patch(t, "/v1/profiles/me", token, `{"handle":"`+canary+`","bio":"`+canary+` bio","metadata":{"`+canary+`":"`+canary+`"}}`).profile(t)
	headers := []string{"X-Request-ID", canary, "User-Agent", canary, "Tracestate", canary + "=" + canary, "Baggage", canary + "=1", "Traceparent", sampled(callersTrace)}
	statuses := []int{
		p.get(t, "/v1/profiles/"+canary, "", headers...).status,
		p.get(t, "/v1/profiles/"+canary+"x", "", headers...).status,
		p.get(t, "/v1/handles/"+canary, "", headers...).status,
		p.get(t, "/v1/profiles?handles="+canary, "", headers...).status,
		p.get(t, "/"+canary, "", headers...).status,
		p.get(t, "/v1/profiles/me", canary+"."+canary+"."+canary, headers...).status,
		p.call(t, canary, "/v1/profiles/me", "", "", headers...).status,
		p.patch(t, "/v1/profiles/me", token, `{"handle":"me"}`).status,
		p.patch(t, "/v1/profiles/me", token, `{"`+canary+`":1}`).status,
	}
	if want := []int{200, 404, 200, 200, 404, 401, 405, 422, 422}; !slices.Equal(statuses, want) {
		t.Errorf("the statuses are %v, want %v", statuses, want)
	}
	admin := s.clerk.Mint(clerkstandin.WithUser(newUserID()), clerkstandin.WithRole("admin"))
	if r := p.get(t, "/v1/admin/profiles?q="+canary, admin); r.status != 200 || !strings.Contains(string(r.body), canary) {
		t.Errorf("search: %d %s", r.status, r.body)
	}
	p.stop(t) // the last spans are sent
	raw := spans.Raw()
	for what, secret := range map[string]string{
		"a client's word": canary, "a token": token, "a Clerk id": userID, "a part of it": strings.TrimPrefix(userID, "user_"), "an address": "127.0.0.1:",
		"a statement": "WHERE", "the secret key": signingKey, "Clerk's key": clerkKey, "the database's URL": s.database,
	} {
		if strings.Contains(raw, secret) {
			t.Errorf("the spans hold %s", what)
		}
	}
	names := map[string]bool{}
	for _, span := range spans.Spans("") {
		names[span.Name] = true
		if strings.ContainsAny(span.Name, "$?=;'") || len(span.Name) > 60 {
			t.Errorf("%q is no name of a kind of work", span.Name)
		}
	}
	for _, want := range []string{"GET /v1/profiles/{handle}", "GET /v1/handles/{handle}", "GET /v1/profiles", "GET", "OTHER", "PATCH /v1/profiles/me", "GET /v1/admin/profiles"} {
		if !names[want] {
			t.Errorf("no span is called %q: %v", want, names)
		}
	}
}

// The caller's decision not to sample holds, for everything that comes of the
// request; without a collector, or with tracing off, there is nothing to see.
func TestWhatIsNotTraced(t *testing.T) {
	parallel(t)
	s := newStack(t)
	spans := otlpreceiver.New(t)
	p := s.replica(t, "OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL())
	off := s.replica(t, "OTEL_EXPORTER_OTLP_ENDPOINT", spans.URL(), "OTEL_SDK_DISABLED", "true")
	const offTrace = "1af7651916cd43dd8448eb211c80319c"
	off.get(t, "/v1/profiles/nobody_", "", "Traceparent", sampled(offTrace))
	p.get(t, "/v1/profiles/nobody_", "", "Traceparent", strings.TrimSuffix(sampled(callersTrace), "01")+"00")
	p.stop(t)
	off.stop(t)
	for _, id := range []string{callersTrace, offTrace} {
		if list := spans.Spans(id); len(list) != 0 {
			t.Errorf("spans of a trace that was not to be sampled: %+v", list)
		}
	}
	for id, replica := range map[string]*program{callersTrace: p, offTrace: off} { // the log's line belongs to the caller's trace all the same
		if lines := replica.logLines(t); !slices.ContainsFunc(lines, func(line map[string]any) bool {
			return line["msg"] == "request" && line["route"] == "/v1/profiles/{handle}" && line["trace_id"] == id
		}) {
			t.Errorf("the log does not have the caller's trace id %s: %v", id, lines)
		}
	}
}

// A collector that is away, hangs, refuses or sends us elsewhere: requests are
// answered, the program ends cleanly, within the time that the settings promise,
// and says once what is wrong, in its own words.
func TestACollectorThatDoesNotTakeSpans(t *testing.T) {
	parallel(t)
	s := newStack(t)
	var posts, elsewhere atomic.Int64
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posts.Add(1); <-release }))
	t.Cleanup(func() { close(release); hanging.Close() })
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	redirecting := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirecting.Close)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "c4n4ry of a hostile collector", http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and no more
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	token, _ := s.person(t)
	for name, endpoint := range map[string]string{
		"away": "http://" + freeAddr(t), "hanging": hanging.URL, "silent": "http://" + silent.Addr().String(), "redirecting": redirecting.URL, "refusing": refusing.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.replica(t, "OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, "SHUTDOWN_TIMEOUT", "3s")
			for i := range 60 {
				if r := p.get(t, "/v1/profiles/me", token); r.status != 200 {
					t.Fatalf("request %d: %d %s", i, r.status, r.body)
				}
			}
			p.stop(t)
			if line, ok := p.line("stopped"); !ok || line["clean"] != true {
				t.Errorf("the last word is %v", line)
			}
			said := p.stdout.String()
			if !strings.Contains(said, "could not be exported") {
				t.Error("nobody was told")
			}
			if n := strings.Count(said, "spans could not be exported; see"); n > 1 {
				t.Errorf("it was said %d times", n)
			}
			if strings.Contains(said, "c4n4ry") {
				t.Error("the log repeats what the collector said")
			}
		})
	}
	t.Cleanup(func() {
		if posts.Load() == 0 || elsewhere.Load() != 0 {
			t.Errorf("%d posts hung, %d followed a redirect", posts.Load(), elsewhere.Load())
		}
	})
}

func TestAWrongTracingVariableStopsTheStart(t *testing.T) {
	parallel(t)
	s := production("postgres://127.0.0.1:1/x?sslmode=require", "redis://127.0.0.1:1", "http://127.0.0.1:1/v1")
	for variable, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "sometimes", "OTEL_SDK_DISABLED": "maybe",
	} {
		path, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		r, err := runCommand(path, s.with(variable, value), "serve")
		if err != nil || r.status != 1 || !strings.Contains(r.stderr, fmt.Sprintf("1 fault:\n  %s must be", variable)) {
			t.Errorf("%s=%s: status %d, %v: %s", variable, value, r.status, err, r.stderr)
		}
	}
}
