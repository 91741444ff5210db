package middleware

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
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

// Trace carries the caller's trace on, or begins one. A tracing back end, when
// one is wired in, takes its parent from here.
func Trace() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			t := parseTraceparent(c.Request().Header.Values("Traceparent"))
			t.SpanID = randomHex(8)
			StateOf(c).Trace = t
			c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), traceKey{}, t)))
			return next(c)
		}
	}
}

// parseTraceparent begins a new trace for anything but one well-formed header,
// as the specification asks.
func parseTraceparent(values []string) TraceContext {
	fresh := TraceContext{TraceID: randomHex(16), Flags: "00"}
	if len(values) != 1 || len(values[0]) > 256 {
		return fresh
	}
	m := traceparentForm.FindStringSubmatch(values[0])
	switch {
	case m == nil, m[1] == "ff", m[1] == "00" && m[5] != "",
		strings.Trim(m[2], "0") == "", strings.Trim(m[3], "0") == "":
		return fresh
	}
	return TraceContext{TraceID: m[2], Flags: m[4]}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return hex.EncodeToString(b)
}
