package service

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// spanQueue lets as many spans into the SDK's batches as may wait, and counts what
// becomes of each. The SDK's own queue drops what does not fit and tells nobody;
// it has room for all that is let in here, so that it never does.
type spanQueue struct {
	sdktrace.SpanProcessor // the SDK's batches

	exporter sdktrace.SpanExporter
	say      *exportLog
	counts   spanCounts
	waiting  atomic.Int64 // let in, and neither sent nor given up yet
}

// spanCounts is the metric.
type spanCounts struct{ sent, failed, dropped prometheus.Counter }

// newSpanCounts registers the metric, which is zero where nothing is traced.
func newSpanCounts(registry prometheus.Registerer) spanCounts {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trace_spans_total", Help: "Spans of sampled traces, by what became of their export.",
	}, []string{"outcome"})
	registry.MustRegister(spans)
	return spanCounts{spans.WithLabelValues("sent"), spans.WithLabelValues("failed"), spans.WithLabelValues("dropped")}
}

func newSpanQueue(exporter sdktrace.SpanExporter, counts spanCounts, say *exportLog) *spanQueue {
	q := &spanQueue{exporter: exporter, counts: counts, say: say}
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(countedExporter{q}, sdktrace.WithMaxQueueSize(spanQueueLength),
		sdktrace.WithMaxExportBatchSize(spanBatch), sdktrace.WithBatchTimeout(spanDelay), sdktrace.WithExportTimeout(exportPatience))
	return q
}

// OnEnd lets the span in where there is room, and never waits.
func (q *spanQueue) OnEnd(span sdktrace.ReadOnlySpan) {
	switch {
	case !span.SpanContext().IsSampled():
	case q.waiting.Add(1) > spanQueueLength:
		q.waiting.Add(-1)
		q.counts.dropped.Inc()
		q.say.full()
	default:
		q.SpanProcessor.OnEnd(span)
	}
}

// countedExporter is the exporter that the batches go to.
type countedExporter struct{ queue *spanQueue }

// ExportSpans sends a batch, and counts it. One of which the collector refused a
// part has failed as a whole.
func (e countedExporter) ExportSpans(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	n := len(batch)
	defer e.queue.waiting.Add(-int64(n))
	err := e.queue.exporter.ExportSpans(ctx, batch)
	if err != nil {
		e.queue.counts.failed.Add(float64(n))
	} else {
		e.queue.counts.sent.Add(float64(n))
	}
	return err
}

// Shutdown ends the exporter.
func (e countedExporter) Shutdown(ctx context.Context) error { return e.queue.exporter.Shutdown(ctx) }
