package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// statement is SQL as a store sent it; the arguments begin with the query mode when there is one.
type statement struct {
	sql  string
	args []any
}

// recorder keeps the statements that the stores send.
type recorder struct {
	mu   sync.Mutex
	sent []statement
}

// TraceQueryStart keeps the statement.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, statement{data.SQL, data.Args})
	return ctx
}

// TraceQueryEnd does nothing.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take gives the statements sent since the last call.
func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

// plan is a node of what EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) tells. Its
// buffers include those below it; rows are the average of the loops.
type plan struct {
	Node     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Recheck  float64 `json:"Rows Removed by Index Recheck"`
	Hit      int     `json:"Shared Hit Blocks"`
	Read     int     `json:"Shared Read Blocks"`
	Time     float64 `json:"Actual Total Time"` // ms
	Below    []plan  `json:"Plans"`
}

// reading is what the execution of one statement or several read.
type reading struct {
	buffers int      // blocks of 8 KiB, from memory or not
	rows    float64  // that scans of tables and of indexes alone looked at, those refused by a filter included
	walked  []string // tables that were read from end to end
	indexes []string
	millis  float64
}

func (r *reading) add(p plan) {
	if strings.Contains(p.Node, "Scan") && p.Loops > 0 { // else it was planned and not needed
		if p.Relation != "" {
			r.rows += (p.Rows + p.Filtered + p.Recheck) * p.Loops
		}
		if strings.Contains(p.Node, "Seq Scan") {
			r.walked = append(r.walked, p.Relation)
		}
		if p.Index != "" {
			r.indexes = append(r.indexes, p.Index)
		}
	}
	for _, below := range p.Below {
		r.add(below)
	}
}

func (r reading) String() string {
	return fmt.Sprintf("%6d buffers %8.0f rows %8.2f ms %v", r.buffers, r.rows, r.millis, r.indexes)
}

// explain runs the statements again, as they were sent, and takes back what they do.
// before is executed first, and taken back as well.
func explain(tb testing.TB, b *big, sent []statement, before ...string) (r reading) {
	tb.Helper()
	ctx := context.Background()
	tx, err := b.conn.Begin(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	for _, s := range before {
		if _, err := tx.Exec(ctx, s); err != nil {
			tb.Fatal(err)
		}
	}
	for _, s := range sent {
		if verb, _, _ := strings.Cut(strings.ToUpper(s.sql), " "); verb == "BEGIN" || verb == "COMMIT" {
			continue
		}
		var text string
		if err := tx.QueryRow(ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+s.sql, s.args...).Scan(&text); err != nil {
			tb.Fatalf("%s: %v", s.sql, err)
		}
		var plans []struct{ Plan plan }
		if err := json.Unmarshal([]byte(text), &plans); err != nil {
			tb.Fatal(err)
		}
		for _, p := range plans {
			r.buffers += p.Plan.Hit + p.Plan.Read
			r.millis += p.Plan.Time
			r.add(p.Plan)
		}
	}
	return r
}

// limits are what a listing may read.
type limits struct {
	buffers int
	rows    float64
}

// faults tells what is wrong with a reading: nothing, when it keeps the limits and walked no table.
func (l limits) faults(r reading) (found []string) {
	for _, table := range r.walked {
		found = append(found, "walks the whole of "+table)
	}
	if r.buffers > l.buffers {
		found = append(found, fmt.Sprintf("reads %d buffers, limit %d", r.buffers, l.buffers))
	}
	if r.rows > l.rows {
		found = append(found, fmt.Sprintf("looks at %.0f rows, limit %.0f", r.rows, l.rows))
	}
	return found
}
