package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/config"
)

// BenchmarkFirewall times one request at a time over TCP to an API that answers
// at once, straight and through the firewall: what the firewall adds. The CPU time
// is that of client, firewall and API together.
func BenchmarkFirewall(b *testing.B) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	defer api.Close()
	upstream, err := url.Parse(api.URL)
	if err != nil {
		b.Fatal(err)
	}
	engine, err := blocking()
	if err != nil {
		b.Fatal(err)
	}
	settings := &config.Firewall{Upstream: upstream, MaxBodyBytes: 65536, RequestTimeout: time.Minute}
	front := httptest.NewServer(newProxy(settings, engine, newMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler)))
	defer front.Close()
	prose := strings.Repeat("I like Go, PostgreSQL and long walks; coffee first, code later. ", 7)
	var query strings.Builder // just below what waits in the lane
	for i := range 500 {
		_, _ = fmt.Fprintf(&query, "&a%d=b", i)
	}
	for _, c := range []struct{ name, method, path, body string }{
		{"GET", http.MethodGet, "/v1/profiles/me", ""},
		{"PATCH-500B", http.MethodPatch, "/v1/profiles/me", `{"bio":"` + prose + `"}`},
		{"PATCH-8KiB", http.MethodPatch, "/v1/profiles/me", `{"metadata":{"notes":"` + strings.Repeat(prose, 18) + `"}}`},
		{"PATCH-64KiB", http.MethodPatch, "/v1/profiles/me", `{"metadata":{"notes":"` + strings.Repeat(prose, 145) + `"}}`},
		{"GET-500-arguments", http.MethodGet, "/v1/profiles?ids=1" + query.String(), ""},
		// Where all rules look.
		{"handle-8KiB", http.MethodPatch, "/v1/profiles/me", `{"handle":"` + strings.Repeat(prose, 18) + `"}`},
		{"handle-64KiB", http.MethodPatch, "/v1/profiles/me", `{"handle":"` + strings.Repeat(prose, 145) + `"}`},
		{"webhook-1MiB", http.MethodPost, "/v1/webhooks/clerk", `{"x":"` + strings.Repeat("a", 1<<20-8) + `"}`},
	} {
		for name, base := range map[string]string{"straight": api.URL, "firewall": front.URL} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				before := cpuTime(b)
				defer func() {
					b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/req")
				}()
				for b.Loop() {
					r, err := http.NewRequestWithContext(b.Context(), c.method, base+c.path, strings.NewReader(c.body))
					if err != nil {
						b.Fatal(err)
					}
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", "Bearer "+strings.Repeat("eyJhbGci", 80))
					res, err := http.DefaultTransport.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					if res.StatusCode != http.StatusOK {
						b.Fatalf("answered %d", res.StatusCode)
					}
				}
			})
		}
	}
}

// cpuTime is what this process has used, user and system.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
