package rest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/docs"
)

// operation is one method of one path of docs/openapi.yaml.
type operation struct {
	method, path string // such as GET, /v1/profiles/{handle}
	item         *openapi3.PathItem
	*openapi3.Operation
}

func (o operation) String() string { return o.method + " " + o.path }

// document is docs/openapi.yaml with a note of what was seen of it.
type document struct {
	spec       *openapi3.T
	operations []operation
	routed     map[string]bool // operations that the route table has

	mu   sync.Mutex
	seen map[string]map[int]bool // statuses by operation
}

// theDocument is shared by all tests: what is never seen of it fails the run (see TestMain).
var theDocument = sync.OnceValue(func() *document {
	for _, media := range []string{"text/html", "text/css", "text/javascript", "image/png"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
	spec, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		panic(err)
	}
	d := &document{spec: spec, seen: map[string]map[int]bool{}, routed: map[string]bool{}}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			d.operations = append(d.operations, operation{method, path, item, op})
		}
	}
	slices.SortFunc(d.operations, func(a, b operation) int { return cmp.Compare(a.String(), b.String()) })
	for _, r := range routes(Deps{DocsEnabled: true, WebhookSecrets: webhookSecrets()}) {
		d.routed[r.Method+" "+documentPath(r.Template)] = true
	}
	return d
})

// documentPath writes :name as {name}.
func documentPath(template string) string {
	return middleware.NewRoutes([]middleware.Route{{Method: "GET", Template: template}})["GET "+template].Template
}

// find gives the operation that a request is for. Fixed segments go before
// parameters, as in the router; HEAD follows GET. None for what the route table does not have.
func (d *document) find(method, path string) (operation, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	best, found := "", operation{}
	for _, o := range d.operations {
		template := strings.Split(o.path, "/")
		if o.method != method || len(template) != len(segments) || !d.routed[o.String()] {
			continue
		}
		rank := "" // fixed segments as far to the left as can be
		for i, s := range template {
			switch {
			case strings.HasPrefix(s, "{") && segments[i] != "": // the router takes nothing for a parameter
				rank += "1"
			case s == segments[i]:
				rank += "2"
			default:
				rank = "no"
			}
			if rank == "no" {
				break
			}
		}
		if rank != "no" && rank > best {
			best, found = rank, o
		}
	}
	return found, best != ""
}

func (d *document) note(o operation, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[o.String()] == nil {
		d.seen[o.String()] = map[int]bool{}
	}
	d.seen[o.String()][status] = true
}

// check holds one exchange against the document: the status must be written
// there, the headers and the body must be as it says and no more, and a request
// that was taken must be one that the document allows.
func (d *document) check(t *testing.T, r *http.Request, sent any, got reply) {
	t.Helper()
	o, ok := d.find(r.Method, r.URL.EscapedPath())
	if !ok {
		for _, fault := range d.strayFaults(r, got) {
			t.Errorf("%s %s: %d %s: %s", r.Method, r.URL.EscapedPath(), got.status, got.body, fault)
		}
		return
	}
	d.note(o, got.status)
	faults := d.faults(o, r, got)
	if body, isText := sent.(string); got.status < 300 && (isText || sent == nil) {
		faults = append(faults, requestFaults(o, r, body)...)
	}
	for _, fault := range faults {
		t.Errorf("%s: %d %.300s: not as in openapi.yaml: %s", o, got.status, got.body, fault)
	}
}

// strayFaults judges what no operation matches: an error is a problem document.
func (d *document) strayFaults(r *http.Request, got reply) []string {
	if got.status < 400 || r.Method == http.MethodHead || strings.HasPrefix(r.URL.Path, "/v1/test/") { // a test's own routes
		return nil
	}
	var faults []string
	if got.status == http.StatusMethodNotAllowed {
		faults = headerFaults(d.spec.Components.Responses["MethodNotAllowed"].Value, got.header)
	}
	var value any
	if err := json.Unmarshal([]byte(got.body), &value); err != nil {
		return append(faults, err.Error())
	}
	if err := d.spec.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.VisitAsResponse()); err != nil {
		faults = append(faults, err.Error())
	}
	return faults
}

