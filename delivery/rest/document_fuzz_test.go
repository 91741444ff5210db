package rest

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// generatedRequests is how many requests TestGeneratedRequests sends.
const generatedRequests = 5000

var generatorSeed = flag.Uint64("generator-seed", 1, "where TestGeneratedRequests begins; it prints the seed of a run that failed")

// Whatever the document allows a client to send, and much that it does not,
// is answered by what the document says and never by a fault of ours.
func TestGeneratedRequests(t *testing.T) {
	w := newWorld(t)
	g := &generator{Rand: rand.New(rand.NewPCG(*generatorSeed, 0))}
	for _, o := range theDocument().operations {
		weight := 1 // what never varies is tried a few times
		if strings.HasPrefix(o.path, "/v1/") {
			weight = 30
		}
		if theDocument().routed[o.String()] {
			g.operations = append(g.operations, slices.Repeat([]operation{o}, weight)...)
		}
	}
	statuses := map[int]int{}
	renew := true
	for i := range generatedRequests {
		if renew {
			g.people(t, w)
		}
		sent := g.next(t)
		got := w.do(t, sent.operation.method, sent.target, sent.body, sent.changes...)
		statuses[got.status]++
		renew = got.status == 202 || i%50 == 0 // somebody was erased, or may have been suspended: they would only be refused from now on
		if got.status >= 500 {
			t.Errorf("%d is a fault of ours", got.status)
		}
		if t.Failed() {
			t.Fatalf("seed %d, request %d: %s %s as %s, body %.500v", *generatorSeed, i, sent.operation.method, sent.target, sent.caller, sent.body)
		}
	}
	t.Logf("seed %d: requests by status %v", *generatorSeed, statuses)
	if statuses[401] > generatedRequests/3 {
		t.Errorf("%d requests came no further than who was asking", statuses[401])
	}
	for _, status := range []int{200, 400, 401, 403, 404, 406, 415, 422} { // or the generator has lost its teeth
		if statuses[status] == 0 {
			t.Errorf("none of the requests was answered %d", status)
		}
	}
}

// generator makes requests out of the document.
type generator struct {
	*rand.Rand
	operations []operation
	callers    map[string]with
	handle, id string // of a profile that exists
}

// generated is one request.
type generated struct {
	operation operation
	caller    string
	target    string
	body      any
	changes   []with
}

func (g *generator) people(t *testing.T, w *world) {
	t.Helper()
	plain, admin, suspended := w.person(), w.person(adminRole), w.person()
	own := w.me(t, plain)
	g.handle, g.id = own["handle"].(string), own["id"].(string)
	w.me(t, suspended)
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE clerk_user_id = $1", suspended.id)
	g.callers = map[string]with{
		"plain": plain.is(), "admin": admin.is(), "suspended": suspended.is(), "bad token": bearer("bad"), "anonymous": func(*http.Request) {},
	}
}

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

func (g *generator) next(t *testing.T) generated {
	t.Helper()
	o := pick(g, g.operations...)
	sent := generated{operation: o, caller: pick(g, "plain", "plain", "plain", "admin", "admin", "admin", "suspended", "bad token", "anonymous")}
	sent.target = g.path(o) + g.query(o)
	if _, media := o.example(t); media != "" {
		sent.changes = append(sent.changes, mediaType(pick(g, media, media, media, media, media+"; charset=utf-8", "text/plain", "", "application/xml", media+"; charset=latin1")))
		sent.body = g.body(o.RequestBody.Value.Content[media].Schema.Value)
	} else if g.one(10) {
		sent.body = pick(g, "", "{}", "x", `{"a":`)
	}
	sent.changes = append(sent.changes, g.callers[sent.caller], g.headers())
	return sent
}

