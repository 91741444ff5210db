package rest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// serve puts the chain behind a real net/http server.
func (w *world) serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(w.api)
	t.Cleanup(server.Close)
	return server
}

// dial opens a connection whose reads and writes cannot hang for ever.
func dial(t *testing.T, server *httptest.Server) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(liveness)))
	return conn.(*net.TCPConn)
}

// head is a request's head up to the blank line.
func head(method, path string, p person, lines ...string) string {
	all := append([]string{method + " " + path + " HTTP/1.1", "Host: test", "Authorization: Bearer " + p.token}, lines...)
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

func readReply(t *testing.T, from *bufio.Reader, method string) reply {
	t.Helper()
	res, err := http.ReadResponse(from, &http.Request{Method: method})
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	header := res.Header
	if res.Close {
		header.Set("Connection", "close") // ReadResponse takes it out
	}
	return reply{res.StatusCode, header, string(body)}
}

func TestABodySlowerThanTheDeadlineIs504(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout = 300 * time.Millisecond })
	server, p := w.serve(t), w.person()
	for name, lines := range map[string][]string{
		"declared": {"Content-Length: 20"}, "chunked": {"Transfer-Encoding: chunked"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, server)
			start := "{\"bio\":"
			if name == "chunked" {
				start = "7\r\n{\"bio\":\r\n"
			}
			_, err := io.WriteString(conn, head("PATCH", "/v1/profiles/me", p, append(lines, "Content-Type: application/json")...)+start)
			must(t, err)
			from := bufio.NewReader(conn)
			got := readReply(t, from, "PATCH")
			got.problem(t, 504, domain.CodeTimeout)
			if w.log.tells(conn.LocalAddr()) {
				t.Errorf("the client's address is in the log: %s", w.log)
			}
			if got.header.Get("Connection") != "close" {
				t.Errorf("headers %v", got.header)
			}
			if _, err := from.ReadByte(); !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
	if n := w.count(t, "SELECT count(*) FROM profiles WHERE bio IS NOT NULL OR version > 1"); n != 0 {
		t.Errorf("%d profiles changed", n)
	}
	if n := w.metric(t, "request_timeouts_total", nil); n != 2 {
		t.Errorf("%v timeouts counted", n)
	}
}

func isReset(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && !network.Timeout()
}

// tells whether the log holds the whole address of a client.
func (l *logBuffer) tells(client net.Addr) bool { return strings.Contains(l.String(), client.String()) }

func TestAClientThatLeavesAStreamIsNotNamed(t *testing.T) {
	w := newWorld(t)
	w.api.GET("/test/stream", func(c echo.Context) error {
		for {
			if _, err := c.Response().Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
	})
	server := w.serve(t)
	conn := dial(t, server)
	_, err := io.WriteString(conn, "GET /test/stream HTTP/1.1\r\nHost: test\r\n\r\n")
	must(t, err)
	_, err = conn.Read(make([]byte, 100))
	must(t, err)
	must(t, conn.Close())
	server.Close() // waits for the handler
	lines := w.log.lines(t, "request")
	if len(lines) != 1 || lines[0]["cut_off"] != true || !strings.HasPrefix(fmt.Sprint(lines[0]["cause"]), "write: ") || w.log.tells(conn.LocalAddr()) {
		t.Errorf("the log: %s", w.log)
	}
}

func TestABodyThatEndsEarlyIs400(t *testing.T) {
	w := newWorld(t)
	server, p := w.serve(t), w.person()
	conn := dial(t, server)
	_, err := io.WriteString(conn, head("PATCH", "/v1/profiles/me", p, "Content-Length: 20", "Content-Type: application/json")+`{"bio":`)
	must(t, err)
	must(t, conn.CloseWrite())
	readReply(t, bufio.NewReader(conn), "PATCH").problem(t, 400, domain.CodeMalformedRequest)
}

func TestAConnectionServesOnAfterABody(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout = 700 * time.Millisecond })
	server, p := w.serve(t), w.person()
	conn := dial(t, server)
	from := bufio.NewReader(conn)
	send := func(method string, body string, lines ...string) reply {
		t.Helper()
		if body != "" {
			lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "Content-Type: application/json")
		}
		_, err := io.WriteString(conn, head(method, "/v1/profiles/me", p, lines...)+body)
		must(t, err)
		return readReply(t, from, method)
	}
	send("PATCH", `{"bio":"one"}`).want(t, 200)
	time.Sleep(time.Second) // longer than the first request's deadline, which must not cut the second off
	send("GET", "").want(t, 200)
	send("PATCH", `{"bio":"two"}`).want(t, 200)
	// A body that nobody read does not become the next request.
	send("PATCH", `{"bio":"three"}`, "Accept: text/html").problem(t, 406, domain.CodeNotAcceptable)
	if m := send("GET", "").want(t, 200).object(t); m["bio"] != "two" || m["version"] != 3.0 {
		t.Errorf("%v", m)
	}
}

