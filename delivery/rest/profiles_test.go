package rest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	ownFields = []string{
		"id", "clerk_user_id", "email", "handle", "display_name", "bio", "avatar_url", "banner_url", "location", "links", "theme_color",
		"locale", "time_zone", "visibility", "status", "metadata", "app_metadata", "version", "created_at", "updated_at",
	}
	publicFields = []string{
		"id", "handle", "display_name", "bio", "avatar_url", "banner_url", "location", "links", "theme_color", "created_at", "updated_at",
	}
	uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

func TestFirstRequestCreatesTheProfile(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	got := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).want(t, 200)
	m := got.object(t)
	wantNames(t, m, slices.Clone(ownFields)...)
	for name, want := range map[string]any{
		"clerk_user_id": p.id, "email": nil, "display_name": nil, "bio": nil, "avatar_url": nil, "banner_url": nil, "location": nil,
		"theme_color": nil, "locale": nil, "time_zone": nil, "visibility": "public", "status": "active", "version": 1.0,
		"created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z",
	} {
		if m[name] != want {
			t.Errorf("%s is %v, want %v", name, m[name], want)
		}
	}
	if id, _ := m["id"].(string); !uuidV7.MatchString(id) {
		t.Errorf("id %v", m["id"])
	}
	if h := m["handle"].(string); !domain.ValidHandle(h) || strings.Contains(strings.ToLower(h), strings.ToLower(p.id[5:])) {
		t.Errorf("handle %q", h)
	}
	for _, empty := range []string{`"links":[]`, `"metadata":{}`, `"app_metadata":{}`} {
		if !strings.Contains(got.body, empty) {
			t.Errorf("no %s in %s", empty, got.body)
		}
	}
	if got.header.Get("ETag") != `"v1"` || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", got.header)
	}
	again := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).want(t, 200)
	if again.body != got.body {
		t.Errorf("second answer %s", again.body)
	}
	for _, table := range []string{"profiles", "preferences", "audit_events"} {
		if n := w.count(t, "SELECT count(*) FROM "+table); n != 1 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

// The audit event of the creation has the request's id and the client's network, and nothing that names the person.
func TestAuditTrailKnowsTheRequest(t *testing.T) {
	w := newWorld(t)
	w.do(t, "GET", "/v1/profiles/me", nil, w.person().is(), header("X-Request-ID", "first-visit"), peerAddr("203.0.113.77:5")).want(t, 200)
	if n := w.count(t, "SELECT count(*) FROM audit_events WHERE request_id = 'first-visit' AND client_network = '203.0.113.0/24' AND action = 'profile.created'"); n != 1 {
		t.Errorf("%d such events", n)
	}
}

func TestConditionalReads(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	handle := newHandle()
	w.patch(t, p, `{"handle":"`+handle+`"}`).want(t, 200)
	public := w.do(t, "GET", "/v1/profiles/"+handle, nil).want(t, 200).header.Get("ETag")
	cases := []struct {
		name, path string
		values     []string
		status     int
	}{
		{"own, same", "/v1/profiles/me", []string{`"v2"`}, 304},
		{"own, weak", "/v1/profiles/me", []string{`W/"v2"`}, 304},
		{"own, star", "/v1/profiles/me", []string{`*`}, 304},
		{"own, in a list", "/v1/profiles/me", []string{`"a", "v2"`}, 304},
		{"own, in a second header", "/v1/profiles/me", []string{`"a"`, `"v2"`}, 304},
		{"own, older", "/v1/profiles/me", []string{`"v1"`}, 200},
		{"own, not quoted", "/v1/profiles/me", []string{`v2`}, 200},
		{"own, empty", "/v1/profiles/me", []string{``}, 200},
		{"public, same", "/v1/profiles/" + handle, []string{public}, 304},
		{"public, own version", "/v1/profiles/" + handle, []string{`"v2"`}, 200},
	}
	for _, c := range cases {
		got := w.do(t, "GET", c.path, nil, p.is(), header("If-None-Match", c.values...)).want(t, c.status)
		if c.status == 304 && (got.body != "" || got.header.Get("ETag") == "" || got.header.Get("Content-Type") != "" || got.header.Get("RateLimit") == "") {
			t.Errorf("%s: %q, %v", c.name, got.body, got.header)
		}
		if c.status == 200 && got.body == "" {
			t.Errorf("%s: no body", c.name)
		}
	}
	if regexp.MustCompile(`v?2`).FindString(strings.Trim(public, `"`)) == strings.Trim(public, `"`) {
		t.Errorf("the public ETag %s tells the version", public)
	}
}

func TestPublicViewShowsTheAllowedFieldsOnly(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	handle := "Ada_" + newHandle()[:8]
	w.patch(t, p, `{"handle":"`+handle+`","display_name":"Ada","bio":"b","banner_url":"https://e.org/b","location":"L",
		"links":[{"label":"l","url":"https://e.org/?a=1&b=2"}],"theme_color":"#1e90ff","locale":"de","time_zone":"Europe/Berlin","metadata":{"hidden":"by-metadata"}}`).want(t, 200)
	w.sql(t, `UPDATE profiles SET email = 'ada@example.org', app_metadata = '{"hidden":"by-app"}', avatar_url = 'https://img.example/a'`)

	spellings := []string{handle, strings.ToUpper(handle), strings.ToLower(handle), "%41da_" + handle[4:], strings.ReplaceAll(handle, "_", "%5F")}
	for _, spelling := range spellings {
		got := w.do(t, "GET", "/v1/profiles/"+spelling, nil).want(t, 200)
		m := got.object(t)
		wantNames(t, m, slices.Clone(publicFields)...)
		if m["handle"] != handle || m["avatar_url"] != "https://img.example/a" || m["theme_color"] != "#1e90ff" {
			t.Errorf("%s: %v", spelling, m)
		}
		for _, secret := range []string{p.id, "ada@example.org", "hidden", "Berlin", "clerk", "version", "locale"} {
			if strings.Contains(got.body, secret) {
				t.Errorf("%s: %q is public", spelling, secret)
			}
		}
		if !strings.Contains(got.body, "https://e.org/?a=1&b=2") {
			t.Errorf("the URL is not readable: %s", got.body)
		}
		if got.header.Get("Cache-Control") != "public, max-age=5" {
			t.Errorf("Cache-Control %q", got.header.Get("Cache-Control"))
		}
	}
	// Its owner sees no more of it at this path.
	wantNames(t, w.do(t, "GET", "/v1/profiles/"+handle, nil, p.is()).want(t, 200).object(t), slices.Clone(publicFields)...)
	own := w.me(t, p)
	if own["email"] != "ada@example.org" || own["app_metadata"].(map[string]any)["hidden"] != "by-app" {
		t.Errorf("own view %v", own)
	}
	for _, path := range []string{"nobody_" + handle[:4], "ab", strings.Repeat("a", 31), handle + "/", handle + "%2F", handle + "/x", "a%00b", "%2561da", "a;b", "%C3%A9%C3%A9%C3%A9", "me/"} {
		w.do(t, "GET", "/v1/profiles/"+path, nil).problem(t, 404, domain.CodeNotFound)
	}
}

func TestPrivateProfilesExistForTheirOwnerOnly(t *testing.T) {
	w := newWorld(t)
	owner, other, handle := w.person(), w.person(), newHandle()
	w.patch(t, owner, `{"handle":"`+handle+`","visibility":"private"}`).want(t, 200)
	path := "/v1/profiles/" + handle
	hidden := w.do(t, "GET", path, nil).problem(t, 404, domain.CodeNotFound)
	w.do(t, "GET", path, nil, other.is()).problem(t, 404, domain.CodeNotFound)
	if got := w.do(t, "GET", path, nil, owner.is()).want(t, 200); got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("what only its owner sees may be cached: %q", got.header.Get("Cache-Control"))
	}
	// Hidden and absent cannot be told apart.
	absent := w.do(t, "GET", "/v1/profiles/"+newHandle(), nil).problem(t, 404, domain.CodeNotFound)
	if hidden.object(t)["detail"] != absent.object(t)["detail"] || !slices.Equal(headerNames(hidden), headerNames(absent)) {
		t.Errorf("hidden: %s %v; absent: %s %v", hidden.body, hidden.header, absent.body, absent.header)
	}
	// Its handle is not free for all that.
	w.patch(t, other, `{"handle":"`+strings.ToUpper(handle)+`"}`).problem(t, 409, domain.CodeHandleTaken)
}

