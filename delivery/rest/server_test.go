package rest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

func TestChainIsInTheContractsOrder(t *testing.T) {
	w := newWorld(t)
	// §7 of the contract by our names; what stands in brackets there is one layer here.
	contract := []string{
		"request-id", "trace", "observe", "recover", "security-headers", "host", "cors", "body-limit", "deadline",
		"authenticate", "rate-limit", "access",
	}
	helpers := map[string]string{"route": "request-id", "client": "request-id", "accept": "access", "spare-body": "access"} // name → the layer it stands before
	var names []string
	layers := chain(w.deps, middleware.NewRoutes(routes(w.deps)))
	for i, l := range layers {
		if before, ok := helpers[l.name]; ok {
			if !slices.ContainsFunc(layers[i:], func(l layer) bool { return l.name == before }) {
				t.Errorf("%s stands after %s", l.name, before)
			}
			continue
		}
		names = append(names, l.name)
	}
	if !slices.Equal(names, contract) {
		t.Errorf("chain %q, want %q", names, contract)
	}
}

// Every route of the table answers to GET and HEAD or to its method, and none is open by oversight.
func TestEveryRouteDeclaresWhoMayUseIt(t *testing.T) {
	want := map[string]middleware.Access{
		"GET /health": middleware.AccessOpen, "GET /health/ready": middleware.AccessOpen, "GET /health/live": middleware.AccessOpen,
		"GET /v1/profiles/me": middleware.AccessAccount, "PATCH /v1/profiles/me": middleware.AccessAccount,
		"GET /v1/profiles/me/preferences":   middleware.AccessAccount,
		"PATCH /v1/profiles/me/preferences": middleware.AccessAccount, "GET /v1/profiles/me/activity": middleware.AccessAccount,
		"GET /v1/profiles/me/export": middleware.AccessAccount,
		"GET /v1/profiles":           middleware.AccessPublic, "GET /v1/profiles/:handle": middleware.AccessPublic,
		"GET /v1/handles/:handle": middleware.AccessPublic, "GET /v1/admin/profiles": middleware.AccessAdmin,
		"GET /v1/admin/profiles/:id": middleware.AccessAdmin, "PATCH /v1/admin/profiles/:id": middleware.AccessAdmin,
		"POST /v1/admin/profiles/:id/suspend":    middleware.AccessAdmin,
		"POST /v1/admin/profiles/:id/reactivate": middleware.AccessAdmin, "GET /v1/admin/audit-events": middleware.AccessAdmin,
		"DELETE /v1/profiles/me": middleware.AccessAccount, "DELETE /v1/admin/profiles/:id": middleware.AccessAdmin,
		"POST /v1/webhooks/clerk": middleware.AccessClerk,
		"GET /problems/:code":     middleware.AccessOpen,
		"GET /docs":               middleware.AccessOpen, "GET /docs/:asset": middleware.AccessOpen, "GET /openapi.yaml": middleware.AccessOpen,
		"GET /openapi.json": middleware.AccessOpen, "GET /.well-known/security.txt": middleware.AccessOpen,
	}
	w := newWorld(t)
	table := routes(w.deps)
	for _, r := range table {
		key := r.Method + " " + r.Template
		if access, ok := want[key]; !ok || access != r.Access || r.Access == middleware.AccessUndeclared {
			t.Errorf("%s has access %d", key, r.Access)
		}
		if r.Health != strings.HasPrefix(r.Template, "/health") {
			t.Errorf("%s: health %v", key, r.Health)
		}
	}
	if len(table) != len(want) {
		t.Errorf("%d routes, %d in this test", len(table), len(want))
	}
}