func (d *document) faults(o operation, r *http.Request, got reply) []string {
	ref := o.Responses.Status(got.status)
	if ref == nil {
		return []string{"the status is not documented"}
	}
	faults := headerFaults(ref.Value, got.header)
	if r.Method == http.MethodHead {
		return faults
	}
	if len(ref.Value.Content) == 0 && got.body != "" {
		return append(faults, "it has a body")
	}
	err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Route: &routers.Route{Spec: d.spec, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		},
		Status: got.status, Header: got.header, Body: io.NopCloser(strings.NewReader(got.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		faults = append(faults, err.Error())
	}
	return faults
}

// generalHeaders may be on every answer; the document's introduction tells of them.
var generalHeaders = map[string]bool{
	"Content-Type": true, "Content-Length": true, "Connection": true, "Date": true, "Vary": true, "Allow": true, "Accept-Patch": true,
	"Content-Security-Policy": true, "X-Content-Type-Options": true, "X-Frame-Options": true, "Referrer-Policy": true, "Permissions-Policy": true,
	"Cross-Origin-Opener-Policy": true, "Cross-Origin-Embedder-Policy": true, "Cross-Origin-Resource-Policy": true,
	"Strict-Transport-Security": true, "Access-Control-Allow-Origin": true, "Access-Control-Expose-Headers": true,
}

func headerFaults(res *openapi3.Response, h http.Header) []string {
	var faults []string
	documented := map[string]bool{}
	for name, ref := range res.Headers {
		name = http.CanonicalHeaderKey(name)
		documented[name] = true
		values := h.Values(name)
		switch {
		case len(values) == 0 && ref.Value.Required:
			faults = append(faults, name+" is missing")
		case len(values) > 1:
			faults = append(faults, name+" is there more than once")
		case len(values) == 1:
			var value any = values[0]
			if n, err := strconv.ParseFloat(values[0], 64); err == nil && ref.Value.Schema.Value.Type.Is("integer") {
				value = n
			}
			if err := ref.Value.Schema.Value.VisitJSON(value); err != nil {
				faults = append(faults, fmt.Sprintf("%s is %q: %v", name, values[0], err))
			}
		}
	}
	for name := range h {
		if !documented[name] && !generalHeaders[name] {
			faults = append(faults, name+" is not documented")
		}
	}
	return faults
}

// requestFaults says why the document forbids a request that was taken. Path and
// header parameters are left out: those that cannot be understood are no matter for a 2xx.
func requestFaults(o operation, r *http.Request, body string) []string {
	var faults []string
	input := &openapi3filter.RequestValidationInput{Request: r, QueryParams: r.URL.Query()}
	for _, p := range o.Parameters {
		if p.Value.In == openapi3.ParameterInQuery {
			if err := openapi3filter.ValidateParameter(r.Context(), input, p.Value); err != nil {
				faults = append(faults, err.Error())
			}
		}
	}
	if o.RequestBody == nil || body == "" && !o.RequestBody.Value.Required {
		return faults
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	content := o.RequestBody.Value.Content.Get(media)
	if err != nil || content == nil {
		return append(faults, "the request's media type is not documented")
	}
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		return append(faults, "the request: "+err.Error())
	}
	if err := content.Schema.Value.VisitJSON(value, openapi3.VisitAsRequest()); err != nil {
		faults = append(faults, "the request: "+err.Error())
	}
	return faults
}

// unseen lists the operations and statuses that the run did not come across.
func (d *document) unseen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, o := range d.operations {
		if !d.routed[o.String()] {
			list = append(list, o.String()+" has no route")
			continue
		}
		for _, status := range slices.Sorted(maps.Keys(o.Responses.Map())) {
			if n, err := strconv.Atoi(status); err != nil || !d.seen[o.String()][n] {
				list = append(list, o.String()+" "+status+" was never seen")
			}
		}
	}
	return list
}

// wholeDocumentSeen fails a full run of the package that left a part of the
// document untried.
func wholeDocumentSeen() error {
	for name, full := range map[string]string{
		"test.run": "", "test.skip": "", "test.list": "", "test.fuzz": "", "test.short": "false", "test.fuzzworker": "false",
	} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != full {
			return nil
		}
	}
	list := theDocument().unseen()
	if len(list) == 0 {
		return firewallListSeen()
	}
	var b bytes.Buffer
	for _, line := range list {
		b.WriteString("\n  " + line)
	}
	return fmt.Errorf("docs/openapi.yaml says more than the tests tried:%s", b.String())
}
