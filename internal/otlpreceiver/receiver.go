// Package otlpreceiver is an OpenTelemetry collector for tests: it takes spans by
// OTLP over HTTP as protobuf, and keeps them.
package otlpreceiver

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Path is where traces are posted to.
const Path = "/v1/traces"

// Span is one span, with ids as lower-case hex digits.
type Span struct {
	Name, TraceID, ID string
	Parent            string // empty: a root
	Kind              string // SERVER, CLIENT, CONSUMER, …
	Failed            bool
	Attributes        map[string]string // values as text
	Links             []string          // trace ids
	Resource          map[string]string
}

// Receiver is the collector.
type Receiver struct {
	server *httptest.Server

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	raw     strings.Builder
	faults  []string
}

// New starts a receiver that ends with the test. What it cannot read fails the test.
func New(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{}
	r.server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.server.Close()
		for _, fault := range r.faults {
			t.Error("the receiver of spans: " + fault)
		}
	})
	return r
}

// URL is what OTEL_EXPORTER_OTLP_ENDPOINT takes.
func (r *Receiver) URL() string { return r.server.URL }

// Spans are those of a trace so far; of all traces when the id is empty.
func (r *Receiver) Spans(traceID string) []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.spans), func(s Span) bool { return traceID != "" && s.TraceID != traceID })
}

// Raw is everything that was received, headers included, as it came but unzipped.
func (r *Receiver) Raw() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.raw.String()
}

// Headers are those of the posts so far.
func (r *Receiver) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.headers)
}

// ServeHTTP takes one post.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	message, raw, err := read(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.faults = append(r.faults, err.Error())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Fprintf(&r.raw, "%v\n%s\n", req.Header, raw)
	r.headers = append(r.headers, req.Header.Clone())
	for _, rs := range message.GetResourceSpans() {
		resource := texts(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				r.spans = append(r.spans, spanOf(s, resource))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func read(req *http.Request) (*coltrace.ExportTraceServiceRequest, []byte, error) {
	if req.Method != http.MethodPost || req.URL.Path != Path || req.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, nil, fmt.Errorf("%s %s with %q is no OTLP", req.Method, req.URL.Path, req.Header.Get("Content-Type"))
	}
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(req.Body)
		if err != nil {
			return nil, nil, err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, nil, err
	}
	message := &coltrace.ExportTraceServiceRequest{}
	return message, raw, proto.Unmarshal(raw, message)
}

func spanOf(s *tracepb.Span, resource map[string]string) Span {
	span := Span{
		Name: s.GetName(), TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Kind:   strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Attributes: texts(s.GetAttributes()), Resource: resource,
	}
	for _, link := range s.GetLinks() {
		span.Links = append(span.Links, hex.EncodeToString(link.GetTraceId()))
	}
	return span
}

func texts(attributes []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			out[a.GetKey()] = fmt.Sprint(v.BoolValue)
		default:
			out[a.GetKey()] = a.GetValue().String()
		}
	}
	return out
}
