package service

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/internal/otlpreceiver"
	"github.com/profile-api/profile-api/internal/testlog"
)

func open(t *testing.T, s config.Settings) (tracing, *testlog.Buffer) {
	t.Helper()
	var said testlog.Buffer
	traces, err := newTracing(t.Context(), &s, Build{Version: "v1.2.3"}, slog.New(slog.NewJSONHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return traces, &said
}

// More spans than the queue holds, while the collector hangs: nobody who ends a
// span waits, and the end of the program waits no longer than it is told to.
func TestAHangingCollectorHoldsNobody(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); hanging.Close() })
	traces, said := open(t, config.Settings{OTelExporterOTLPEndpoint: hanging.URL})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 * spanQueue {
			_, span := traces.tracer.Start(context.Background(), "x")
			span.End()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		traces.Drain(ctx)
	}()
	select {
	case <-done:
	case <-time.After(exportTimeout - time.Second): // the client's own patience must not be what ended it
		t.Fatal("somebody waits for the collector")
	}
	if !strings.Contains(said.String(), "the last spans could not be exported") {
		t.Errorf("the log: %s", said.String())
	}
}

// What the sampler says is what the collector gets.
func TestSamplers(t *testing.T) {
	const sampled, unsampled, root = "sampled", "unsampled", "root"
	for sampler, want := range map[string]string{
		config.SamplerAlwaysOn: "sampled unsampled root", config.SamplerAlwaysOff: "", config.SamplerRatio + " 1": "sampled unsampled root", config.SamplerRatio + " 0": "",
		config.SamplerParentAlwaysOn: "sampled root", config.SamplerParentAlwaysOff: "sampled", config.SamplerParentRatio + " 1": "sampled root",
		config.SamplerParentRatio + " 0": "sampled", "": "sampled root",
	} {
		spans := otlpreceiver.New(t)
		name, arg, _ := strings.Cut(sampler, " ")
		traces, _ := open(t, config.Settings{OTelExporterOTLPEndpoint: spans.URL(), OTelTracesSampler: name, OTelTracesSamplerArg: arg})
		for _, parent := range []string{sampled, unsampled, root} {
			ctx := context.Background()
			if parent != root {
				ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
					TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.TraceFlags(0).WithSampled(parent == sampled), Remote: true,
				}))
			}
			_, span := traces.tracer.Start(ctx, parent)
			span.End()
		}
		traces.Drain(context.Background())
		var got []string
		for _, span := range spans.Spans("") {
			got = append(got, span.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: the collector has %q, want %q", sampler, got, want)
		}
	}
}

func TestNoEndpointNoTracing(t *testing.T) {
	traces, _ := open(t, config.Settings{})
	if traces.tracer != nil || traces.provider != nil {
		t.Error("there is a tracer")
	}
	traces.Drain(t.Context()) // harmless
}
