package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/testservers"
)

const source = "../../.."

func TestMain(m *testing.M) { testservers.Main(m) }

// smoke runs the smoke script for some seconds. Latency is not judged: that of a busy machine says nothing.
func smoke(t *testing.T, baseURL, tokens string) (summary, string, error) {
	t.Helper()
	return script(t, filepath.Join(source, "deploy/load/smoke.js"), baseURL, tokens, "5s", "LATENCY=off", "THINK=0.02")
}

// script runs a script and returns what k6 and its summary say.
func script(t *testing.T, path, baseURL, tokens, duration string, env ...string) (summary, string, error) {
	t.Helper()
	k6, err := tool(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	kept := filepath.Join(t.TempDir(), "summary.json")
	s, err := k6Run{
		program: k6, script: path, summary: kept, baseURL: baseURL, tokens: tokens,
		webhookSecret: drill.WebhookSecret, duration: duration, env: env, output: &said,
	}.run(t.Context())
	if text, readErr := os.ReadFile(kept); readErr == nil {
		said.Write(text)
	}
	return s, said.String(), err
}

// standInTokens is a file of tokens for servers that look at none.
func standInTokens(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), tokensName)
	if err := os.WriteFile(path, []byte(`{"people":["a","b"],"admin":"c"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSmokeOnTheRealProgram(t *testing.T) {
	s, err := stackOn(t.Context(), source, testservers.Database(t), 100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := s.start(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	got, said, err := smoke(t, s.baseURL(), s.tokens)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, name := range []string{"checks", "http_req_failed"} {
		if len(got.Metrics[name].Thresholds) == 0 {
			t.Errorf("no threshold on %s was evaluated", name)
		}
	}
	for _, row := range (result{summary: got}).rows() {
		if row.cells[0] == "0" {
			t.Errorf("nothing was asked of %s", row.route)
		}
	}
	text, err := os.ReadFile(s.tokens)
	var all struct{ People []string }
	if err != nil || json.Unmarshal(text, &all) != nil || len(all.People) == 0 {
		t.Fatalf("no tokens: %v", err)
	}
	for _, secret := range append(all.People, drill.WebhookSecret) {
		if strings.Contains(said, secret) {
			t.Fatal("a secret stands in what k6 printed or in its summary")
		}
	}
	if l := s.look(t.Context(), s.replicas[0].Pid(), 0); l.goroutines == 0 || l.rss == 0 || l.program == 0 || l.k6 == 0 {
		t.Errorf("a look at the replicas sees %+v", l)
	}
}

// A load test that cannot fail proves nothing.
func TestThresholdsFail(t *testing.T) {
	t.Parallel()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/profiles/me" && r.Method == http.MethodGet { // setup asks this
			_, _ = w.Write([]byte(`{"handle":"somebody"}`))
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(broken.Close)
	got, said, err := smoke(t, broken.URL, standInTokens(t))
	if !errors.Is(err, ErrThresholds) {
		t.Fatalf("a server that answers 500 passes: %v\n%s", err, said)
	}
	if all := strings.Join(crossed(got), "\n"); !strings.Contains(all, "checks ") || !strings.Contains(all, "http_req_failed ") {
		t.Errorf("crossed: %s", all)
	}
}

// A service that a spike leaves slow has not recovered, however quick it was before. The script runs with fewer people.
func TestTheSpikeIsJudgedByWhatFollowsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, people := range map[string]*strings.Replacer{
		"people.js": strings.NewReplacer(), "spike.js": strings.NewReplacer("target: 100", "target: 4", "target: 800", "target: 8"),
	} {
		text, err := os.ReadFile(filepath.Join(source, "deploy/load", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(people.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var begin sync.Once
	slow := make(chan struct{})
	limp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin.Do(func() { time.AfterFunc(4500*time.Millisecond, func() { close(slow) }) }) // of 8 s, the last stage 2
		select {
		case <-slow:
			time.Sleep(320 * time.Millisecond)
		default:
		}
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
		}
		_, _ = w.Write([]byte(`{"handle":"somebody"}`))
	}))
	t.Cleanup(limp.Close)
	got, said, err := script(t, filepath.Join(dir, "spike.js"), limp.URL, standInTokens(t), "5s", "THINK=0.05")
	if !errors.Is(err, ErrThresholds) || !slices.Contains(crossed(got), "http_req_duration{phase:recovered} p(95)<300") {
		t.Fatalf("a service that stays slow after a spike passes: %v, crossed %q\n%s", err, crossed(got), said)
	}
	all, recovered := got.Metrics["http_req_duration"].Values, got.Metrics["http_req_duration{phase:recovered}"].Values
	if all["p(50)"] >= 300 || recovered["count"] == 0 || recovered["count"] >= all["count"]/2 {
		t.Errorf("recovered are %v of all %v requests: not the last stage's", recovered["count"], all)
	}
	if rows := (result{summary: got}).rows(); !slices.ContainsFunc(rows, func(r row) bool { return r.route == "all, after the spike" }) {
		t.Errorf("the report does not tell of it: %+v", rows)
	}
}

// What stalls while people leave must count as failed, so k6 has to wait for it longer than for any answer.
func TestNoRequestIsCut(t *testing.T) {
	t.Parallel()
	k6, err := tool(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), k6, "inspect", "--include-system-env-vars", filepath.Join(source, "deploy/load/spike.js"))
	cmd.Env = append(os.Environ(), "BASE_URL=http://127.0.0.1", "TOKENS_FILE="+standInTokens(t))
	out, err := cmd.Output()
	var options struct {
		Scenarios map[string]struct{ GracefulStop, GracefulRampDown string }
	}
	if err != nil || json.Unmarshal(out, &options) != nil || len(options.Scenarios) == 0 {
		t.Fatalf("k6 inspect: %v: %s", err, out)
	}
	for name, scenario := range options.Scenarios {
		for _, text := range []string{scenario.GracefulStop, scenario.GracefulRampDown} {
			if patience, err := time.ParseDuration(text); err != nil || patience <= time.Minute {
				t.Errorf("%s waits %q for requests of who leaves; k6 waits 60 s for an answer", name, text)
			}
		}
	}
}

func TestGrowthIsJudged(t *testing.T) {
	soak := func(goroutines, rss func(i int) float64) result {
		var r result
		for i := range 100 {
			r.samples = append(r.samples, sample{goroutines: goroutines(i), rss: rss(i)})
		}
		return r
	}
	steady := func(int) float64 { return 100 << 20 }
	rising := func(i int) float64 { return float64(50+i) * (4 << 20) }
	if g := soak(steady, steady).growth(); g != "" {
		t.Errorf("steady: %s", g)
	}
	if g := soak(rising, steady).growth(); !strings.HasPrefix(g, "goroutines grew") {
		t.Errorf("goroutines: %q", g)
	}
	if g := soak(steady, rising).growth(); !strings.HasPrefix(g, "memory grew") {
		t.Errorf("memory: %q", g)
	}
	if g := (result{}).growth(); g == "" {
		t.Error("a soak that nobody watched is judged well")
	}
	dead := func(i int) float64 { return max(0, 95-float64(i)) * (1 << 20) }
	if g := soak(steady, dead).growth(); g == "" {
		t.Error("a soak whose end could not be read is judged well")
	}
}

// What stood still for some seconds is told, however quiet the rest was.
func TestAFullSecondIsTold(t *testing.T) {
	quiet := result{}
	for i := range 60 {
		quiet.samples = append(quiet.samples, sample{at: time.Duration(i) * time.Second, program: float64(i) * 0.1, goroutines: 1, rss: 1})
	}
	if said := quiet.bottleneck(); !strings.HasSuffix(said, "; nothing was full in any second") {
		t.Errorf("quiet: %s", said)
	}
	pool := result{samples: slices.Clone(quiet.samples)}
	for i := 5; i < 60; i++ {
		pool.samples[i].waited = min(float64(i-4)*9, 27)
	}
	if said := pool.bottleneck(); !strings.HasSuffix(said, "full was the pool for 3 s") {
		t.Errorf("27 s of waits in three seconds: %s", said)
	}
	busy := result{samples: slices.Clone(quiet.samples)}
	for i := 30; i < 60; i++ {
		busy.samples[i].k6 = float64(runtime.NumCPU())
	}
	if said := busy.bottleneck(); !strings.HasSuffix(said, "full were the processors for 1 s, k6's share included") {
		t.Errorf("a full second: %s", said)
	} // What could not be read is no waiting, and a process that was missing for one look has not worked in the next.
	gap := result{samples: slices.Clone(quiet.samples)}
	for i := range gap.samples {
		gap.samples[i].waited = 100
	}
	gap.samples[30].unread, gap.samples[30].waited, gap.samples[31].program = true, 0, 500
	if said := gap.bottleneck(); !strings.HasSuffix(said, "; nothing was full in any second") {
		t.Errorf("a look that saw nothing: %s", said)
	}
	if said := (result{samples: []sample{{unread: true}, {unread: true, at: time.Second}}}).bottleneck(); strings.Contains(said, "nothing was full") {
		t.Errorf("nothing was read: %s", said)
	}
}

// Of two replicas of which one does not answer there is no sum.
func TestASampleOfHalfTheReplicasIsNone(t *testing.T) {
	telling := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("db_pool_wait_seconds_total 7\ngo_goroutines 50\nprocess_resident_memory_bytes 1e+06\n"))
	}))
	t.Cleanup(telling.Close)
	silent := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(silent.Close)
	of := func(servers ...*httptest.Server) sample {
		var addresses []string
		for _, server := range servers {
			addresses = append(addresses, server.Listener.Addr().String())
		}
		return told(t.Context(), addresses)
	}
	if l := of(telling, telling); l.unread || l.goroutines != 100 || l.waited != 14 {
		t.Errorf("two that tell: %+v", l)
	}
	if l := of(telling, silent); !l.unread || l.goroutines != 0 || l.waited != 0 {
		t.Errorf("one that does not: %+v", l)
	}
}
