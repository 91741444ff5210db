package rest

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func TestRequestIDs(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		name   string
		values []string
		kept   bool
	}{
		{"plain", []string{"abc-DEF_123"}, true},
		{"one character", []string{"a"}, true},
		{"64", []string{strings.Repeat("a", 64)}, true},
		{"65", []string{strings.Repeat("a", 65)}, false},
		{"empty", []string{""}, false},
		{"newline", []string{"a\nb"}, false},
		{"newline at the end", []string{"a\n"}, false},
		{"space", []string{"a b"}, false},
		{"unicode", []string{"é"}, false},
		{"markup", []string{"<script>"}, false},
		{"two", []string{"a", "b"}, false},
		{"none", nil, false},
	}
	for _, c := range cases {
		w.log.Reset()
		got := w.do(t, "GET", "/nowhere", nil, header("X-Request-ID", c.values...)).problem(t, 404, domain.CodeNotFound)
		id := got.header.Get("X-Request-Id")
		if c.kept && id != c.values[0] || !c.kept && !uuidV7.MatchString(id) {
			t.Errorf("%s: %q", c.name, id)
		}
		if lines := w.log.lines(t, "request"); len(lines) != 1 || lines[0]["request_id"] != id {
			t.Errorf("%s: log %v", c.name, lines)
		}
	}
}

func TestTraceContext(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	w := newWorld(t)
	cases := []struct {
		name   string
		values []string
		kept   bool
	}{
		{"well-formed", []string{"00-" + trace + "-" + span + "-01"}, true},
		{"later version", []string{"cc-" + trace + "-" + span + "-01-what-comes"}, true},
		{"later version without more", []string{"01-" + trace + "-" + span + "-00"}, true},
		{"version ff", []string{"ff-" + trace + "-" + span + "-01"}, false},
		{"version 00 with more", []string{"00-" + trace + "-" + span + "-01-more"}, false},
		{"upper case", []string{"00-" + strings.ToUpper(trace) + "-" + span + "-01"}, false},
		{"no trace", []string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, false},
		{"no span", []string{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, false},
		{"short", []string{"00-" + trace[1:] + "-" + span + "-01"}, false},
		{"long", []string{"cc-" + trace + "-" + span + "-01-" + strings.Repeat("a", 256)}, false},
		{"two", []string{"00-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01"}, false},
		{"garbage", []string{"%s\n"}, false},
		{"none", nil, false},
	}
	seen := map[string]bool{}
	for _, c := range cases {
		w.log.Reset()
		w.do(t, "GET", "/health/live", nil, header("Traceparent", c.values...)).want(t, 200)
		lines := w.log.lines(t, "request")
		if len(lines) != 1 {
			t.Fatalf("%s: log %v", c.name, lines)
		}
		id, _ := lines[0]["trace_id"].(string)
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || (id == trace) != c.kept || !c.kept && seen[id] {
			t.Errorf("%s: trace_id %q", c.name, id)
		}
		seen[id] = true
	}
}

func TestAccept(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	taken := [][]string{
		nil, {""}, {"*/*"}, {"application/*"}, {"application/json"}, {"APPLICATION/JSON"}, {"application/json;charset=utf-8"}, {"application/json;q=0.1"},
		{"text/html, */*;q=0.1"}, {"text/html", "application/json"}, {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		{"application/*;q=0, application/json"}, {";;;"},
	}
	refused := [][]string{
		{"text/html"}, {"application/xml"}, {"text/*"}, {"text/html", "image/*"}, {"application/json;q=0"}, {"*/*;q=0"}, {"application/*;q=0.0"}, {"application/jsonp"},
	}
	for _, path := range []string{"/v1/profiles/me", "/v1/profiles/nobody_"} {
		for _, values := range taken {
			if got := w.do(t, "GET", path, nil, p.is(), header("Accept", values...)); got.status == 406 {
				t.Errorf("%s: Accept %q is refused", path, values)
			}
		}
		for _, values := range refused {
			got := w.do(t, "GET", path, nil, p.is(), header("Accept", values...))
			if got.status != 406 {
				t.Errorf("%s: Accept %q: %d", path, values, got.status)
				continue
			}
			got.problem(t, 406, domain.CodeNotAcceptable)
		}
	}
	w.do(t, "GET", "/health", nil, header("Accept", "text/html")).want(t, 200)
	w.do(t, "GET", "/problems/timeout", nil, header("Accept", "text/html")).want(t, 200)
	w.patch(t, p, `{"bio":"x"}`, header("Accept", "text/html")).problem(t, 406, domain.CodeNotAcceptable)
	if m := w.me(t, p); m["bio"] != nil {
		t.Error("changed all the same")
	}
}

func TestHosts(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.AllowedHosts = []string{"api.example.com", ".example.org", "[2001:db8::1]"} })
	for host, allowed := range map[string]bool{
		"api.example.com": true, "API.Example.COM": true, "api.example.com:8443": true, "api.example.com.": true, "api.example.com.:80": true, "api.example.com:": true,
		"example.org": true, "a.example.org": true, "a.b.example.org:1": true, "[2001:db8::1]": true, "[2001:db8::1]:8080": true,
		"": false, "example.com": false, "evil.com": false, "api.example.com.evil.com": false, "evilapi.example.com": false, "evilexample.org": false,
		"api.example.com@evil.com": false, "api.example.com:80@evil.com": false, "api.example.com:x": false, "[2001:db8::1]evil.com": false, "[2001:db8::1]:80x": false, ".example.org": false, "[2001:db8::2]": false, "[api.example.com": false, "127.0.0.1": false,
	} {
		got := w.do(t, "GET", "/v1/profiles/nobody_", nil, hostName(host))
		if !allowed {
			if got.status != 421 {
				t.Errorf("Host %q: %d", host, got.status)
				continue
			}
			got.problem(t, 421, domain.CodeMisdirectedRequest)
		} else if got.status != 404 {
			t.Errorf("Host %q: %d", host, got.status)
		}
		for _, path := range []string{"/health", "/health/ready", "/health/live"} {
			w.do(t, "GET", path, nil, hostName(host)).want(t, 200)
		}
	}
	// What a client says of the host in other headers does not count.
	w.do(t, "GET", "/v1/profiles/nobody_", nil, hostName("evil.com"), header("X-Forwarded-Host", "api.example.com")).problem(t, 421, domain.CodeMisdirectedRequest)
}