// path fills the parameters, mostly with what exists.
func (g *generator) path(o operation) string {
	path := o.path
	for _, p := range [][2]string{{"{handle}", g.handle}, {"{id}", g.id}, {"{code}", "conflict"}, {"{asset}", "favicon-16x16.png"}} {
		if !strings.Contains(path, p[0]) {
			continue
		}
		value := p[1]
		if g.one(3) {
			value = url.PathEscape(g.text())
		}
		path = strings.ReplaceAll(path, p[0], value)
	}
	return path
}

func (g *generator) query(o operation) string {
	q := url.Values{}
	for _, p := range o.Parameters {
		if p.Value.In != openapi3.ParameterInQuery || g.one(2) {
			continue
		}
		for range pick(g, 1, 1, 1, 1, 1, 2) {
			q.Add(p.Value.Name, g.parameter(p.Value))
		}
	}
	if g.one(10) {
		q.Set(pick(g, "unknown", "Limit", "limit[]", "q\x00"), g.text())
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func (g *generator) parameter(p *openapi3.Parameter) string {
	switch {
	case g.one(3):
		return g.text()
	case p.Schema.Value.Type.Is("array"):
		names := make([]string, pick(g, 1, 2, 3, 100, 101))
		for i := range names {
			names[i] = pick(g, g.handle, g.id, "ada", g.text())
		}
		return strings.Join(names, ",")
	}
	return fmt.Sprint(g.valid(p.Schema.Value, 0))
}

func (g *generator) headers() with {
	chosen := map[string]string{}
	for _, list := range [][]string{ // a name and its values
		{"Accept", "*/*", "application/json", "text/html", "application/json;q=0", ";;", "\xff"},
		{"If-Match", `"v1"`, `"v2"`, "*", `W/"v1"`, `"`, "v1", "", `"v99999999999999999999"`},
		{"If-None-Match", `"v1"`, "*", `"x"`, ",", "\xff"},
		{"Idempotency-Key", "a", g.id, strings.Repeat("k", 255), strings.Repeat("k", 256), "", "two words", "é"},
		{"X-Request-ID", "abc", strings.Repeat("a", 65), "<script>", ""},
		{"Origin", "https://evil.example", "null"},
		{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00"},
	} {
		if g.one(8) {
			chosen[list[0]] = pick(g, list[1:]...)
		}
	}
	return func(r *http.Request) {
		for name, value := range chosen {
			r.Header.Set(name, value)
		}
	}
}

// text is a string that somebody may try.
func (g *generator) text() string {
	return pick(g, "", " ", "a", "ab", "abc", g.handle, strings.ToUpper(g.handle), "me", "admin", "0", "-1", "201", "1e400", "9999999999999999999999", "null", "true",
		"' OR 1=1 --", "%", "%00", "\x00", "a\x00b", "\n", "\r\nX-Injected: 1", "../../etc/passwd", "..", ".", "/", "//", "a/b", "<script>alert(1)</script>", "{{7*7}}", "${jndi:x}",
		"é", "e\u0301", "İ", "ß", "日本語", "👩‍💻", "\u202e", "\ufeff", "\u2028", "\u00a0", "\u0085", "\xff\xfe", "https://example.org", "HTTPS://EXAMPLE.ORG/", "javascript:alert(1)", "http://x",
		"#1e90ff", "pt-BR", "Europe/Paris", "2026-03-01T12:00:00Z", "2026-02-30T00:00:00Z", "0000-00-00", "+0", g.id,
		strings.Repeat("a", pick(g, 3, 30, 31, 50, 51, 100, 101, 500, 501, 2048, 2049)), strings.Repeat("日", pick(g, 50, 51, 100, 101, 500, 501)),
		"https://e.org/"+strings.Repeat("a", pick(g, 2034, 2035)))
}

// valid is a value that the schema allows, as far as a schema can tell.
func (g *generator) valid(s *openapi3.Schema, depth int) any {
	switch {
	case s.Nullable && g.one(4):
		return nil
	case len(s.Enum) > 0:
		return pick(g, s.Enum...)
	case len(s.AllOf) > 0:
		return g.valid(s.AllOf[0].Value, depth)
	case s.Type.Is("object"):
		return g.object(s, depth, g.valid)
	case s.Type.Is("array"):
		list := make([]any, g.IntN(3))
		for i := range list {
			list[i] = g.valid(s.Items.Value, depth+1)
		}
		return list
	case s.Type.Is("integer"):
		return pick(g, 1, 2, 50, 200)
	case s.Type.Is("boolean"):
		return g.one(2)
	case s.Example != nil:
		return s.Example
	case s.Format == "date-time":
		return pick(g, "2026-03-01T12:00:00Z", "2031-01-01T00:00:00.5+01:00")
	case s.Format == "uri":
		return "https://example.org/" + strings.Repeat("a", g.IntN(20))
	case s.Format == "uuid":
		return g.id
	}
	return strings.Repeat("x", 1+g.IntN(40))
}

func (g *generator) object(s *openapi3.Schema, depth int, member func(*openapi3.Schema, int) any) any {
	m := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) { // a map's own order would spoil the seed
		if slices.Contains(s.Required, name) || g.one(3) {
			m[name] = member(s.Properties[name].Value, depth+1)
			if name == "handle" && g.one(2) { // not the same one for everybody
				m[name] = fmt.Sprintf("g_%d", g.Uint64N(1<<40))
			}
		}
	}
	if s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has && depth < 3 {
		for range g.IntN(3) {
			m[g.text()] = g.any()
		}
	}
	return m
}

// any is some value, whatever the schema says.
func (g *generator) any() any {
	return pick[any](g, nil, true, 0, -1, 1.5, json.Number("1e309"), json.Number("123456789012345678901234567890"), json.Number("-0"), json.Number("1e-400"),
		"", g.text(), []any{}, []any{g.text()}, map[string]any{}, map[string]any{g.text(): g.text()}, deep(40))
}

func deep(levels int) any {
	var v any = 1
	for range levels {
		v = map[string]any{"d": v}
	}
	return v
}

// mutant is a value that is valid in part.
func (g *generator) mutant(s *openapi3.Schema, depth int) any {
	switch {
	case g.one(3):
		return g.any()
	case s.Type.Is("object"):
		return g.object(s, depth, g.mutant)
	case s.Type.Is("array") && g.one(2):
		list := make([]any, pick(g, 1, 10, 11, 12))
		for i := range list {
			list[i] = g.mutant(s.Items.Value, depth+1)
		}
		return list
	case s.Type.Is("string") && g.one(2):
		return g.text()
	}
	return g.valid(s, depth)
}

// body is a valid body, one with faults, or none that can be read.
func (g *generator) body(s *openapi3.Schema) any {
	value := g.valid(s, 0)
	if g.one(2) {
		value = g.mutant(s, 0)
	}
	m, isObject := value.(map[string]any)
	if isObject && g.one(6) { // a member too many, or one too few
		m[pick(g, "id", "version", "clerk_user_id", "email", "status", "Handle", "__proto__", g.text())] = g.any()
	}
	if names := slices.Sorted(maps.Keys(m)); len(names) > 0 && g.one(10) {
		delete(m, pick(g, names...))
	}
	b, err := json.Marshal(value)
	if err != nil {
		return "{}"
	}
	text := string(b)
	if !g.one(5) {
		return text
	}
	return pick[any](g, nil, "", " ", text[:len(text)/2], text+text, text+",", "["+text+"]", "\xef\xbb\xbf"+text, strings.ReplaceAll(text, "x", "\xff"),
		strings.Replace(text, "{", `{"bio":"a","bio":"b",`, 1), strings.Replace(text, "{", `{"bio":"\ud800",`, 1), strings.Replace(text, "{", `{"metadata":{"n":1e999999999},`, 1),
		"null", "1", `"text"`, "NaN", strings.Repeat("[", 20000), `{"metadata":`+strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5001),
		`{"metadata":{"a":"`+strings.Repeat("a", pick(g, 8180, 8192, 60000))+`"}}`, "// comment\n"+text, strings.ReplaceAll(text, `"`, "'"))
}