// The read deadline of the body must not outlive it, or a handler at work
// would be told that its client has left.
func TestTheBodysDeadlineGoesWithTheBody(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout = 700 * time.Millisecond })
	server, p := w.serve(t), w.person()
	w.me(t, p)
	release := w.lockProfile(t, p)
	res := make(chan reply, 1)
	conn := dial(t, server)
	body := `{"bio":"waits for the lock"}`
	_, err := io.WriteString(conn, head("PATCH", "/v1/profiles/me", p, fmt.Sprintf("Content-Length: %d", len(body)), "Content-Type: application/json")+body)
	must(t, err)
	go func() { res <- readReply(t, bufio.NewReader(conn), "PATCH") }()
	got := <-res
	release()
	got.problem(t, 504, domain.CodeTimeout) // by the deadline; a lost client would have got nothing
	if m := w.me(t, p); m["bio"] != nil {
		t.Errorf("changed after a 504: %v", m["bio"])
	}
}

// lockProfile holds the person's row until release is called.
func (w *world) lockProfile(t *testing.T, p person) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.url)
	must(t, err)
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM profiles WHERE clerk_user_id = $1 FOR UPDATE", p.id)
	must(t, err)
	released := false
	release = func() {
		if !released {
			released = true
			_ = tx.Rollback(context.WithoutCancel(t.Context()))
			_ = conn.Close(context.WithoutCancel(t.Context()))
		}
	}
	t.Cleanup(release)
	return release
}

func (w *world) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(liveness); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

// Who leaves before the answer has changed nothing, the statement ends in
// PostgreSQL as well, and the log tells it from a fault of ours.
func TestAClientThatLeavesChangesNothing(t *testing.T) {
	leave := map[string]func(*net.TCPConn) error{
		"closes": func(c *net.TCPConn) error { return c.Close() },
		"resets": func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) },
		// Half a close looks the same to net/http; what it must not get is an empty 200.
		"closes its half": func(c *net.TCPConn) error { return c.CloseWrite() },
	}
	for name, leaves := range leave {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			server, p := w.serve(t), w.person()
			w.me(t, p)
			release := w.lockProfile(t, p)
			conn := dial(t, server)
			body := `{"bio":"from somebody who left"}`
			_, err := io.WriteString(conn, head("PATCH", "/v1/profiles/me", p, fmt.Sprintf("Content-Length: %d", len(body)), "Content-Type: application/json")+body)
			must(t, err)
			w.eventually(t, "the patch waits for the row", func() bool { return w.count(t, waiting) == 1 })
			must(t, leaves(conn))
			w.eventually(t, "the statement ends", func() bool { return w.count(t, waiting) == 0 })
			if name == "closes its half" {
				if answer, err := io.ReadAll(conn); len(answer) != 0 {
					t.Errorf("answered %q, %v", answer, err)
				}
			}
			release()
			w.eventually(t, "the request is logged", func() bool { return len(w.log.lines(t, "request")) == 2 })
			if line := w.log.lines(t, "request")[1]; line["status"] != 499.0 || line["level"] != "INFO" || line["route"] != "/v1/profiles/me" {
				t.Errorf("log %v", line)
			}
			if faults := w.log.lines(t, "request failed"); len(faults) != 0 {
				t.Errorf("logged as a fault: %v", faults)
			}
			if m := w.me(t, p); m["bio"] != nil || m["version"] != 1.0 {
				t.Errorf("changed all the same: %v", m)
			}
		})
	}
}

