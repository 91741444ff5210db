package main_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// canary is what the client planted; it must come out in no log and no metric.
const canary = "Canary7Zq9"

// hostile makes requests that nobody sends by mistake. The same seed makes the same ones.
type hostile struct {
	*rand.Rand
	clerk  *clerkstandin.Server
	people []string
	tokens []string            // every token made, to be looked for in the log
	made   map[string][]string // a few tokens of each kind: signing two thousand takes longer than all the rest
}

func pick[T any](h *hostile, list ...T) T { return list[h.IntN(len(list))] }

// often tells true n times in a hundred.
func (h *hostile) often(n int) bool { return h.IntN(100) < n }

// request is the bytes of one request, and its method for reading the answer.
func (h *hostile) request() (method, raw string) {
	method = "GET"
	switch {
	case h.often(55):
		method = "PATCH"
	case h.often(45):
		method = pick(h, "HEAD", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get",
			canary, strings.Repeat("X", 300), "M-SEARCH", "PRI", "GET\x00", "GE T")
	}
	var b strings.Builder
	version := "HTTP/1.1"
	if h.often(4) {
		version = pick(h, "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP/1.1x", "", "FOO/1.1")
	}
	fmt.Fprintf(&b, "%s %s %s\r\n", method, h.target(method), version)
	if !h.often(2) {
		fmt.Fprintf(&b, "Host: %s\r\n", h.host())
	}
	b.WriteString("Connection: close\r\n")
	h.headers(&b)
	h.body(&b, method)
	return method, b.String()
}

func (h *hostile) host() string {
	if h.often(92) {
		return "localhost"
	}
	return pick(h, canary+".test", "localhost:99999", "[::1]", "[::1", "localhost\x00", "", "a b", "LOCALHOST", strings.Repeat("h", 3000), "localhost@"+canary, "localhost/../", "xn--"+canary)
}

func (h *hostile) target(method string) string {
	path := pick(h, "/v1/profiles/me", "/v1/profiles/me", "/v1/profiles/me", "/v1/profiles/somebody_1", "/v1/profiles/", "/v1/profiles", "/health",
		"/health/ready", "/health/live", "/problems/not-found", "/v1/admin/profiles", "/v1/handles/x", "/metrics", "/debug/pprof/", "/", "*", "",
		"/v1/profiles/me/preferences", "/v1/profiles/me/activity", "/v1/profiles/me/export", "/v1/handles/"+canary, "/v1/admin/audit-events",
		"/v1/webhooks/clerk", "/v1/admin/profiles/"+canary, "/v1/admin/profiles/"+canary+"/suspend", "/v1/admin/profiles/00000000-0000-7000-8000-000000000000/reactivate")
	if method == "PATCH" && h.often(85) {
		path = "/v1/profiles/me"
	} else if h.often(50) {
		path = pick(h,
			"/v1/profiles/"+canary, "/v1/profiles/%00", "/v1/profiles/a%00b", "/v1/profiles/%", "/v1/profiles/%zz", "/v1/profiles/%2e%2e%2fme",
			"/v1/profiles/me%2f", "/v1/profiles/me/", "//v1/profiles/me", "/v1//profiles/me", "/v1/./profiles/../profiles/me", "/V1/Profiles/Me",
			"/v1/profiles/%F0%9F%92%A9", "/v1/profiles/💩", "/v1/profiles/%ff%fe", "/v1/profiles/\xff\xfe", "/v1/profiles/"+strings.Repeat("a", 5000),
			"/v1/profiles/"+strings.Repeat("%41", 3000), "/v1/profiles/'%20OR%201=1--", "/v1/profiles/me;jsessionid=1", "/v1/profiles/me%23x", "/v1/profiles/me%3Fx",
			"/v1/profiles/:handle", "/v1/profiles/*", "/problems/%2e%2e", "/problems/"+canary, "/v1/profiles/a\tb", "http://elsewhere.test/v1/profiles/me",
			"localhost:80", "/v1/profiles/"+strings.Repeat("../", 200), "/v1/profiles/%u0041", "/v1/profiles/me\\", "/v1/profiles/{{7*7}}", "/.well-known/"+canary)
	}
	if h.often(25) {
		path += pick(h, "?q="+canary, "?"+canary, "?a=1;b="+canary, "?%zz="+canary, "?"+strings.Repeat("a&", 2000), "?handles="+canary+"%00", "?limit=-1", "?\x7f", "#"+canary)
	}
	return path
}

