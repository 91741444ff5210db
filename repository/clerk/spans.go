package clerk

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced makes a span of each call of the client's; without a tracer it is the
// client itself.
func traced(client *http.Client, tracer trace.Tracer) *http.Client {
	if tracer == nil {
		return client
	}
	with := http.Client{}
	if client != nil {
		with = *client
	}
	with.Transport = spans{with.Transport, tracer}
	return &with
}

// spans tells Clerk the trace that a call belongs to (W3C traceparent), and notes
// the call. A span has the template of the path, because the path holds a person's
// id, and no text of an error, because net/http puts the URL into it. It ends with
// the answer's header.
type spans struct {
	next   http.RoundTripper
	tracer trace.Tracer
}

// RoundTrip implements http.RoundTripper.
func (s spans) RoundTrip(req *http.Request) (*http.Response, error) {
	path := templateOf(req.URL.Path)
	ctx, span := s.tracer.Start(req.Context(), "clerk "+req.Method+" "+path, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("peer.service", "clerk"), attribute.String("http.request.method", req.Method),
		attribute.String("url.template", path), attribute.String("server.address", req.URL.Hostname())))
	defer span.End()
	req = req.Clone(ctx) // a transport must not change the request that it was given
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	next := s.next
	if next == nil {
		next = http.DefaultTransport //nolint:forbidigo // each call has a timeout, by its context
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		span.SetStatus(codes.Error, "")
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
	if resp.StatusCode >= http.StatusBadRequest { // a client's span, so 4xx is an error too
		span.SetStatus(codes.Error, "")
	}
	return resp, nil
}

// templateOf keeps of a path what is no id: the three things that are asked of Clerk.
func templateOf(path string) string {
	switch {
	case strings.HasSuffix(path, keySetPath):
		return keySetPath
	case strings.HasSuffix(path, usersPath):
		return usersPath
	case strings.Contains(path, usersPath+"/"):
		return usersPath + "/{id}"
	}
	return "other"
}