func headerNames(r reply) []string {
	var names []string
	for name := range r.header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestSuspensionRefusesAndEndsByItself(t *testing.T) {
	w := newWorld(t)
	p, handle := w.person(), newHandle()
	w.patch(t, p, `{"handle":"`+handle+`"}`).want(t, 200)
	until := w.clock.Now().Add(10 * time.Second)
	w.sql(t, "UPDATE profiles SET status = 'suspended', suspended_reason = 'why-not-told', suspended_until = $1", until)

	got := w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 403, domain.CodeAccountSuspended)
	if strings.Contains(got.body, "why-not-told") || got.header.Get("WWW-Authenticate") != "" {
		t.Errorf("%s %v", got.body, got.header)
	}
	w.patch(t, p, `{"bio":"x"}`).problem(t, 403, domain.CodeAccountSuspended)
	w.do(t, "GET", "/v1/profiles/"+handle, nil).problem(t, 404, domain.CodeNotFound)
	w.do(t, "GET", "/v1/profiles/"+handle, nil, w.person().is()).problem(t, 404, domain.CodeNotFound)
	for _, path := range []string{"/v1/profiles/" + handle, "/v1/profiles?handles=" + handle, "/v1/handles/" + handle} { // on public routes too
		w.do(t, "GET", path, nil, p.is()).problem(t, 403, domain.CodeAccountSuspended)
	}

	w.clock.Advance(10*time.Second - time.Microsecond)
	w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 403, domain.CodeAccountSuspended)
	w.clock.Advance(time.Microsecond)
	if m := w.me(t, p); m["status"] != "active" || m["bio"] != nil {
		t.Errorf("afterwards %v", m)
	}
	wantNames(t, w.me(t, p), slices.Clone(ownFields)...) // and no reason or end of it
	w.do(t, "GET", "/v1/profiles/"+handle, nil).want(t, 200)

	w.sql(t, "UPDATE profiles SET suspended_until = NULL")
	w.clock.Advance(time.Minute)
	w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 403, domain.CodeAccountSuspended)
}

