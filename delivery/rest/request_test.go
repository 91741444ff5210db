package rest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// with changes a request before it is sent.
type with func(*http.Request)

func header(name string, values ...string) with {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}
func bearer(token string) with    { return header("Authorization", "Bearer "+token) }
func (p person) is() with         { return bearer(p.token) }
func peerAddr(addr string) with   { return func(r *http.Request) { r.RemoteAddr = addr } }
func hostName(host string) with   { return func(r *http.Request) { r.Host = host } }
func mediaType(value string) with { return header("Content-Type", value) }

// reply is a recorded answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends one request through the whole chain. What holds for every answer is
// checked for every answer.
func (w *world) do(t *testing.T, method, path string, body any, changes ...with) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, reader(body))
	r.RemoteAddr = "192.0.2.1:1234"
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for _, c := range changes {
		c(r)
	}
	past := pastTheFirewall(r, body)
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	got := reply{rec.Code, rec.Result().Header, rec.Body.String()}
	past.check(t)
	got.checkAlways(t, method, r.URL.EscapedPath())
	theDocument().check(t, r, body, got)
	return got
}

func reader(body any) io.Reader {
	switch b := body.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(b)
	case io.Reader:
		return b
	}
	panic("a body is a string or a reader")
}

var alwaysThere = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
	"Cross-Origin-Resource-Policy": "cross-origin",
}

func (r reply) checkAlways(t *testing.T, method, path string) {
	t.Helper()
	for name, value := range alwaysThere {
		if path == "/docs" && r.status < 400 && name == "Content-Security-Policy" {
			continue // its own test has it
		}
		if got := r.header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s %s %d: %s is %q", method, path, r.status, name, got)
		}
	}
	if id := r.header.Values("X-Request-Id"); len(id) != 1 || id[0] == "" {
		t.Errorf("%s %s %d: X-Request-ID is %q", method, path, r.status, id)
	}
	if r.header.Get("Cache-Control") == "" {
		t.Errorf("%s %s %d: no Cache-Control", method, path, r.status)
	}
	if r.header.Get("Server") != "" || r.header.Get("X-Powered-By") != "" {
		t.Errorf("%s %s %d: tells what it runs on", method, path, r.status)
	}
	if r.status >= 400 && !strings.HasPrefix(path, "/health") && r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s %d: Content-Type is %q", method, path, r.status, r.header.Get("Content-Type"))
	}
}

// object decodes a JSON object.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%d with body %q: %v", r.status, r.body, err)
	}
	return m
}

// want fails unless the answer has the status.
func (r reply) want(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d; body %s", r.status, status, r.body)
	}
	return r
}

// problem fails unless the answer is this problem, whole and nothing else.
func (r reply) problem(t *testing.T, status int, code domain.Code) reply {
	t.Helper()
	m := r.want(t, status).object(t)
	wanted := map[string]any{
		"type": "/problems/" + string(code), "code": string(code), "status": float64(status),
		"request_id": r.header.Get("X-Request-Id"), "title": catalogue[code].Title,
	}
	for name, value := range wanted {
		if m[name] != value {
			t.Errorf("%s is %v, want %v", name, m[name], value)
		}
	}
	if detail, _ := m["detail"].(string); detail == "" {
		t.Error("no detail")
	}
	if path, _ := m["instance"].(string); !strings.HasPrefix(path, "/") {
		t.Errorf("instance is %v", m["instance"])
	}
	names := []string{"code", "detail", "instance", "request_id", "status", "title", "type"}
	if status == http.StatusUnprocessableEntity {
		names = append(names, "errors")
	}
	wantNames(t, m, names...)
	if r.header.Get("ETag") != "" {
		t.Error("a problem has an ETag")
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a problem has Cache-Control %q", r.header.Get("Cache-Control"))
	}
	return r
}

// faults lists the errors of a 422 as "pointer code".
func (r reply) faults(t *testing.T) []string {
	t.Helper()
	r.problem(t, http.StatusUnprocessableEntity, domain.CodeValidationFailed)
	var p Problem
	must(t, json.Unmarshal([]byte(r.body), &p))
	var list []string
	for _, f := range p.Errors {
		if f.Detail == "" {
			t.Errorf("%s has no detail", f.Pointer)
		}
		list = append(list, f.Pointer+" "+f.Code)
	}
	return list
}

func wantNames(t *testing.T, m map[string]any, names ...string) {
	t.Helper()
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(m)); !slices.Equal(got, names) {
		t.Errorf("members %q, want %q", got, names)
	}
}
