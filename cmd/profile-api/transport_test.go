package main_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Behind a proxy that says http, production refuses; https gets HSTS.
func TestTransportBehindTrustedProxy(t *testing.T) {
	parallel(t)
	s := newStack(t)
	behind, direct := s.replica(t, "TRUSTED_PROXIES", "127.0.0.0/8"), s.replica(t)
	token, _ := s.person(t)

	refused := behind.get(t, "/v1/profiles/me", token, "X-Forwarded-Proto", "http")
	refused.wantProblem(t, http.StatusForbidden, "forbidden")
	if refused.header.Get("Location") != "" || refused.header.Get("Strict-Transport-Security") != "" {
		t.Errorf("the refusal has Location or HSTS: %v", refused.header)
	}
	for _, path := range []string{"/health", "/health/live", "/health/ready"} {
		if r := behind.get(t, path, "", "X-Forwarded-Proto", "http"); r.status != http.StatusOK {
			t.Errorf("%s over http is %d", path, r.status)
		}
	}
	https := behind.get(t, "/v1/profiles/me", token, "X-Forwarded-Proto", "https")
	if https.status != http.StatusOK || !strings.Contains(https.header.Get("Strict-Transport-Security"), "max-age=") {
		t.Errorf("over https: %d, HSTS %q", https.status, https.header.Get("Strict-Transport-Security"))
	}
	// Whoever is no trusted proxy is not believed, either way.
	if r := direct.get(t, "/v1/profiles/me", token, "X-Forwarded-Proto", "http"); r.status != http.StatusOK {
		t.Errorf("a direct client that says http gets %d", r.status)
	}
	if r := direct.get(t, "/v1/profiles/me", token, "X-Forwarded-Proto", "https"); r.header.Get("Strict-Transport-Security") != "" {
		t.Error("a direct client can make the server speak HSTS over http")
	}
	for _, r := range []reply{refused, https, direct.get(t, "/nothing", "")} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "", "Content-Security-Policy": "", "Cache-Control": "no-store",
		} {
			if got := r.header.Get(name); got == "" || (want != "" && got != want) {
				t.Errorf("%s is %q on a %d", name, got, r.status)
			}
		}
	}
}

// Another Host gets 421, but for probes, which come by address.
func TestHostCheck(t *testing.T) {
	parallel(t)
	p := newStack(t).replica(t)
	for host, want := range map[string]int{
		"127.0.0.1": 404, "localhost": 404, "LOCALHOST:1": 404, "localhost.": 404,
		"elsewhere.test": 421, "localhost.elsewhere.test": 421, "xlocalhost": 421, "169.254.169.254": 421,
	} {
		for path, status := range map[string]int{"/v1/profiles/nobody_1": want, "/health/live": 200} {
			req, err := http.NewRequest(http.MethodGet, "http://"+p.api+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			r, err := send(req)
			if err != nil || r.status != status {
				t.Errorf("Host %s, %s: %d, %v; want %d", host, path, r.status, err, status)
			}
			if status == http.StatusMisdirectedRequest {
				r.wantProblem(t, status, "misdirected-request")
			}
		}
	}
}

// A mounted secret serves as well as a variable: the very key is in use.
func TestSecretKeyFromFile(t *testing.T) {
	parallel(t)
	s := newStack(t)
	const key = "Another/Signing+Key=that^only~the|file_has.71{96}20[38]54"
	path := writeFile(t, "secret_key", key+"\n")
	p := s.replica(t, "SECRET_KEY", "", "SECRET_KEY_FILE", path)
	token, id := s.person(t)
	if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
		t.Fatalf("me is %d", r.status)
	}
	want := domain.NewPseudonymizer(key).Hash("log-user", id)
	eventually(t, "the log has the user's hash under the file's key", func() bool {
		return slices.ContainsFunc(p.logLines(t), func(line map[string]any) bool { return line["user"] == want })
	})
	if r := command(t, s.with("SECRET_KEY", "", "SECRET_KEY_FILE", path), "config"); r.status != 0 ||
		!strings.Contains(r.stdout, "SECRET_KEY_FILE") || strings.Contains(r.stdout, key) {
		t.Errorf("config: %d, %s", r.status, r.stdout)
	}
	if r := command(t, s.with("SECRET_KEY_FILE", path), "serve"); r.status != 1 || !strings.Contains(r.stderr, "SECRET_KEY_FILE") {
		t.Errorf("with both at once: %d, %s", r.status, r.stderr)
	}
	if r := command(t, s.with("SECRET_KEY", "", "SECRET_KEY_FILE", path+".gone"), "serve"); r.status != 1 {
		t.Errorf("with a file that is not there: %d, %s", r.status, r.stderr)
	}
}

// What operators read is on their own listener and nowhere else.
func TestMetricsAreTheOperatorsOwn(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t)
	token, _ := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	p.get(t, "/v1/profiles/me", "bad")
	m := p.metrics(t)
	for _, series := range []string{
		`http_request_duration_seconds_count{method="GET",route="/v1/profiles/me",status="200"}`,
		`http_request_duration_seconds_count{method="GET",route="/v1/profiles/me",status="401"}`,
		`db_pool_max_connections`, `db_pool_acquires_total`, `auth_token_verifications_total{outcome="ok"}`,
		`dependency_up{dependency="database"}`, `dependency_up{dependency="cache"}`, `dependency_up{dependency="clerk"}`, `go_goroutines`,
	} {
		if m.value(series) <= 0 {
			t.Errorf("%s is %v", series, m.value(series))
		}
	}
	for _, series := range []string{"request_timeouts_total", "auth_key_age_seconds", `db_pool_open_connections{state="in_use"}`} {
		if _, ok := m[series]; !ok {
			t.Errorf("there is no %s", series)
		}
	}
	if m.sum("rate_limit_decisions_total", `policy="user"`, `outcome="allowed`) != 1 || m.sum("rate_limit_decisions_total", `policy="ip"`, `outcome="allowed`) != 1 {
		t.Error("rate_limit_decisions_total does not count one of each")
	}
	if m.sum("auth_token_verifications_total") != 2 {
		t.Errorf("auth_token_verifications_total counts %v, want 2", m.sum("auth_token_verifications_total"))
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/goroutine", "/debug/pprof/cmdline"} {
		p.get(t, path, "").wantProblem(t, http.StatusNotFound, "not-found")
	}
	own := &program{api: p.ops}
	if r := own.get(t, "/debug/pprof/goroutine?debug=1", ""); r.status != http.StatusOK {
		t.Errorf("pprof on the operators' listener is %d", r.status)
	}
	for _, path := range []string{"/v1/profiles/me", "/health", "/"} {
		if r := own.get(t, path, token); r.status != http.StatusNotFound {
			t.Errorf("the operators' listener answers %s with %d", path, r.status)
		}
	}
}

// A profile takes as long as was asked for, however short the API's own timeouts are.
func TestLongProfileIsNotCutShort(t *testing.T) {
	t.Parallel() // without a slot: it does nothing but wait
	s := production("postgres://u:p@"+freeAddr(t)+"/x", "redis://"+freeAddr(t), "http://"+freeAddr(t)+"/v1")
	p := start(t, s.with("REQUEST_TIMEOUT", "10ms", "ADMIN_REQUEST_TIMEOUT", "10ms"))
	own := &program{api: p.ops}
	begin := time.Now()
	r := own.get(t, "/debug/pprof/profile?seconds=12", "")
	if d := time.Since(begin); r.status != http.StatusOK || d < 12*time.Second {
		t.Errorf("a profile of 12 s is answered with %d after %s", r.status, d)
	}
}