func TestCORS(t *testing.T) {
	const app, other = "https://app.example.com", "https://evil.example.com"
	cases := []struct {
		name    string
		list    []string
		origin  string
		allowed bool
	}{
		{"no list", nil, app, false},
		{"no list, null", nil, "null", false},
		{"listed", []string{app}, app, true},
		{"other", []string{app}, other, false},
		{"null", []string{app}, "null", false},
		{"longer", []string{app}, app + ".evil.com", false},
		{"with a port", []string{app}, app + ":8443", false},
		{"other scheme", []string{app}, "http://app.example.com", false},
		{"a pattern is no pattern", []string{"https://*.example.com"}, app, false},
		{"second of two", []string{other, app}, app, true},
		{"star", []string{"*"}, other, true},
		{"no origin", []string{app}, "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(d *Deps) { d.CORSAllowedOrigins = c.list })
			changes := []with{header("Access-Control-Request-Method", "PATCH")}
			if c.origin != "" {
				changes = append(changes, header("Origin", c.origin))
			}
			preflight := w.do(t, "OPTIONS", "/v1/profiles/me", nil, changes...).want(t, 204)
			answers := map[string]reply{
				"preflight": preflight, "answer": w.do(t, "GET", "/v1/profiles/me", nil, append(changes, w.person().is())...).want(t, 200),
				"problem": w.do(t, "GET", "/v1/profiles/me", nil, changes...).want(t, 401),
			}
			for name, got := range answers {
				want := ""
				if c.allowed {
					want = c.origin
				}
				if h := got.header.Get("Access-Control-Allow-Origin"); h != want {
					t.Errorf("%s: Access-Control-Allow-Origin %q", name, h)
				}
				if got.header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s: credentials are allowed", name)
				}
				if !slices.Contains(got.header.Values("Vary"), "Origin") && (name != "preflight" || c.origin != "") {
					t.Errorf("%s: Vary %q", name, got.header.Values("Vary"))
				}
				exposed := got.header.Get("Access-Control-Expose-Headers")
				if has := strings.Contains(exposed, "ETag") && strings.Contains(exposed, "RateLimit-Policy"); has != (c.allowed && name != "preflight") {
					t.Errorf("%s: exposed %q", name, exposed)
				}
			}
			if methods := preflight.header.Get("Access-Control-Allow-Methods"); strings.Contains(methods, "PATCH") != c.allowed {
				t.Errorf("methods %q", methods)
			}
			if names := preflight.header.Get("Access-Control-Allow-Headers"); strings.Contains(names, "Authorization") != c.allowed || strings.Contains(names, "*") {
				t.Errorf("headers %q", names)
			}
			if counted := preflight.header.Get("RateLimit") != ""; counted != (c.origin == "") {
				t.Errorf("the preflight is counted: %v", counted)
			}
		})
	}
}

