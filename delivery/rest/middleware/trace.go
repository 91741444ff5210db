package middleware

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// TraceContext is the W3C trace context of a request
// (https://www.w3.org/TR/trace-context/). TraceID is the caller's or a new one;
// SpanID is always ours.
type TraceContext struct {
	TraceID string // 32 lower-case hex digits
	SpanID  string // 16 lower-case hex digits
	Flags   string // 2 lower-case hex digits
}

// Traceparent is the header's form, for calls that we make ourselves.
func (t TraceContext) Traceparent() string {
	return "00-" + t.TraceID + "-" + t.SpanID + "-" + t.Flags
}

type traceKey struct{}

// TraceFrom returns the trace context that travels in ctx.
func TraceFrom(ctx context.Context) (TraceContext, bool) {
	t, ok := ctx.Value(traceKey{}).(TraceContext)
	return t, ok
}

// Version 00 has exactly four fields; a later version may add some after a dash.
var traceparentForm = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)

// Trace carries the caller's trace on, or begins one. With a tracer each request
// but a probe's is a span, and the ids of the log are the span's; nil traces
// nothing, and the log has its ids all the same. Of the caller's headers only the
// ids and flags of traceparent are taken: tracestate and baggage are free text of
// anybody's, and would travel on to the collector and to Clerk.
func Trace(tracer trace.Tracer) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			caller := parseTraceparent(c.Request().Header.Values("Traceparent"))
			if tracer == nil || StateOf(c).Route.Health {
				if caller.TraceID == "" {
					caller = TraceContext{TraceID: randomHex(16), Flags: "00"}
				}
				caller.SpanID = randomHex(8)
				carry(c.Request().Context(), c, caller)
				return next(c)
			}
			ctx, span := startRequest(c, tracer, caller)
			// In a defer: a connection that has to be dropped is dropped by a panic.
			defer func() { endRequest(span, StateOf(c)) }()
			id := span.SpanContext()
			carry(ctx, c, TraceContext{TraceID: id.TraceID().String(), SpanID: id.SpanID().String(), Flags: id.TraceFlags().String()})
			return next(c)
		}
	}
}

// carry puts the context where the layers below, the log and our own calls find it.
func carry(ctx context.Context, c echo.Context, t TraceContext) {
	StateOf(c).Trace = t
	c.SetRequest(c.Request().WithContext(context.WithValue(ctx, traceKey{}, t)))
}

// startRequest begins the span. Its name and attributes come from the route table
// alone: nothing of them is the client's.
func startRequest(c echo.Context, tracer trace.Tracer, caller TraceContext) (context.Context, trace.Span) {
	ctx := c.Request().Context()
	if parent := caller.remote(); parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	route, method := StateOf(c).Route.Template, MethodLabel(c.Request().Method)
	name, attributes := method+" "+route, []attribute.KeyValue{attribute.String("http.request.method", method), attribute.String("http.route", route)}
	if route == unmatched { // the conventions have neither a route nor a path in the name then
		name, attributes = method, attributes[:1]
	}
	return tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
}

// endRequest says what was answered. A request that went wrong by the client's
// doing is no error of the span's, by OpenTelemetry's conventions.
func endRequest(span trace.Span, s *State) {
	span.SetAttributes(attribute.Int("http.response.status_code", s.Status))
	if s.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// remote is the caller's span as a parent.
func (t TraceContext) remote() trace.SpanContext {
	traceID, errTrace := trace.TraceIDFromHex(t.TraceID)
	spanID, errSpan := trace.SpanIDFromHex(t.SpanID)
	if errTrace != nil || errSpan != nil {
		return trace.SpanContext{}
	}
	sampled := strings.ContainsAny(t.Flags[1:], "13579bdf") // the lowest bit; no other means anything to us
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(0).WithSampled(sampled), Remote: true,
	})
}

// parseTraceparent gives the caller's context, or an empty one for anything but
// one well-formed header, as the specification asks.
func parseTraceparent(values []string) TraceContext {
	if len(values) != 1 || len(values[0]) > 256 {
		return TraceContext{}
	}
	m := traceparentForm.FindStringSubmatch(values[0])
	switch {
	case m == nil, m[1] == "ff", m[1] == "00" && m[5] != "",
		strings.Trim(m[2], "0") == "", strings.Trim(m[3], "0") == "":
		return TraceContext{}
	}
	return TraceContext{TraceID: m[2], SpanID: m[3], Flags: m[4]}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return hex.EncodeToString(b)
}
