package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/config"
)

// What may be lost is bounded, so that what is kept is bounded too: a collector
// that is away, hangs or is hostile costs the queue's memory and no request's time.
const (
	tracerName      = "github.com/profile-api/profile-api"
	spanQueueLength = 2048             // spans that wait, those of a post under way among them; more are dropped
	spanBatch       = 512              // in one post
	spanDelay       = time.Second      // from a span's end to its post, at most, while the collector keeps up
	exportTimeout   = 5 * time.Second  // of one post
	exportPatience  = 10 * time.Second // of a batch with its repetitions
	maxAnswerBytes  = 64 << 10         // of the collector's
	silenceInterval = time.Minute      // between two log lines about exports that failed, and about spans that were dropped
)

// tracing is the tracer that everything shares; its zero value traces nothing.
type tracing struct {
	tracer   trace.Tracer // nil without an endpoint
	provider *sdktrace.TracerProvider
	log      *slog.Logger
}

// spanLimits are written down because the SDK's defaults come from variables that
// are none of our settings. A span of ours has a few short attributes, at most one
// link and no event.
var spanLimits = sdktrace.SpanLimits{
	AttributeValueLengthLimit: 1024, AttributeCountLimit: 64,
	EventCountLimit: 16, LinkCountLimit: 16, AttributePerEventCountLimit: 16, AttributePerLinkCountLimit: 16,
}

// newTracing makes the tracer that the OTEL_* variables describe, and its metric.
// It connects to nothing.
func newTracing(ctx context.Context, s *config.Settings, build Build, log *slog.Logger, registry prometheus.Registerer) (tracing, error) {
	counts := newSpanCounts(registry)
	t := s.Traces()
	if t.Endpoint == "" {
		return tracing{}, nil
	}
	quiet := &exportLog{log: log}
	otel.SetErrorHandler(quiet) // else the SDK writes to standard error what is neither JSON nor ours
	otel.SetLogger(logr.Discard())
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(t.Endpoint), otlptracehttp.WithHeaders(t.Headers), otlptracehttp.WithHTTPClient(collectorClient()),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithMaxResponseSize(maxAnswerBytes),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: exportTimeout, MaxElapsedTime: exportPatience,
		}))
	if err != nil {
		return tracing{}, fmt.Errorf("trace exporter: %w", err)
	}
	attributes := []attribute.KeyValue{attribute.String("service.version", build.Version)} // OTEL_RESOURCE_ATTRIBUTES may say otherwise
	for key, value := range t.Attributes {
		attributes = append(attributes, attribute.String(key, value))
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attributes...)), sdktrace.WithSampler(samplerOf(t)), sdktrace.WithRawSpanLimits(spanLimits),
		sdktrace.WithSpanProcessor(newSpanQueue(exporter, counts, quiet)))
	return tracing{provider.Tracer(tracerName), provider, log}, nil
}

// collectorClient follows no redirect: headers with credentials go where the
// operator says, and nowhere else.
func collectorClient() *http.Client {
	return &http.Client{
		Timeout:       exportTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: exportTimeout}).DialContext, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: exportTimeout, IdleConnTimeout: httpserver.IdleTimeout, MaxIdleConns: 2, MaxResponseHeaderBytes: httpserver.MaxHeaderBytes,
		},
	}
}

func samplerOf(t config.Traces) sdktrace.Sampler {
	switch t.Sampler {
	case config.SamplerAlwaysOn:
		return sdktrace.AlwaysSample()
	case config.SamplerAlwaysOff:
		return sdktrace.NeverSample()
	case config.SamplerRatio:
		return sdktrace.TraceIDRatioBased(t.Ratio)
	case config.SamplerParentAlwaysOff:
		return sdktrace.ParentBased(sdktrace.NeverSample())
	case config.SamplerParentRatio:
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(t.Ratio))
	}
	return sdktrace.ParentBased(sdktrace.AlwaysSample())
}

// Drain sends what is left, within ctx and five seconds, and traces nothing more.
// Spans that the collector does not take in that time are lost.
func (t tracing) Drain(ctx context.Context) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.LogAttrs(ctx, slog.LevelWarn, "the last spans could not be exported")
	}
}

// exportLog is where the SDK says that an export failed, and the queue that it is
// full. The SDK's text may quote what the collector answered, so it stays out of
// the log, and one line a minute of either is enough.
type exportLog struct {
	log          *slog.Logger
	mu           sync.Mutex
	failed, lost time.Time // when it was said last
}

// Handle implements otel.ErrorHandler.
func (l *exportLog) Handle(err error) {
	if !l.due(&l.failed) {
		return
	}
	reason := "the collector does not take them"
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		reason = "the collector does not answer in time"
	case errors.As(err, &network):
		reason = "the collector cannot be reached"
	}
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "spans could not be exported; see OTEL_EXPORTER_OTLP_ENDPOINT", slog.String("reason", reason))
}

// full is called for each span that finds the queue full.
func (l *exportLog) full() {
	if l.due(&l.lost) {
		l.log.LogAttrs(context.Background(), slog.LevelWarn, "spans are dropped: the collector does not keep up; see trace_spans_total",
			slog.Int("waiting", spanQueueLength))
	}
}

// due tells whether a minute has passed since it was said last, and notes that it is now.
func (l *exportLog) due(last *time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := systemClock{}.Now()
	if !last.IsZero() && now.Sub(*last) < silenceInterval {
		return false
	}
	*last = now
	return true
}