// order is one request that several layers would refuse, and who must be first.
func TestOuterLayersRefuseFirst(t *testing.T) {
	w := newWorld(t, func(d *Deps) {
		d.AllowedHosts, d.RequireHTTPS, d.MaxBodyBytes = []string{"api.example.com"}, true, 10
		d.TrustedProxies = middleware.Proxies{netip.MustParsePrefix("10.0.0.0/8")}
		d.CORSAllowedOrigins = []string{"https://app.example.com"}
	})
	plainHTTP := func(r *http.Request) { r.RemoteAddr = "10.0.0.1:1"; r.Header.Set("X-Forwarded-Proto", "http") }
	right := hostName("api.example.com")
	big := strings.Repeat("x", 11)
	preflight := func(r *http.Request) {
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "PATCH")
	}
	cases := []struct {
		name    string
		method  string
		body    any
		changes []with
		limited bool // the limiter refuses
		status  int
		code    domain.Code
		counted bool // the limiter was asked
		judged  bool // a token was looked at
	}{
		{"https before host", "GET", nil, []with{plainHTTP, hostName("evil"), bearer("bad")}, true, 403, domain.CodeForbidden, false, false},
		{"host before preflight", "OPTIONS", nil, []with{preflight, hostName("evil")}, true, 421, domain.CodeMisdirectedRequest, false, false},
		{"host before body limit, limits and authentication", "PATCH", big, []with{hostName("evil"), bearer("bad")}, true, 421, domain.CodeMisdirectedRequest, false, false},
		{"preflight before limits and authentication", "OPTIONS", nil, []with{preflight, right, bearer("bad")}, true, 204, "", false, false},
		{"preflight before body limit", "OPTIONS", big, []with{preflight, right}, true, 204, "", false, false},
		{"body limit before authentication and limits", "PATCH", big, []with{right, bearer("bad")}, true, 413, domain.CodePayloadTooLarge, false, false},
		{"limits before 401", "PATCH", "{}", []with{right}, true, 429, domain.CodeRateLimited, true, false},
		{"limits before 401 of a bad token", "PATCH", "{}", []with{right, bearer("bad")}, true, 429, domain.CodeRateLimited, true, true},
		{"limits before 406", "GET", nil, []with{right, header("Accept", "text/html")}, true, 429, domain.CodeRateLimited, true, false},
		{"401 before 415", "PATCH", "{}", []with{right, mediaType("text/plain")}, false, 401, domain.CodeUnauthenticated, true, false},
		{"an OPTIONS that is no preflight is counted", "OPTIONS", nil, []with{right}, true, 429, domain.CodeRateLimited, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if w.limiter.script(nil); c.limited {
				w.limiter.script(refuse)
			}
			w.limiter.taken()
			before := w.metric(t, "auth_token_verifications_total", nil)
			got := w.do(t, c.method, "/v1/profiles/me", c.body, c.changes...)
			if c.code == "" {
				got.want(t, c.status)
			} else {
				got.problem(t, c.status, c.code)
			}
			if calls := w.limiter.taken(); (len(calls) == 1) != c.counted || len(calls) > 1 {
				t.Errorf("the limiter was asked %v", calls)
			}
			if judged := w.metric(t, "auth_token_verifications_total", nil) > before; judged != c.judged {
				t.Errorf("a token was judged: %v", judged)
			}
			if counted := got.header.Get("RateLimit") != ""; counted != c.counted {
				t.Errorf("RateLimit is there: %v", counted)
			}
		})
	}
	if n := w.count(t, "SELECT count(*) FROM profiles"); n != 0 {
		t.Errorf("%d profiles were created", n)
	}
}

func TestLimitsComeBeforeSuspensionAndTheDatabase(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.me(t, p)
	w.sql(t, "UPDATE profiles SET status = 'suspended'")
	w.limiter.script(refuse)
	w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 429, domain.CodeRateLimited)
	w.limiter.script(nil)
	w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 403, domain.CodeAccountSuspended)

	stranger := w.person()
	w.limiter.script(refuse)
	w.do(t, "GET", "/v1/profiles/me", nil, stranger.is()).problem(t, 429, domain.CodeRateLimited)
	if n := w.count(t, "SELECT count(*) FROM profiles WHERE clerk_user_id = $1", stranger.id); n != 0 {
		t.Error("a refused request created a profile")
	}
}

