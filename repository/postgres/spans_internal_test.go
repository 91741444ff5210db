package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/domain"
)

func TestSummaries(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`SELECT "profiles"."id" FROM "profiles" WHERE id = $1`: "SELECT profiles",
		`select 1`: "SELECT",
		`begin`:    "BEGIN",
		`INSERT INTO "audit_events" ("id") VALUES ($1)`: "INSERT audit_events",
		`UPDATE "profiles" SET "bio"=$1`:                "UPDATE profiles",
		`DELETE FROM river_job WHERE id = 1`:            "DELETE river_job",
		"-- name: JobInsert :many\nINSERT INTO /* TEMPLATE: schema */river_job(args) SELECT unnest($1)":                                                  "INSERT river_job",
		`WITH due AS (SELECT id FROM event_outbox FOR UPDATE SKIP LOCKED) DELETE FROM event_outbox`:                                                      "WITH event_outbox",
		`WITH topic_to_notify AS (SELECT concat($1, '.') AS topic, unnest($2::text[]) AS payload) SELECT pg_notify(topic, payload) FROM topic_to_notify`: "WITH",
		"WITH RECURSIVE \"Head\" (a, b) AS NOT MATERIALIZED (SELECT 1, 2), tail AS\n(SELECT 1) UPDATE river_job SET x = 1 FROM head, tail":               "WITH river_job",
		`WITH input AS MATERIALIZED (SELECT 1) INSERT INTO profiles SELECT * FROM input`:                                                                 "WITH profiles",
		`WITH a AS (SELECT 1) SELECT * FROM a JOIN (SELECT x FROM a) AS b ON true WHERE c IN (SELECT d FROM audit_events AS e)`:                          "WITH audit_events",
		`SELECT * FROM (SELECT id FROM only public."profiles") x`:                                                                                        "SELECT public.profiles",
		`SELECT id FROM unnest($1::text[]) AS id JOIN profiles USING (id)`:                                                                               "SELECT",
		`SELECT 'it''s FROM ''secret''' `: "SELECT",
		`/* all of it */`:                 "QUERY",
		``:                                "QUERY",
		`LOCK TABLE clerk_deletions`:      "LOCK clerk_deletions",
	} {
		if got := summarize(sql).String(); got != want {
			t.Errorf("%q is summarized as %q, want %q", sql, got, want)
		}
	}
}

const fromRequest = `{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","river:x":1}`

// A run soon after the request is a part of its trace; a late one has a trace of
// its own that is linked to it; and nothing that may stand in the metadata is in the way.
func TestTheTraceOfAJob(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		metadata  string
		after     time.Duration
		joins     bool
		links     int
		err       error
		wantError bool
	}{
		"at once":                {metadata: fromRequest, joins: true},
		"within the hour":        {metadata: fromRequest, after: sameTraceFor, joins: true},
		"after an outage":        {metadata: fromRequest, after: sameTraceFor + time.Second, links: 1},
		"of nobody's request":    {metadata: `{}`},
		"without metadata":       {},
		"metadata of another's":  {metadata: `{"traceparent":7}`},
		"a broken traceparent":   {metadata: `{"traceparent":"00-xyz"}`},
		"failed":                 {metadata: fromRequest, joins: true, err: domain.NewError(domain.Internal, domain.CodeInternal, "x"), wantError: true},
		"put off, which is none": {metadata: fromRequest, joins: true, err: river.JobSnooze(time.Second)},
	} {
		recorder := tracetest.NewSpanRecorder()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("t")
		tried := at.Add(c.after)
		job := &rivertype.JobRow{Kind: "k", Metadata: []byte(c.metadata), CreatedAt: at, AttemptedAt: &tried}
		var inside trace.SpanContext
		middleware := jobSpans(tracer)[0].(rivertype.WorkerMiddleware)
		err := middleware.Work(t.Context(), job, func(ctx context.Context) error {
			inside = trace.SpanContextFromContext(ctx)
			return c.err
		})
		spans := recorder.Ended()
		if !errors.Is(err, c.err) || len(spans) != 1 {
			t.Fatalf("%s: error %v, %d spans", name, err, len(spans))
		}
		span := spans[0]
		if joined := span.SpanContext().TraceID().String() == "0af7651916cd43dd8448eb211c80319c" && span.Parent().SpanID().String() == "b7ad6b7169203331"; joined != c.joins {
			t.Errorf("%s: joins the request's trace: %v", name, joined)
		}
		if len(span.Links()) != c.links || span.Name() != "job k" || !inside.Equal(span.SpanContext()) || (span.Status().Code == codes.Error) != c.wantError {
			t.Errorf("%s: %d links, name %q, status %v", name, len(span.Links()), span.Name(), span.Status())
		}
	}
}

// Work of the program's own, outside of any trace, makes no spans.
func TestNoSpanOutsideOfATrace(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("t")
	s := spans{tracer}
	describe := func() statement { return statement{verb: "SELECT"} }
	s.end(s.start(t.Context(), describe), nil)
	if n := len(recorder.Started()); n != 0 {
		t.Errorf("%d spans outside of a trace", n)
	}
	ctx, outer := tracer.Start(t.Context(), "outer")
	s.end(s.start(ctx, describe), nil)
	s.end(ctx, nil) // of the outer span it knows nothing
	if n := len(recorder.Ended()); n != 1 {
		t.Errorf("%d spans have ended, want the statement's alone", n)
	}
	outer.End()
}
