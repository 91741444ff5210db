package main_test

import (
	"io"
	"net"
	"net/url"
	"testing"
)

// onLoopback gives the URL of a database as seen through a port of this
// machine's own, when it is elsewhere (in a container, say): production rightly
// refuses to talk to another host without TLS.
func onLoopback(database string) (seen string, closeIt func(), err error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", nil, err
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return database, func() {}, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func(to string) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go forward(conn, to)
		}
	}(net.JoinHostPort(u.Hostname(), defaultPort(u.Port())))
	u.Host = l.Addr().String()
	return u.String(), func() { _ = l.Close() }, nil
}

func defaultPort(port string) string {
	if port == "" {
		return "5432"
	}
	return port
}

// forward copies both ways and ends both sides when either ends.
func forward(here net.Conn, to string) {
	there, err := net.Dial("tcp", to)
	if err != nil {
		_ = here.Close()
		return
	}
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{here, there}, {there, here}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // its error is the end
			ended <- struct{}{}
		}()
	}
	<-ended
	_, _ = here.Close(), there.Close()
}

// reachable is onLoopback for the length of a test.
func reachable(t *testing.T, database string) string {
	t.Helper()
	seen, closeIt, err := onLoopback(database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeIt)
	return seen
}