// A panic anywhere inside is one opaque problem with every header, one line in
// the access log, one with the stack, and one count.
func TestPanicsAreOrdinaryAnswers(t *testing.T) {
	w := newWorld(t)
	w.api.GET("/test/panic", func(echo.Context) error { panic("secret of the panic") })
	w.api.GET("/test/bug", func(echo.Context) error {
		var list []int
		return errors.New(string(rune(list[len(list)]))) //nolint:gocritic,govet // the bug is the point
	})
	for _, path := range []string{"/test/panic", "/test/bug"} {
		w.log.Reset()
		before := w.metric(t, "http_request_duration_seconds", map[string]string{"status": "500", "route": "unmatched"})
		got := w.do(t, "GET", path, nil, header("X-Request-ID", "panic-id")).problem(t, 500, domain.CodeInternal)
		if got.header.Get("X-Request-Id") != "panic-id" || got.header.Get("RateLimit") == "" {
			t.Errorf("%s: headers %v", path, got.header)
		}
		if strings.Contains(got.body, "secret") || strings.Contains(got.body, "index") || strings.Contains(got.body, ".go") {
			t.Errorf("%s: body %s", path, got.body)
		}
		access, panics := w.log.lines(t, "request"), w.log.lines(t, "panic")
		if len(access) != 1 || access[0]["status"] != 500.0 || access[0]["request_id"] != "panic-id" || access[0]["level"] != "ERROR" {
			t.Errorf("%s: access log %v", path, access)
		}
		if fault, _ := access[0]["fault"].(string); !strings.HasPrefix(fault, "panic: ") || strings.Count(w.log.String(), `"fault":`) != 1 {
			t.Errorf("%s: not one record carries the fault: %s", path, w.log.String())
		}
		if len(panics) != 1 || panics[0]["request_id"] != "panic-id" || panics[0]["trace_id"] == "" || panics[0]["trace_id"] != access[0]["trace_id"] || !strings.Contains(panics[0]["stack"].(string), "server_test.go") {
			t.Errorf("%s: panic log %v", path, panics)
		}
		if strings.Contains(w.log.String(), "secret of") {
			t.Errorf("%s: the panic's value is in the log", path)
		}
		if after := w.metric(t, "http_request_duration_seconds", map[string]string{"status": "500", "route": "unmatched"}); after != before+1 {
			t.Errorf("%s: counted %v times", path, after-before)
		}
	}
}

func TestAbortIsLeftToTheServer(t *testing.T) {
	w := newWorld(t)
	w.api.GET("/test/abort", func(echo.Context) error { panic(http.ErrAbortHandler) })
	defer func() {
		if r := recover(); r != http.ErrAbortHandler { //nolint:errorlint // a recovered value
			t.Errorf("recovered %v", r)
		}
	}()
	w.do(t, "GET", "/test/abort", nil)
	t.Error("not aborted")
}

// stuckVerifier waits for a key set that does not come.
type stuckVerifier struct{}

func (stuckVerifier) Verify(ctx context.Context, _ string) (domain.Principal, error) {
	<-ctx.Done()
	return domain.Principal{}, domain.UnavailableError(ctx.Err(), time.Second)
}

func TestDeadlineCoversAuthentication(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.Verifier, d.RequestTimeout = stuckVerifier{}, 50*time.Millisecond })
	w.do(t, "GET", "/v1/profiles/me", nil, bearer("any")).problem(t, 504, domain.CodeTimeout)
	if n := w.metric(t, "request_timeouts_total", nil); n != 1 {
		t.Errorf("%v timeouts counted", n)
	}
	// What needs no token is not held up by it.
	w.do(t, "GET", "/v1/profiles/me", nil).problem(t, 401, domain.CodeUnauthenticated)
}

type awayVerifier struct{}

func (awayVerifier) Verify(context.Context, string) (domain.Principal, error) {
	return domain.Principal{}, domain.UnavailableError(errors.New("no keys"), 1500*time.Millisecond)
}