func (h *hostile) headers(b *strings.Builder) {
	line := func(name, value string) { fmt.Fprintf(b, "%s: %s\r\n", name, value) }
	if h.often(90) {
		line("Authorization", h.authorization())
		if h.often(3) {
			line("Authorization", h.authorization())
		}
	}
	if h.often(90) {
		line("Content-Type", pick(h, "application/json", "application/json", "application/json", "application/json", "application/json", "application/json", "application/json", "application/json",
			"application/merge-patch+json", "application/merge-patch+json", "application/merge-patch+json", "application/merge-patch+json", "application/merge-patch+json", "application/json; charset=utf-8", "application/json; charset=latin1",
			"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json;;", canary, "", "application/xml", "*/*", "application/json\x01"))
	}
	if h.often(20) {
		line("Accept", pick(h, "*/*", "application/json", "application/json;q=0", "text/html", "image/*", ";;;,,,", canary, strings.Repeat("a/b,", 2000), "application/*;q=0.0, */*;q=1", "application/json;q=NaN"))
	}
	if h.often(20) {
		line(pick(h, "If-Match", "If-None-Match"), pick(h, "*", `"v1"`, `W/"v1"`, `"v99999999999999999999"`, `"v-1"`, canary, `"`, ",,,", `"v1", "v2", *`, strings.Repeat(`"v1",`, 3000), `"v01"`))
	}
	if h.often(20) {
		line("X-Request-ID", pick(h, canary+" with a space", strings.Repeat("r", 65), canary+"\xff", "", "a,b", "<script>"+canary, "../../"+canary))
	}
	if h.often(15) {
		line("Traceparent", pick(h, "00-"+canary, "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-"+strings.Repeat("g", 32)+"-b7ad6b7169203331-01", strings.Repeat("0", 500)))
	}
	if h.often(15) {
		line("Origin", pick(h, "https://"+canary+".test", "null", "*", "\x02"))
	}
	if h.often(10) {
		line(pick(h, "X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "X-HTTP-Method-Override", "X-Original-URL", "Cookie", "User-Agent", "Referer"),
			pick(h, canary, "http", "::1, "+canary, "DELETE", "/v1/admin/"+canary, strings.Repeat("c", 4000)))
	}
	if h.often(5) {
		line(pick(h, "Expect", "Upgrade", "Transfer-Encoding", "Content-Encoding", "TE", "Range", "Idempotency-Key"), pick(h, "100-continue", "h2c", "gzip", "chunked, chunked", "identity", canary, "bytes=0-"))
	}
	if h.often(5) {
		line(pick(h, "Svix-Id", "Svix-Timestamp", "Svix-Signature", "Webhook-Id"), pick(h, canary, "1772366400", "v1,"+canary, "", strings.Repeat("s", 300)))
	}
	if h.often(3) {
		b.WriteString(pick(h, "X-No-Colon-"+canary+"\r\n", " folded: "+canary+"\r\n", ": empty\r\n", "X-Big: "+strings.Repeat("b", 60<<10)+"\r\n", "X-Nul: a\x00b\r\n", "X Y: z\r\n"))
	}
}

func (h *hostile) authorization() string {
	if h.often(70) { // a good one: what follows must be reached
		id := pick(h, h.people...)
		return "Bearer " + h.mint(id, clerkstandin.WithUser(id), clerkstandin.WithClaim("email", canary+"@mail.test"))
	}
	switch h.IntN(12) {
	case 0:
		return "Bearer " + h.mint("expired", clerkstandin.WithLifetime(-60e9))
	case 1:
		return "Bearer " + h.mint("sub", clerkstandin.WithClaim("sub", canary))
	case 2:
		return "Bearer " + h.mint("azp", clerkstandin.WithClaim("azp", "https://"+canary+".test"))
	case 3:
		return "Bearer " + h.mint("none", clerkstandin.WithHeader("alg", "none"))
	case 4:
		return "Bearer " + h.mint("kid", clerkstandin.WithHeader("kid", canary))
	case 5:
		return "Bearer " + h.mint("raw", clerkstandin.WithRawClaims([]byte(`{"sub":"`+canary+`","sub":1e999}`)))
	case 6:
		return "Bearer " + h.mint("crit", clerkstandin.WithHeader("crit", []string{canary}))
	case 7:
		return "Bearer " + strings.Repeat("A", 9<<10)
	case 8:
		return "Bearer " + canary + "." + canary + "." + canary
	case 9:
		return pick(h, "Basic ", "bearer", "Bearer", "Digest ", "Bearer\t") + canary
	case 10:
		t := h.mint("cut")
		return "Bearer " + t[:h.IntN(len(t))]
	}
	t := []byte(h.mint("changed"))
	t[h.IntN(len(t))] = byte('!' + h.IntN(90))
	return "Bearer " + string(t)
}

// mint gives one of three tokens of a kind.
func (h *hostile) mint(kind string, opts ...clerkstandin.MintOption) string {
	if made := h.made[kind]; len(made) == 3 {
		return pick(h, made...)
	}
	t := h.clerk.Mint(opts...)
	h.made[kind] = append(h.made[kind], t)
	h.tokens = append(h.tokens, t)
	return t
}

func (h *hostile) body(b *strings.Builder, method string) {
	body := ""
	if method == "PATCH" || h.often(25) {
		body = h.content()
	}
	switch {
	case h.often(3):
		fmt.Fprintf(b, "Content-Length: %s\r\n\r\n%s", pick(h, "-1", "x", "18446744073709551616", "5, 6", "+3"), body)
	case h.often(8):
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		fmt.Fprintf(b, "%x\r\n%s\r\n%s", len(body), body, pick(h, "0\r\n\r\n", "0\r\n\r\n", "zz\r\n", "0\r\nX-"+canary+": 1\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\n"))
	case h.often(3) && body != "": // ends too soon: the connection's writing half is closed after it
		fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body)+10, body)
	default:
		fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
}

