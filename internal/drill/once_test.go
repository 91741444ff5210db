package drill

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/profile-api/profile-api/internal/process"
)

type connKey struct{}

// swallower answers the first request of each connection and closes it at the
// second, unanswered, as a server does that ends while connections are kept.
// What comes to /health and /metrics it always answers, as a ready replica.
func swallower(t *testing.T) (addr string, swallowed *atomic.Int64) {
	t.Helper()
	swallowed = &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/metrics":
			_, _ = io.WriteString(w, "dependency_up{dependency=\"clerk\"} 1\n")
		case strings.HasPrefix(r.URL.Path, "/health"):
		case r.Context().Value(connKey{}).(*atomic.Int64).Add(1) > 1:
			swallowed.Add(1)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				err = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
	}))
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, &atomic.Int64{})
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), swallowed
}

// exchange makes a request and reports whether it was answered with 200.
func exchange(t *testing.T, client *http.Client, method, url, body string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Idempotency-Key", "one") // for net/http a leave to repeat what has a body
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Whatever a server swallows is seen by who asked, also what net/http would send again.
func TestWhatIsSwallowedIsSeen(t *testing.T) {
	for _, what := range []struct{ method, body string }{{"GET", ""}, {"DELETE", ""}, {"PATCH", "{}"}, {"POST", "{}"}} {
		addr, swallowed := swallower(t)
		client := &http.Client{Transport: Once{Transport: &http.Transport{}}}
		lost := 0
		for range 20 {
			if !exchange(t, client, what.method, "http://"+addr+"/", what.body) {
				lost++
			}
		}
		if n := int(swallowed.Load()); n != 10 || lost != n {
			t.Errorf("%s: the server swallowed %d of 20, and %d were seen as lost", what.method, n, lost)
		}
	}
}

// What a replica swallows behind the balancer, the balancer's caller sees as lost.
func TestTheBalancerRepeatsNothing(t *testing.T) {
	addr, swallowed := swallower(t)
	path, found := process.Find("sleep")
	if !found {
		t.Fatal("there is no sleep here, which every Unix has")
	}
	p, err := process.Start(process.Spec{Path: path, Args: []string{"600"}, Orphan: syscall.SIGKILL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	b, err := NewBalancer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Add(t.Context(), &Replica{API: addr, Ops: addr, process: p}); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: Once{Transport: &http.Transport{}}}
	lost := 0
	for range 20 {
		if !exchange(t, client, http.MethodGet, b.URL(), "") {
			lost++
		}
	}
	if n := int(swallowed.Load()); n == 0 || lost != n {
		t.Errorf("the replica swallowed %d of 20, and the caller saw %d as lost", n, lost)
	}
}

// What is sent once is what was asked for: no body where there was none.
func TestOnceSendsWhatItWasGiven(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		want := map[string]string{"GET": "", "DELETE": "", "PATCH": "{}"}[r.Method]
		if err != nil || string(body) != want || r.ContentLength != int64(len(want)) || len(r.TransferEncoding) > 0 {
			t.Errorf("%s came with %q, length %d, encoding %v: %v", r.Method, body, r.ContentLength, r.TransferEncoding, err)
		}
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: Once{Transport: &http.Transport{}}}
	for method, body := range map[string]string{"GET": "", "DELETE": "", "PATCH": "{}"} {
		if !exchange(t, client, method, server.URL, body) {
			t.Errorf("%s is not answered", method)
		}
	}
}