func TestHeadAnswersLikeGetWithoutTheBody(t *testing.T) {
	w := newWorld(t)
	server, p, handle := w.serve(t), w.person(), newHandle()
	w.patch(t, p, `{"handle":"`+handle+`"}`).want(t, 200)
	ask := func(method, path, token string) reply {
		t.Helper()
		conn := dial(t, server)
		_, err := io.WriteString(conn, head(method, path, person{token: token}, "Connection: close"))
		must(t, err)
		from := bufio.NewReader(conn)
		got := readReply(t, from, method)
		if rest, _ := io.ReadAll(from); method == "HEAD" && len(rest) != 0 {
			t.Errorf("HEAD %s has the body %q", path, rest)
		}
		return got
	}
	for path, status := range map[string]int{
		"/v1/profiles/me": 200, "/v1/profiles/" + handle: 200, "/health": 200, "/health/ready": 200, "/health/live": 200,
		"/problems/timeout": 200, "/v1/profiles/nobody_": 404, "/nowhere": 404,
	} {
		get, answer := ask("GET", path, p.token).want(t, status), ask("HEAD", path, p.token).want(t, status)
		for _, name := range []string{"Content-Type", "ETag", "Cache-Control", "RateLimit-Policy", "Content-Security-Policy", "X-Frame-Options"} {
			if get.header.Get(name) != answer.header.Get(name) {
				t.Errorf("%s: %s is %q for GET and %q for HEAD", path, name, get.header.Get(name), answer.header.Get(name))
			}
		}
		// A problem's length varies with its request id, and health with its latencies.
		if status == 200 && !strings.HasPrefix(path, "/health") && get.header.Get("Content-Length") != answer.header.Get("Content-Length") {
			t.Errorf("%s: Content-Length %q for GET and %q for HEAD", path, get.header.Get("Content-Length"), answer.header.Get("Content-Length"))
		}
	}
	bad := ask("HEAD", "/v1/profiles/me", "bad").want(t, 401)
	if !strings.Contains(bad.header.Get("WWW-Authenticate"), "Bearer ") || bad.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v", bad.header)
	}
}

func TestTooLargeABodyEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	server, p := w.serve(t), w.person()
	chunk := strings.Repeat(" ", 65535)
	for name, request := range map[string]string{
		"declared": head("PATCH", "/v1/profiles/me", p, "Content-Length: 65537", "Content-Type: application/json", "Expect: 100-continue"),
		"chunked":  head("PATCH", "/v1/profiles/me", p, "Transfer-Encoding: chunked", "Content-Type: application/json") + "10001\r\n{}" + chunk,
	} {
		conn := dial(t, server)
		_, err := io.WriteString(conn, request)
		must(t, err)
		got := readReply(t, bufio.NewReader(conn), "PATCH").problem(t, 413, domain.CodePayloadTooLarge)
		if got.header.Get("Connection") != "close" {
			t.Errorf("%s: %v", name, got.header)
		}
	}
}

// deadlineRecorder notes the read deadlines that are set.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlineRecorder) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// A read deadline that stayed on after the body would end net/http's watch for a client that leaves.
func TestTheReadDeadlineIsSetForABodyAndLiftedAtItsEnd(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	for _, c := range []struct {
		name, method, body, accept string
		set                        []bool // whether each deadline is a time or lifted
	}{
		{"body read", "PATCH", `{}`, "", []bool{true, false}},
		{"body not read", "PATCH", `{}`, "text/html", []bool{true}},
		{"no body", "GET", "", "", nil},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/v1/profiles/me", reader(c.body))
		if c.body == "" {
			r.Body, r.ContentLength = http.NoBody, 0
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", c.accept)
		p.is()(r)
		rec := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		w.api.ServeHTTP(rec, r)
		var set []bool
		for _, at := range rec.set {
			set = append(set, !at.IsZero())
		}
		if fmt.Sprint(set) != fmt.Sprint(c.set) {
			t.Errorf("%s: %v, status %d", c.name, set, rec.Code)
		}
	}
}
