package service

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/internal/otlpreceiver"
	"github.com/profile-api/profile-api/internal/testlog"
)

func open(t *testing.T, s config.Settings) (tracing, *testlog.Buffer) {
	t.Helper()
	traces, said, _ := openCounted(t, s)
	return traces, said
}

// openCounted also returns a function that tells the metric.
func openCounted(t *testing.T, s config.Settings) (tracing, *testlog.Buffer, func() map[string]float64) {
	t.Helper()
	var said testlog.Buffer
	registry := prometheus.NewRegistry()
	traces, err := newTracing(t.Context(), &s, Build{Version: "v1.2.3"}, slog.New(slog.NewJSONHandler(&said, nil)), registry)
	if err != nil {
		t.Fatal(err)
	}
	return traces, &said, func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != "trace_spans_total" {
			t.Fatalf("the metrics are %v, %v", families, err)
		}
		counts := map[string]float64{}
		for _, m := range families[0].GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
		return counts
	}
}

func (t tracing) end(n int) {
	for range n {
		_, span := t.tracer.Start(context.Background(), "x")
		span.End()
	}
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
		traces.end(3 * spanQueueLength)
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

// What a collector that takes everything, but slowly, makes us drop is counted and
// told once; so is every other end of a span.
func TestEverySpanIsAccountedFor(t *testing.T) {
	for name, c := range map[string]struct {
		answer       http.HandlerFunc
		sent, failed float64
	}{
		"taken": {func(http.ResponseWriter, *http.Request) {}, spanQueueLength, 0},
		"refused in part": {func(w http.ResponseWriter, _ *http.Request) {
			answer, err := proto.Marshal(&coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: 1}})
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write(answer)
		}, 0, spanQueueLength},
		"refused": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, 0, spanQueueLength},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release; c.answer(w, r) }))
			t.Cleanup(slow.Close)
			traces, said, counts := openCounted(t, config.Settings{OTelExporterOTLPEndpoint: slow.URL})
			wants := func(when string, sent, failed, dropped float64) {
				t.Helper()
				if want := map[string]float64{"sent": sent, "failed": failed, "dropped": dropped}; !maps.Equal(counts(), want) {
					t.Errorf("%s: %v, want %v", when, counts(), want)
				}
			}
			wants("at the beginning", 0, 0, 0)
			traces.end(spanQueueLength)
			wants("as many as may wait", 0, 0, 0)
			traces.end(2 * spanQueueLength)
			wants("more than may wait", 0, 0, 2*spanQueueLength)
			close(release)
			traces.Drain(context.Background())
			wants("at the end", c.sent, c.failed, 2*spanQueueLength)
			if n := strings.Count(said.String(), "spans are dropped"); n != 1 {
				t.Errorf("it is said %d times: %s", n, said)
			}
		})
	}
}

// The room that spans which were sent leave is for others.
func TestSpansThatAreSentMakeRoom(t *testing.T) {
	spans := otlpreceiver.New(t)
	traces, said, counts := openCounted(t, config.Settings{OTelExporterOTLPEndpoint: spans.URL()})
	for range 4 {
		traces.end(spanQueueLength - 1)
		if err := traces.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// The SDK's handler of errors is one for the process: what an earlier test's exporter says as its last word comes here too.
	if got := counts(); got["dropped"] != 0 || got["sent"] != 4*(spanQueueLength-1) || strings.Contains(said.String(), "spans are dropped") {
		t.Errorf("%v: %s", got, said)
	}
}

// Variables of OpenTelemetry's that are not among the settings do nothing.
func TestOtherVariablesDoNothing(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1", "OTEL_SPAN_LINK_COUNT_LIMIT": "0", "OTEL_BSP_MAX_QUEUE_SIZE": "1",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1", "OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BSP_EXPORT_TIMEOUT": "1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
		"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere", "OTEL_EXPORTER_OTLP_INSECURE": "false",
	} {
		t.Setenv(name, value)
	}
	spans := otlpreceiver.New(t)
	traces, said := open(t, config.Settings{OTelExporterOTLPEndpoint: spans.URL()})
	for range 3 {
		_, span := traces.tracer.Start(context.Background(), "x", trace.WithAttributes(attribute.String("a", "long")),
			trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})}))
		span.End()
	}
	traces.Drain(context.Background())
	got := spans.Spans("")
	if len(got) != 3 || got[0].Attributes["a"] != "long" || len(got[0].Links) != 1 || len(spans.Headers()) != 1 || spans.Headers()[0].Get("Content-Encoding") != "gzip" {
		t.Errorf("the collector has %+v in %d posts: %s", got, len(spans.Headers()), said)
	}
}

// What the sampler says is what the collector gets.
func TestSamplers(t *testing.T) {
	const sampled, unsampled, root = "sampled", "unsampled", "root"
	for sampler, want := range map[string]string{
		config.SamplerAlwaysOn: "sampled unsampled root", config.SamplerAlwaysOff: "", config.SamplerRatio + " 1": "sampled unsampled root", config.SamplerRatio + " 0": "",
		config.SamplerParentAlwaysOn: "sampled root", config.SamplerParentAlwaysOff: "sampled", config.SamplerParentRatio + " 1": "sampled root",
		config.SamplerParentRatio + " 0": "sampled", "": "sampled root",
		// A ratio looks at the trace id, which the caller chooses: it keeps nobody from being sampled.
		config.SamplerRatio + " 1e-12": "sampled unsampled", config.SamplerParentRatio + " 1e-12": "sampled",
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
