package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/internal/testlog"
)

func TestServeStartsAndStops(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer api.Close()
	upstream, err := url.Parse(api.URL)
	must(t, err)
	log := &testlog.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- serve(ctx, &config.Firewall{
			Upstream: upstream, HTTPAddr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: 65536,
			RequestTimeout: time.Minute, ShutdownTimeout: time.Minute,
		}, slog.New(slog.NewJSONHandler(log, nil)))
	}()
	line := serving(t, log, done)
	ask := func(url string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		must(t, err)
		res, err := http.DefaultTransport.RoundTrip(r)
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(text)
	}
	if status, _ := ask("http://" + line.HTTP + "/v1/profiles/me"); status != 204 {
		t.Errorf("%d", status)
	}
	if status, _ := ask("http://" + line.HTTP + "/v1/profiles?ids=%3Cscript%3Ealert(1)%3C/script%3E"); status != 403 {
		t.Errorf("an attack: %d", status)
	}
	if status, _ := ask("http://" + line.Ops + "/health/live"); status != 200 {
		t.Errorf("live: %d", status)
	}
	_, text := ask("http://" + line.Ops + "/metrics")
	for _, want := range []string{`waf_requests_total{outcome="stopped"} 1`, `waf_stopped_total{group="xss"} 1`, `waf_stopped_total{group="lfi"} 0`, `waf_upstream_failures_total 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"clean":true`) {
		t.Errorf("%s", log)
	}
}

// addresses are where a firewall says that it serves.
type addresses struct {
	HTTP string `json:"http_addr"`
	Ops  string `json:"ops_addr"`
}

// serving waits for the first line of the log; done gives the error of one that ended before.
func serving(t *testing.T, log *testlog.Buffer, done <-chan error) (at addresses) {
	t.Helper()
	eventually(t, "it serves", func() bool {
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
		first, _, _ := bytes.Cut([]byte(log.String()), []byte("\n"))
		return json.Unmarshal(first, &at) == nil && at.HTTP != ""
	})
	return at
}

// The program as a whole, in this process: without what catches it, SIGHUP would end the tests.
func TestSIGHUPEndsNothing(t *testing.T) {
	for name, value := range map[string]string{
		"WAF_UPSTREAM": "http://127.0.0.1:1", "WAF_HTTP_ADDR": "127.0.0.1:0", "WAF_OPS_ADDR": "127.0.0.1:0", "WAF_DRAIN_DELAY": "0s",
	} {
		t.Setenv(name, value)
	}
	log := &testlog.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, log, []string{"serve"}) }()
	at := serving(t, log, done)
	must(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	eventually(t, "the log says what SIGHUP does not do", func() bool { return strings.Contains(log.String(), "SIGHUP does not reload the settings") })
	t.Setenv("WAF_OPS_ADDR", at.Ops)
	must(t, run(t.Context(), io.Discard, []string{"healthcheck"}))
	cancel()
	must(t, <-done)
	if err := run(t.Context(), io.Discard, []string{"healthcheck"}); err == nil {
		t.Error("what has ended is healthy")
	}
}

// A panic of the proxy's own, and nothing of whom it met, is in the log.
func TestAPanicIsToldOf(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.proxy.forward = nil
	if _, err := s.read(t.Context(), t); err == nil {
		t.Error("answered")
	}
	eventually(t, "it is in the log", func() bool {
		return strings.Contains(s.log.String(), `"level":"ERROR","msg":"panic outside of the chain"`)
	})
	if strings.Contains(s.log.String(), "127.0.0.1") || strings.Contains(s.log.String(), "goroutine") {
		t.Errorf("the log: %s", s.log)
	}
}

func TestServeRefusesRulesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &config.Firewall{RulesDir: t.TempDir(), ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: 1, HTTPAddr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0"}
	if err := serve(t.Context(), s, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "WAF_RULES_DIR") {
		t.Errorf("%v", err)
	}
	for _, args := range [][]string{nil, {"x"}, {"serve", "now"}} {
		if err := run(t.Context(), io.Discard, args); err == nil || err.Error() != errUsage.Error() {
			t.Errorf("%s: %v", fmt.Sprint(args), err)
		}
	}
}