func (h *hostile) content() string {
	values := []string{
		`"` + canary + `"`, `null`, `1`, `1e400`, `true`, `[]`, `{}`, `""`, `"a\u0000b"`, `"\ud800"`, `"💩"`, `"` + strings.Repeat("x", 600) + `"`, `"\u202e` + canary + `"`,
		`"javascript:alert(1)"`, `"https://` + canary + `@host/"`, `"https://[::1"`, `[{"label":"` + canary + `","url":"https://x.test/"}]`, `[{"label":1}]`, `[null]`,
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000), strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), `-0`, `0x1`, `NaN`, `"#12345g"`, `"Mars/Phobos"`, `"private"`,
		`{"k":"` + strings.Repeat("m", 9000) + `"}`, `{"a":1,"a":2}`, `{"` + canary + `":1e999}`, `{"n":123456789012345678901234567890}`, `{"s":"\u0000"}`, "\"\xff\"", `"line\nbreak"`,
	}
	name := pick(h, "handle", "display_name", "bio", "banner_url", "location", "links", "theme_color", "locale", "time_zone", "visibility", "metadata",
		"metadata", "bio", "handle", "id", "version", "app_metadata", "Handle", "clerk_user_id", "email", canary, "__proto__", "a/b~c", "", "\xff")
	object := fmt.Sprintf(`{"%s":%s}`, name, pick(h, values...))
	if h.often(70) {
		return object
	}
	return pick(h, "", " ", "{", "}", "null", "[]", "\"x\"", object+object, object+"x", "\xef\xbb\xbf"+object, `{"bio":"a","bio":"b"}`, `{"bio":"a","BIO":"b"}`, strings.Repeat(" ", 70000)+"{}",
		`{"bio":"`+strings.Repeat("y", 70000)+`"}`, "bio="+canary, "<xml>"+canary+"</xml>", "\x00\x01\x02", "{\"bio\":\"a\"}\x00", `{"bio":'a'}`, `{/**/"bio":"a"}`, `{"bio":"a",}`)
}
