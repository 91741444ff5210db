package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is one connection on which a test decides every byte. Unlike
// net/http's client it never tries a request again in silence.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string) (*wire, error) {
	conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return &wire{conn, bufio.NewReader(conn)}, nil
}

// read reads one answer to its end, past an interim one (RFC 9110, section 15.2). closing tells that the server asks for no more on this connection.
func (w *wire) read(method string) (r reply, closing bool, err error) {
	res, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err == nil && res.StatusCode == http.StatusContinue {
		res, err = http.ReadResponse(w.r, &http.Request{Method: method})
	}
	if err != nil {
		return reply{}, true, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, body}, res.Close, err
}

// A client that does not finish its headers is cut off after five seconds.
func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel() // without a slot: it does nothing but wait
	p := newStack(t).replica(t)
	begin := time.Now()
	w, err := dial(p.api)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if _, err := io.WriteString(w, "GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() { // one byte now and then keeps nothing alive
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				_, _ = io.WriteString(w, "a") // fails once it is cut off
			}
		}
	}()
	answer, err := io.ReadAll(w)
	if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 408") {
		t.Errorf("the answer is %q", answer)
	}
	if d := time.Since(begin); d < 4*time.Second || d > patience/2 {
		t.Errorf("cut off after %s (%v), want about 5 s", d, err)
	}
}

// A body that trickles in ends with the request's deadline.
func TestSlowBodyEndsWithTheDeadline(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t, "REQUEST_TIMEOUT", "1s")
	token, _ := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	w, err := dial(p.api)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	const length = 600 // at ten bytes a second it would take a minute
	head := "PATCH /v1/profiles/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token +
		"\r\nContent-Type: application/json\r\nContent-Length: 600\r\n\r\n{\"bio\":\""
	if _, err := io.WriteString(w, head); err != nil {
		t.Fatal(err)
	}
	answered, sent := make(chan struct{}), make(chan int)
	go func() {
		n := 8
		for ; n < length; n++ {
			select {
			case <-answered:
				sent <- n
				return
			case <-time.After(100 * time.Millisecond):
				_, _ = io.WriteString(w, "a") // fails once it is cut off
			}
		}
		sent <- n
	}()
	r, closing, err := w.read(http.MethodPatch)
	close(answered)
	if n := <-sent; err != nil || n >= length {
		t.Fatalf("answered after %d bytes of %d: %v", n, length, err)
	}
	r.wantProblem(t, http.StatusGatewayTimeout, "timeout")
	if !closing {
		t.Error("the connection stays open, with the rest of the body on it")
	}
	if n := p.metrics(t).value("request_timeouts_total"); n != 1 {
		t.Errorf("request_timeouts_total is %v, want 1", n)
	}
}