var theProxies = middleware.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// The limiter's key shows whom a request is counted under.
func TestWhoseAddressCounts(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.TrustedProxies = theProxies })
	key := func(network string) string { return testHashes.Hash(middleware.PurposeRateLimit, network) }
	cases := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"peer", "198.51.100.7:1", nil, "198.51.100.7/32"},
		{"peer that is no proxy is not believed", "198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7/32"},
		{"proxy without the header", "10.0.0.1:1", nil, "10.0.0.1/32"},
		{"proxy", "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9/32"},
		{"spoofed entries on the left", "10.0.0.1:1", []string{"1.1.1.1, 2.2.2.2, 203.0.113.9"}, "203.0.113.9/32"},
		{"spoofed header before the proxy's", "10.0.0.1:1", []string{"1.1.1.1", "203.0.113.9"}, "203.0.113.9/32"},
		{"two proxies", "10.0.0.1:1", []string{"1.1.1.1, 203.0.113.9, 10.2.3.4"}, "203.0.113.9/32"},
		{"client inside", "10.0.0.1:1", []string{"10.9.9.9, 10.2.3.4"}, "10.9.9.9/32"},
		{"a spoofed proxy on the left", "10.0.0.1:1", []string{"10.9.9.9, 203.0.113.9"}, "203.0.113.9/32"},
		{"garbage ends the walk", "10.0.0.1:1", []string{"203.0.113.9, garbage, 10.2.3.4"}, "10.2.3.4/32"},
		{"garbage alone", "10.0.0.1:1", []string{"garbage"}, "10.0.0.1/32"},
		{"empty", "10.0.0.1:1", []string{""}, "10.0.0.1/32"},
		{"with a port", "10.0.0.1:1", []string{"203.0.113.9:4711"}, "203.0.113.9/32"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"[2001:db8:1:2:3::4]:4711"}, "2001:db8:1:2::/64"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{"[2001:db8:1:2:3::4]"}, "2001:db8:1:2::/64"},
		{"IPv6 peer", "[2001:db8:1:2:3:4:5:6]:1", nil, "2001:db8:1:2::/64"},
		{"same /64", "[2001:db8:1:2:ffff::1]:1", nil, "2001:db8:1:2::/64"},
		{"next /64", "[2001:db8:1:3::1]:1", nil, "2001:db8:1:3::/64"},
		{"IPv6 proxy", "[fd00::1]:1", []string{"203.0.113.9"}, "203.0.113.9/32"},
		{"mapped peer", "[::ffff:198.51.100.7]:1", nil, "198.51.100.7/32"},
		{"mapped proxy", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9/32"},
		{"zone", "[fe80::1%eth0]:1", nil, "fe80::/64"},
		{"no address", "@", []string{"203.0.113.9"}, ""},
	}
	for _, c := range cases {
		w.limiter.taken()
		w.do(t, "GET", "/nowhere", nil, peerAddr(c.peer), header("X-Forwarded-For", c.forwarded...),
			header("X-Real-IP", "9.9.9.9"), header("Forwarded", "for=9.9.9.9"), header("True-Client-IP", "9.9.9.9"))
		if calls := w.limiter.taken(); len(calls) != 1 || calls[0] != (countedCall{domain.PolicyIP, key(c.want)}) {
			t.Errorf("%s: not counted under %s", c.name, c.want)
		}
	}
}

func TestPlainHTTPIsRefusedOnlyWhenAProxySaysSo(t *testing.T) {
	overTLS := func(r *http.Request) { r.TLS = &tls.ConnectionState{} }
	cases := []struct {
		name     string
		peer     string
		proto    []string
		tls      bool
		refused  bool // when https is required
		upgraded bool // Strict-Transport-Security goes out
	}{
		{"proxy says http", "10.0.0.1:1", []string{"http"}, false, true, false},
		{"proxy says HTTP", "10.0.0.1:1", []string{"HTTP"}, false, true, false},
		{"proxy says https", "10.0.0.1:1", []string{"https"}, false, false, true},
		{"proxy says nothing", "10.0.0.1:1", nil, false, false, false},
		{"the proxy's word is the last", "10.0.0.1:1", []string{"https, http"}, false, true, false},
		{"a spoofed http", "10.0.0.1:1", []string{"http", "https"}, false, false, true},
		{"another says http", "198.51.100.7:1", []string{"http"}, false, false, false},
		{"another says https", "198.51.100.7:1", []string{"https"}, false, false, false},
		{"nobody says anything", "198.51.100.7:1", nil, false, false, false},
		{"TLS", "198.51.100.7:1", []string{"http"}, true, false, true},
	}
	for _, required := range []bool{true, false} {
		w := newWorld(t, func(d *Deps) { d.TrustedProxies, d.RequireHTTPS = theProxies, required })
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s, required %v", c.name, required), func(t *testing.T) {
				changes := []with{peerAddr(c.peer), header("X-Forwarded-Proto", c.proto...)}
				if c.tls {
					changes = append(changes, overTLS)
				}
				got := w.do(t, "GET", "/v1/profiles/nobody_", nil, changes...)
				if c.refused && required {
					got.problem(t, 403, domain.CodeForbidden)
					if got.header.Get("Location") != "" {
						t.Error("redirects")
					}
				} else {
					got.problem(t, 404, domain.CodeNotFound)
				}
				health := w.do(t, "GET", "/health/ready", nil, changes...).want(t, 200)
				for _, r := range []reply{got, health} {
					if has := r.header.Get("Strict-Transport-Security") != ""; has != c.upgraded {
						t.Errorf("Strict-Transport-Security: %v", has)
					}
				}
			})
		}
	}
}

