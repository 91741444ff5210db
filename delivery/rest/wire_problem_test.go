package rest

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// What net/http refuses before any handler is a problem document too.
func TestUnreadableRequestsAreProblems(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "handled") }))
	srv.Listener = ProblemListener(srv.Listener)
	srv.Config.MaxHeaderBytes = 4 << 10
	srv.Start()
	defer srv.Close()
	for name, sent := range map[string]string{
		"garbage":           "garbage\r\n\r\n",
		"no host":           "GET / HTTP/1.1\r\n\r\n",
		"bad header name":   "GET / HTTP/1.1\r\nHost: a\r\nbad name: x\r\n\r\n",
		"bad escape":        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"transfer encoding": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: rot13\r\n\r\n",
		"version":           "GET / HTTP/3.7\r\nHost: a\r\n\r\n",
		"expectation":       "POST / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\nContent-Length: 1\r\n\r\nx",
		"huge header":       "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := exchange(t, srv.Listener.Addr().String(), sent)
			var p Problem
			if err := json.Unmarshal(body, &p); err != nil {
				t.Fatalf("%d %v %q", status, header, body)
			}
			if status != 400 || p.Status != 400 || p.Code != domain.CodeMalformedRequest || p.Type != "/problems/malformed-request" ||
				p.Title == "" || p.Detail == "" || p.Instance == "" || p.RequestID == "" || p.RequestID != header.Get("X-Request-ID") {
				t.Errorf("%d %+v", status, p)
			}
			if header.Get("Content-Type") != mimeProblem || header.Get("X-Frame-Options") != "DENY" || header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", header)
			}
		})
	}
	if status, _, body := exchange(t, srv.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); status != 200 || string(body) != "handled" {
		t.Errorf("an ordinary request is answered %d %q", status, body)
	}
}

func exchange(t *testing.T, addr, request string) (int, http.Header, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}