func TestWithoutKeysTokensGet503(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.Verifier = awayVerifier{} })
	for _, path := range []string{"/v1/profiles/me", "/v1/profiles/ada_l"} {
		got := w.do(t, "GET", path, nil, bearer("any")).problem(t, 503, domain.CodeUnavailable)
		if got.header.Get("Retry-After") != "2" || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: headers %v", path, got.header)
		}
	}
	if calls := w.limiter.taken(); len(calls) != 2 || calls[0].policy != domain.PolicyIP {
		t.Errorf("counted as %v", calls)
	}
	w.do(t, "GET", "/health/live", nil, bearer("any")).want(t, 200)
	w.do(t, "GET", "/v1/profiles/nobody_", nil).problem(t, 404, domain.CodeNotFound)
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RequestTimeout, d.AdminRequestTimeout = 50*time.Millisecond, liveness })
	fails := map[string]func(context.Context) error{
		"deadline":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"own timeout": func(ctx context.Context) error { <-ctx.Done(); return domain.TimeoutError(ctx.Err()) },
		"unavailable": func(ctx context.Context) error { <-ctx.Done(); return domain.UnavailableError(io.EOF, 0) },
		"unknown":     func(ctx context.Context) error { <-ctx.Done(); return errors.New("broke off") },
		"statement":   func(context.Context) error { return domain.TimeoutError(errors.New("57014")) },
	}
	for name, fail := range fails {
		path := "/test/" + strings.ReplaceAll(name, " ", "-")
		w.api.GET(path, func(c echo.Context) error { return fail(c.Request().Context()) })
		before := w.metric(t, "request_timeouts_total", nil)
		w.do(t, "GET", path, nil).problem(t, 504, domain.CodeTimeout)
		if n := w.metric(t, "request_timeouts_total", nil); n != before+1 {
			t.Errorf("%s: counted %v", name, n-before)
		}
	}
	// A refusal that was found late is still that refusal, and an answer is an answer.
	w.api.GET("/test/late-404", func(c echo.Context) error { <-c.Request().Context().Done(); return echo.ErrNotFound })
	w.do(t, "GET", "/test/late-404", nil).problem(t, 404, domain.CodeNotFound)
	w.api.GET("/test/late-ok", func(c echo.Context) error { <-c.Request().Context().Done(); return c.NoContent(204) })
	w.do(t, "GET", "/test/late-ok", nil).want(t, 204)

	w.api.GET("/v1/admin/deadline", func(c echo.Context) error {
		end, ok := c.Request().Context().Deadline()
		if left := time.Until(end); !ok || left < liveness/2 {
			return errors.New("the admin routes do not have their own time")
		}
		return c.NoContent(204)
	})
	w.do(t, "GET", "/v1/admin/deadline", nil).want(t, 204)
}

// The caller counts under user only with a token that was accepted; a bad one
// is counted under ip and refused afterwards.
func TestWhoIsCountedUnderWhat(t *testing.T) {
	w := newWorld(t)
	p, admin := w.person(), w.person(adminRole)
	cases := []struct {
		name   string
		path   string
		change with
		status int
		calls  []domain.RatePolicy
	}{
		{"anonymous", "/v1/profiles/nobody_", func(*http.Request) {}, 404, []domain.RatePolicy{domain.PolicyIP}},
		{"bad token", "/v1/profiles/nobody_", bearer("bad"), 401, []domain.RatePolicy{domain.PolicyIP}},
		{"bad token on me", "/v1/profiles/me", bearer("bad"), 401, []domain.RatePolicy{domain.PolicyIP}},
		{"signed in", "/v1/profiles/me", p.is(), 200, []domain.RatePolicy{domain.PolicyUser}},
		{"signed in on a public route", "/v1/profiles/nobody_", p.is(), 404, []domain.RatePolicy{domain.PolicyUser}},
		{"admin", "/v1/profiles/me", admin.is(), 200, nil},
		{"health", "/health", bearer("bad"), 200, nil},
		{"ready", "/health/ready", bearer("bad"), 200, nil},
		{"live", "/health/live", bearer("bad"), 200, nil},
		{"problem page", "/problems/timeout", func(*http.Request) {}, 200, []domain.RatePolicy{domain.PolicyIP}},
		{"unknown path", "/nowhere", func(*http.Request) {}, 404, []domain.RatePolicy{domain.PolicyIP}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.limiter.taken()
			got := w.do(t, "GET", c.path, nil, c.change).want(t, c.status)
			var policies []domain.RatePolicy
			for _, call := range w.limiter.taken() {
				policies = append(policies, call.policy)
				if strings.Contains(call.key, p.id) || strings.Contains(call.key, "192.0.2") || len(call.key) != 43 {
					t.Errorf("the key %q names somebody", call.key)
				}
			}
			if !slices.Equal(policies, c.calls) {
				t.Errorf("counted under %v", policies)
			}
			if has := got.header.Get("RateLimit") != ""; has != (c.calls != nil) {
				t.Errorf("RateLimit is there: %v", has)
			}
		})
	}
	if n := w.metric(t, "rate_limit_decisions_total", map[string]string{"policy": "user", "outcome": "bypassed"}); n != 1 {
		t.Errorf("%v requests bypassed the limits", n)
	}
	keys := func(changes ...with) string {
		w.limiter.taken()
		w.do(t, "GET", "/v1/profiles/me", nil, changes...)
		return w.limiter.taken()[0].key
	}
	if keys(p.is(), peerAddr("198.51.100.1:1")) != keys(p.is(), peerAddr("[2001:db8::1]:2")) {
		t.Error("a person's key depends on the address")
	}
	if keys(p.is()) == keys(w.person().is()) {
		t.Error("two people share a key")
	}
}