func TestAccessLog(t *testing.T) {
	w := newWorld(t)
	p := w.person(clerkstandin.WithClaim("email", "token@example.org"))
	handle := newHandle()
	w.patch(t, p, `{"handle":"`+handle+`"}`).want(t, 200)
	w.sql(t, "UPDATE profiles SET email = 'stored@example.org'")

	w.do(t, "GET", "/v1/profiles/me?q=the-query", nil, p.is(), peerAddr("203.0.113.77:1"), header("User-Agent", "the-agent"), header("Cookie", "the-cookie")).want(t, 200)
	w.patch(t, p, `{"bio":"the-bio","nope":"the-body"}`).want(t, 422)
	w.patch(t, p, `{"bio":"the-bio"`).want(t, 400)
	w.do(t, "GET", "/v1/profiles/"+handle+"?token=the-query", nil).want(t, 200)
	w.do(t, "GET", "/the-path", nil, bearer("the-token")).want(t, 404)
	w.do(t, "GET", "/v1/profiles/me", nil, bearer("the-token")).want(t, 401)
	w.do(t, "GET", "/health", nil).want(t, 200)

	lines := w.log.lines(t, "request")
	want := []struct {
		method, route string
		status        float64
		level         string
		user          bool
	}{
		{"PATCH", "/v1/profiles/me", 200, "INFO", true},
		{"GET", "/v1/profiles/me", 200, "INFO", true},
		{"PATCH", "/v1/profiles/me", 422, "INFO", true},
		{"PATCH", "/v1/profiles/me", 400, "INFO", true},
		{"GET", "/v1/profiles/{handle}", 200, "INFO", false},
		{"GET", "unmatched", 404, "INFO", false},
		{"GET", "/v1/profiles/me", 401, "INFO", false},
		{"GET", "/health", 200, "DEBUG", false},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	user := testHashes.Hash(middleware.PurposeLogUser, p.id)
	for i, line := range lines {
		names := []string{"time", "level", "msg", "request_id", "trace_id", "method", "route", "status", "duration", "client_network"}
		if want[i].user {
			names = append(names, "user")
			if line["user"] != user {
				t.Errorf("user %v", line["user"])
			}
		}
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(line)); !slices.Equal(got, names) {
			t.Errorf("line %d has %q", i, got)
		}
		if line["method"] != want[i].method || line["route"] != want[i].route || line["status"] != want[i].status || line["level"] != want[i].level {
			t.Errorf("line %d: %v", i, line)
		}
		if d, ok := line["duration"].(float64); !ok || d < 0 {
			t.Errorf("line %d: duration %v", i, line["duration"])
		}
	}
	if lines[1]["client_network"] != "203.0.113.0/24" {
		t.Errorf("client_network %v", lines[1]["client_network"])
	}
	for _, secret := range []string{p.id, p.token, p.token[len(p.token)-40:], "example.org", "the-", handle, "203.0.113.77"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("%.40q is in the log", secret)
		}
	}
	if n := w.metric(t, "http_request_duration_seconds", map[string]string{"route": "/v1/profiles/{handle}", "method": "GET", "status": "200"}); n != 1 {
		t.Errorf("%v requests measured", n)
	}
	for outcome, n := range map[string]float64{"ok": 4, "malformed": 2} {
		if got := w.metric(t, "auth_token_verifications_total", map[string]string{"outcome": outcome}); got != n {
			t.Errorf("%v tokens were %s", got, outcome)
		}
	}
}
