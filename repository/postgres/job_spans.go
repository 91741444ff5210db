package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// sameTraceFor is how long after a job was put into the queue its runs still
// belong to the trace of whoever did it. A later run, a retry after an outage for
// instance, is a trace of its own with a link: a trace that grows for weeks can be
// read by nobody, and back ends have thrown its beginning away.
const sameTraceFor = time.Hour

// jobMetadata is what River keeps beside a job's arguments, which hold ids only.
// The trace context is three numbers that were made at random.
type jobMetadata struct {
	Traceparent string `json:"traceparent,omitempty"`
}

// metadataOf gives a job the trace of ctx on its way; nil without one.
func metadataOf(ctx context.Context) []byte {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if carrier["traceparent"] == "" {
		return nil
	}
	data, err := json.Marshal(jobMetadata{carrier["traceparent"]})
	if err != nil {
		return nil // a struct of one string has no error
	}
	return data
}

// enqueuer is the span that put the job into the queue; it is invalid when that is
// not known. ctx must be in no trace yet.
func enqueuer(ctx context.Context, job *rivertype.JobRow) trace.SpanContext {
	var metadata jobMetadata
	if json.Unmarshal(job.Metadata, &metadata) != nil {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": metadata.Traceparent}))
}

// jobSpans makes a span of each run of a job; none without a tracer.
func jobSpans(tracer trace.Tracer) []rivertype.Middleware {
	if tracer == nil {
		return nil
	}
	return []rivertype.Middleware{river.WorkerMiddlewareFunc(func(ctx context.Context, job *rivertype.JobRow, run func(context.Context) error) error {
		options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("messaging.system", "river"), attribute.String("messaging.operation.type", "process"),
			attribute.Int64("profile_api.job.id", job.ID), attribute.Int("profile_api.job.attempt", job.Attempt))}
		switch from := enqueuer(ctx, job); {
		case !from.IsValid():
		case late(job):
			options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
		default:
			ctx = trace.ContextWithRemoteSpanContext(ctx, from)
		}
		ctx, span := tracer.Start(ctx, "job "+job.Kind, options...)
		defer span.End()
		err := run(ctx)
		noteEnd(span, err)
		return err
	})}
}

func late(job *rivertype.JobRow) bool {
	return job.AttemptedAt != nil && job.AttemptedAt.Sub(job.CreatedAt) > sameTraceFor
}

// noteEnd tells an error from a job that was only put off. The text of an error is
// in the log.
func noteEnd(span trace.Span, err error) {
	var snoozed *river.JobSnoozeError
	switch {
	case err == nil:
	case errors.As(err, &snoozed):
		span.SetAttributes(attribute.Bool("profile_api.job.snoozed", true))
	default:
		span.SetStatus(codes.Error, "")
	}
}