func TestErasedPeopleAreNotRevived(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.sql(t, "INSERT INTO erased_identities VALUES ($1, now())", testHashes.Hash(domain.PurposeErasedIdentity, p.id))
	w.do(t, "GET", "/v1/profiles/me", nil, p.is()).problem(t, 401, domain.CodeAccountErased)
	w.patch(t, p, `{"bio":"x"}`).problem(t, 401, domain.CodeAccountErased)
	if n := w.count(t, "SELECT count(*) FROM profiles") + w.count(t, "SELECT count(*) FROM audit_events"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// Only the gate's refusals matter here; package clerk tests which tokens it refuses.
func TestBadTokensAreRefusedOnPublicRoutesToo(t *testing.T) {
	w := newWorld(t)
	p, handle := w.person(), newHandle()
	w.patch(t, p, `{"handle":"`+handle+`"}`).want(t, 200)
	expired := w.person(lifetime(-time.Hour))
	for _, path := range []string{"/v1/profiles/" + handle, "/v1/profiles/me"} {
		for name, change := range map[string]with{"bad": bearer("bad"), "other scheme": header("Authorization", "Basic YTpi")} {
			got := w.do(t, "GET", path, nil, change).problem(t, 401, domain.CodeUnauthenticated)
			if strings.Contains(got.body, handle) && !strings.Contains(got.body, `"instance":"/v1/profiles/`+handle) {
				t.Errorf("%s: %s", name, got.body)
			}
		}
		w.do(t, "GET", path, nil, expired.is()).problem(t, 401, domain.CodeTokenExpired)
	}
	w.do(t, "GET", "/v1/profiles/"+handle, nil, header("Authorization", "bEARER "+p.token)).want(t, 200)
	for _, path := range []string{"/health", "/health/ready", "/health/live"} {
		w.do(t, "GET", path, nil, bearer("bad")).want(t, 200)
	}
}

func TestPathsAndMethodsThatAreNotThere(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/profiles/", "/v2/profiles/me", "//v1/profiles/me", "/v1/profiles/me/", "/health/", "/HEALTH", "/metrics", "/debug/pprof/", "/problems"} {
		got := w.do(t, "GET", path, nil).problem(t, 404, domain.CodeNotFound)
		if got.object(t)["instance"] != path {
			t.Errorf("%s: instance %v", path, got.object(t)["instance"])
		}
	}
	cases := []struct {
		method, path string
		allow        []string
	}{
		{"POST", "/v1/profiles/me", []string{"GET", "HEAD", "PATCH"}},
		{"PUT", "/v1/profiles/me", []string{"GET", "HEAD", "PATCH"}},
		{"PATCH", "/v1/profiles/ada_l", []string{"GET", "HEAD"}},
		{"POST", "/health", []string{"GET", "HEAD"}},
		{"TRACE", "/v1/profiles/me", []string{"GET", "HEAD", "PATCH"}},
		{"BREW", "/problems/timeout", []string{"GET", "HEAD"}},
	}
	for _, c := range cases {
		got := w.do(t, c.method, c.path, nil)
		if c.path != "/health" {
			got.problem(t, 405, domain.CodeMethodNotAllowed)
		}
		allow := strings.Split(strings.ReplaceAll(got.header.Get("Allow"), " ", ""), ",")
		for _, m := range c.allow {
			if got.status != 405 || !slices.Contains(allow, m) {
				t.Errorf("%s %s: %d, Allow %q", c.method, c.path, got.status, allow)
			}
		}
		if slices.Contains(allow, c.method) {
			t.Errorf("%s %s is refused and allowed", c.method, c.path)
		}
	}
	// No invented method or path is a label.
	if n := w.metric(t, "http_request_duration_seconds", map[string]string{"method": "BREW"}); n != 0 {
		t.Error("a label comes from a client")
	}
	if n := w.metric(t, "http_request_duration_seconds", map[string]string{"method": "OTHER", "route": "unmatched", "status": "405"}); n != 1 {
		t.Errorf("%v requests counted under OTHER", n)
	}
	got := w.do(t, "OPTIONS", "/v1/profiles/me", nil).want(t, 204)
	if !strings.Contains(got.header.Get("Allow"), http.MethodPatch) || got.header.Get("RateLimit") == "" {
		t.Errorf("OPTIONS: %v", got.header)
	}
}

func TestHealthRoutes(t *testing.T) {
	w := newWorld(t)
	got := w.do(t, "GET", "/health", nil).want(t, 200)
	m := got.object(t)
	wantNames(t, m, "status", "checks", "timestamp")
	checks := m["checks"].(map[string]any)
	wantNames(t, checks, "database", "cache", "disk")
	wantNames(t, checks["database"].(map[string]any), "status", "latency_ms")
	wantNames(t, checks["cache"].(map[string]any), "status", "latency_ms")
	wantNames(t, checks["disk"].(map[string]any), "status", "free_percent")
	if m["status"] != "healthy" || m["timestamp"] != "2026-03-01T12:00:00Z" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", got.body, got.header)
	}
	wantNames(t, w.do(t, "GET", "/health/ready", nil).want(t, 200).object(t), "status")
	w.deps.Health.Drain()
	if got := w.do(t, "GET", "/health/ready", nil).want(t, 503).object(t); got["status"] != "unhealthy" {
		t.Errorf("ready while draining: %v", got)
	}
	w.do(t, "GET", "/health/live", nil).want(t, 200)
	w.do(t, "GET", "/health", nil).want(t, 200)
}

