package postgres

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// queryTracer is what pgx is to tell of its work; nil when nobody wants to know.
func (o Options) queryTracer() pgx.QueryTracer {
	switch {
	case o.Spans == nil:
		return o.Tracer
	case o.Tracer == nil:
		return spans{o.Spans}
	}
	return multitracer.New(o.Tracer, spans{o.Spans})
}

// spans makes a span of each statement, batch and new connection, inside of
// whatever is traced already: what the program does by itself, such as looking for
// jobs each second, would be a trace of its own each time. A span has the
// statement's verb and table, never its text or values, and of an error the
// SQLSTATE alone, because PostgreSQL's messages quote values.
type spans struct{ tracer trace.Tracer }

type spanKey struct{}

// start begins a span when there is something recorded that it belongs to.
func (s spans) start(ctx context.Context, describe func() statement) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	what := describe()
	attributes := []attribute.KeyValue{attribute.String("db.system.name", "postgresql"), attribute.String("db.operation.name", what.verb)}
	if what.table != "" {
		attributes = append(attributes, attribute.String("db.collection.name", what.table))
	}
	ctx, span := s.tracer.Start(ctx, what.String(), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return context.WithValue(ctx, spanKey{}, span)
}

func (spans) end(ctx context.Context, err error) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	var answer *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrNoRows):
	case errors.As(err, &answer):
		span.SetAttributes(attribute.String("db.response.status_code", answer.Code))
		span.SetStatus(codes.Error, "")
	default:
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// TraceQueryStart implements pgx.QueryTracer.
func (s spans) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return s.start(ctx, func() statement { return summarize(data.SQL) })
}

// TraceQueryEnd implements pgx.QueryTracer.
func (s spans) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	s.end(ctx, data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (s spans) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return s.start(ctx, func() statement { return statement{verb: "BATCH"} })
}

// TraceBatchQuery implements pgx.BatchTracer; the span is the batch's.
func (spans) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (s spans) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	s.end(ctx, data.Err)
}

// TraceConnectStart implements pgx.ConnectTracer.
func (s spans) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return s.start(ctx, func() statement { return statement{verb: "CONNECT"} })
}

// TraceConnectEnd implements pgx.ConnectTracer.
func (s spans) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	s.end(ctx, data.Err)
}

// statement is what may be told of one.
type statement struct{ verb, table string }

// String is the name of the span, such as SELECT profiles.
func (s statement) String() string { return strings.TrimSpace(s.verb + " " + s.table) }

var (
	sqlComment = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/`)
	sqlVerb    = regexp.MustCompile(`^[A-Za-z]+`)
	// The first table by its place. A name that begins with a digit or a quote of a value is none.
	sqlTable = regexp.MustCompile(`(?i)\b(?:from|into|update|table)\s+(?:only\s+)?("?[a-z_]\w*"?(?:\."?[a-z_]\w*"?)?)`)
)

// sqlQuery is what a statement names by itself, for itself: name [(columns)] AS (query.
var sqlQuery = regexp.MustCompile(`(?i)("?[a-z_]\w*"?)\s*(?:\([^()]*\)\s*)?\bas\s+(?:(?:not\s+)?materialized\s+)?\(`)

// mostNames bounds how many places of a statement are looked at for its first table.
const mostNames = 32

// notTables follow FROM or UPDATE without being a table of ours.
var notTables = map[string]bool{
	"unnest": true, "set": true, "lateral": true, "select": true, "generate_series": true, "values": true, "skip": true, "nowait": true,
}

// summarize reads the verb and the first table of a statement, not one of its own
// queries that it gives a name, as far as they are there to be seen; the text goes nowhere.
func summarize(sql string) statement {
	sql = strings.TrimSpace(sqlComment.ReplaceAllString(sql, ""))
	s := statement{verb: strings.ToUpper(sqlVerb.FindString(sql))}
	if s.verb == "" {
		s.verb = "QUERY"
	}
	own := map[string]bool{}
	for _, m := range sqlQuery.FindAllStringSubmatch(sql, mostNames) {
		own[plainName(m[1])] = true
	}
	for _, m := range sqlTable.FindAllStringSubmatch(sql, mostNames) {
		if table := plainName(m[1]); !notTables[table] && !own[table] {
			s.table = table
			break
		}
	}
	return s
}

func plainName(name string) string { return strings.ToLower(strings.ReplaceAll(name, `"`, "")) }
