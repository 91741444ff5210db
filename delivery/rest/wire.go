package rest

import (
	"bytes"
	"io"
	"net"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

// ProblemListener makes a problem document (RFC 9457) of what net/http answers
// by itself, in plain text or without a body, to what it cannot read as a
// request: no handler ever sees those. They are all 400 here, the 501 and 505 for
// exotic framing and versions included: it is the client who can mend them.
func ProblemListener(inner net.Listener) net.Listener { return problemListener{inner} }

type problemListener struct{ net.Listener }

// Accept waits for the next connection.
func (l problemListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return problemConn{conn}, nil
}

type problemConn struct{ net.Conn }

// Write replaces an answer of net/http's own; it writes those at once and whole.
func (c problemConn) Write(p []byte) (int, error) {
	if !unreadable(p) {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(wireProblem(bytes.HasPrefix(p, []byte("HTTP/1.1 431 ")))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite lets net/http end its half first, so that the answer is not lost
// to a reset while the client still sends.
func (c problemConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// plainErrorHeaders are all the headers of net/http's own error answers (see
// conn.serve in net/http/server.go). An answer of ours has many more.
var plainErrorHeaders = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// unreadable knows net/http's own answers: an error line with just those
// headers, or 417, which no handler of ours gives.
func unreadable(p []byte) bool {
	if !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return false
	}
	end := bytes.Index(p, []byte("\r\n"))
	if end < 0 {
		return false
	}
	_, status, _ := bytes.Cut(p[:end], []byte(" "))
	return bytes.HasPrefix(status, []byte("417 ")) || bytes.HasPrefix(p[end:], plainErrorHeaders)
}

func wireProblem(headersTooLarge bool) []byte {
	detail := "This is not a request in HTTP/1.1 that this service can read."
	if headersTooLarge {
		detail = "The request's headers are larger than this service accepts."
	}
	id := uuid.Must(uuid.NewV7()).String()
	body, err := encodeJSON(Problem{
		Type: "/problems/" + string(domain.CodeMalformedRequest), Title: catalogue[domain.CodeMalformedRequest].Title,
		Status: http.StatusBadRequest, Detail: detail, Instance: "/", Code: domain.CodeMalformedRequest, RequestID: id,
	})
	if err != nil {
		return nil // of constants: cannot fail
	}
	res := http.Response{
		StatusCode: http.StatusBadRequest, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Close: true,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	middleware.SetSecurityHeaders(res.Header)
	res.Header.Set(echo.HeaderContentType, mimeProblem)
	res.Header.Set(echo.HeaderXRequestID, id)
	var b bytes.Buffer
	_ = res.Write(&b) // into memory: cannot fail
	return b.Bytes()
}