func TestALostDatabaseIsToldButNotWhere(t *testing.T) {
	away, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://somebody:password@127.0.0.1:1/nowhere"})
	must(t, err)
	t.Cleanup(func() { must(t, away.Close()) })
	w := newWorld(t, func(d *Deps) {
		d.Profiles, d.Health = usecase.NewProfiles(storesOver(away, d.Clock)), healthOver(away, d.Clock, d.Log)
	})
	answers := []reply{w.do(t, "GET", "/health", nil).want(t, 503), w.do(t, "GET", "/health/ready", nil).want(t, 503)}
	if m := answers[0].object(t); m["status"] != "unhealthy" || m["checks"].(map[string]any)["database"].(map[string]any)["status"] != "unhealthy" {
		t.Errorf("%v", m)
	}
	w.do(t, "GET", "/health/live", nil).want(t, 200)
	answers = append(answers, w.do(t, "GET", "/v1/profiles/me", nil, w.person().is()).problem(t, 503, domain.CodeUnavailable))
	answers = append(answers, w.do(t, "GET", "/v1/profiles/ada_l", nil).problem(t, 503, domain.CodeUnavailable))
	for _, got := range answers {
		for _, internal := range []string{"127.0.0.1", "somebody", "password", "nowhere", "refused", "sql", "dial"} {
			if strings.Contains(strings.ToLower(got.body), internal) {
				t.Errorf("%q in %s", internal, got.body)
			}
		}
	}
	if lines := w.log.lines(t, "request failed"); len(lines) != 2 || !strings.Contains(lines[0]["cause"].(string), "refused") {
		t.Errorf("log %v", lines)
	}
	if strings.Contains(w.log.String(), "password") {
		t.Error("the database's password is in the log")
	}
}