func TestAdminsAreCountedWhenTheBypassIsOff(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.RateLimitAdminBypass = false })
	w.do(t, "GET", "/v1/profiles/me", nil, w.person(adminRole).is()).want(t, 200)
	if calls := w.limiter.taken(); len(calls) != 1 || calls[0].policy != domain.PolicyUser {
		t.Errorf("counted as %v", calls)
	}
}

// A route without an access rule, or below an admin rule, is closed.
func TestForgottenAndAdminRulesRefuse(t *testing.T) {
	w := newWorld(t)
	p, admin := w.person(), w.person(adminRole)
	rule := func(access middleware.Access) http.Handler {
		table := []middleware.Route{{Method: "GET", Template: "/v1/x", Access: access, Handler: func(c echo.Context) error { return c.NoContent(204) }}}
		e := echo.New()
		e.HTTPErrorHandler = problems{w.deps.Log}.handle
		for _, l := range chain(w.deps, middleware.NewRoutes(table)) {
			e.Use(l.handler)
		}
		e.GET("/v1/x", table[0].Handler)
		return e
	}
	cases := []struct {
		name   string
		access middleware.Access
		change with
		status int
		code   domain.Code
	}{
		{"forgotten, anonymous", middleware.AccessUndeclared, func(*http.Request) {}, 401, domain.CodeUnauthenticated},
		{"forgotten, signed in", middleware.AccessUndeclared, p.is(), 403, domain.CodeForbidden},
		{"forgotten, admin", middleware.AccessUndeclared, admin.is(), 403, domain.CodeForbidden},
		{"an invented rule", middleware.Access(99), admin.is(), 403, domain.CodeForbidden},
		{"admin's, anonymous", middleware.AccessAdmin, func(*http.Request) {}, 401, domain.CodeUnauthenticated},
		{"admin's, bad token", middleware.AccessAdmin, bearer("bad"), 401, domain.CodeUnauthenticated},
		{"admin's, signed in", middleware.AccessAdmin, p.is(), 403, domain.CodeForbidden},
		{"admin's, admin", middleware.AccessAdmin, admin.is(), 204, ""},
		{"public, bad token", middleware.AccessPublic, bearer("bad"), 401, domain.CodeUnauthenticated},
		{"open, bad token", middleware.AccessOpen, bearer("bad"), 204, ""},
	}
	for _, c := range cases {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/x", nil)
		c.change(r)
		rec := httptest.NewRecorder()
		rule(c.access).ServeHTTP(rec, r)
		var got Problem
		_ = json.Unmarshal(rec.Body.Bytes(), &got) // empty for a 204
		if rec.Code != c.status || got.Code != c.code {
			t.Errorf("%s: %d %s", c.name, rec.Code, got.Code)
		}
	}
	// Who was refused for the role has not been given a profile.
	if n := w.count(t, "SELECT count(*) FROM profiles WHERE clerk_user_id = $1", p.id); n != 0 {
		t.Error("a refused request created a profile")
	}
}
