package valkey

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// spans makes a span of each command and pipeline, inside of
// whatever is traced already: probes of an absent server would be a trace of their
// own each time. A span has the command's name, never its keys and values, and
// no text of an error.
type spans struct{ tracer trace.Tracer }

// ProcessHook implements redis.Hook.
func (s spans) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return s.around(ctx, strings.ToUpper(cmd.Name()), func(ctx context.Context) error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook implements redis.Hook.
func (s spans) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		return s.around(ctx, "PIPELINE", func(ctx context.Context) error { return next(ctx, commands) })
	}
}

// DialHook implements redis.Hook. A connection is made beside the request that wants
// it, and may serve another one: it has no span.
func (spans) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s spans) around(ctx context.Context, name string, do func(context.Context) error) error {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return do(ctx)
	}
	ctx, span := s.tracer.Start(ctx, "valkey "+name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("db.system.name", "valkey"), attribute.String("db.operation.name", name)))
	defer span.End()
	err := do(ctx)
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") { // then the script is sent, and that is a span too
		span.SetStatus(codes.Error, "")
	}
	return err
}
