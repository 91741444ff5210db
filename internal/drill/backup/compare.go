package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// compareTables hold what people wrote and what was noted of it. Each is compared row by row, every column.
var compareTables = []string{"profiles", "preferences", "audit_events", "erased_identities", "handle_reservations"}

// snapshot is the rows of a table, as text, by table.
type snapshot map[string][]string

// takeSnapshot reads the tables in one transaction.
func takeSnapshot(ctx context.Context, databaseURL string) (_ snapshot, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
	s := snapshot{}
	for _, table := range compareTables {
		rows, err := tx.Query(ctx, "SELECT t::text FROM "+pgx.Identifier{table}.Sanitize()+" t ORDER BY 1")
		if err != nil {
			return nil, err
		}
		if s[table], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// differences counts the rows that are in one and not in the other.
func (s snapshot) differences(other snapshot) (found []string) {
	for _, table := range compareTables {
		here, there := count(s[table]), count(other[table])
		missing, extra := 0, 0
		for row, n := range here {
			missing += max(0, n-there[row])
		}
		for row, n := range there {
			extra += max(0, n-here[row])
		}
		if missing+extra > 0 {
			found = append(found, fmt.Sprintf("%s: %d rows of before are missing, %d are there that were not", table, missing, extra))
		}
	}
	return found
}

func count(rows []string) map[string]int {
	n := map[string]int{}
	for _, row := range rows {
		n[row]++
	}
	return n
}

// audited reads how often each request of the drill's stands in the audit trail.
func audited(ctx context.Context, databaseURL string) (_ map[string]int, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT request_id FROM audit_events WHERE request_id LIKE 'drill-%'")
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return count(ids), err
}

// judge holds the audit trail against the acknowledged writes: before must stand in it once each, after not at all.
func judge(trail map[string]int, before, after []write) (found []string) {
	missing, twice, later := 0, 0, 0
	for _, w := range before {
		switch n := trail[w.Request]; {
		case n == 0:
			missing++
		case n > 1:
			twice++
		}
	}
	for _, w := range after {
		if trail[w.Request] > 0 {
			later++
		}
	}
	for what, n := range map[string]int{
		"writes acknowledged before the moment are not there": missing, "writes stand in the audit trail twice": twice,
		"writes acknowledged after the moment are there": later,
	} {
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, what))
		}
	}
	slices.Sort(found)
	return found
}

// loss tells which acknowledged writes are not in the trail: how many, and how
// long before the end the oldest of them was acknowledged.
func loss(trail map[string]int, acked []write, end time.Time) (lost int, window time.Duration) {
	for _, w := range acked {
		if trail[w.Request] == 0 {
			lost++
			window = max(window, end.Sub(w.At))
		}
	}
	return lost, window
}

// invariants are what any restored database must satisfy, whatever the moment.
func invariants(ctx context.Context, databaseURL string) (found []string, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	checks := map[string]string{
		"profiles have no event of their creation": `SELECT count(*) FROM profiles p WHERE NOT EXISTS
			(SELECT FROM audit_events a WHERE a.profile_id = p.id AND a.action = 'profile.created')`,
		"profiles have no preferences": `SELECT count(*) FROM profiles p WHERE NOT EXISTS (SELECT FROM preferences q WHERE q.profile_id = p.id)`,
		"profiles exist although the trail says they were erased": `SELECT count(*) FROM profiles p WHERE EXISTS
			(SELECT FROM audit_events a WHERE a.profile_id = p.id AND a.action = 'profile.erased')`,
	}
	for _, what := range slices.Sorted(maps.Keys(checks)) {
		var n int
		if err := conn.QueryRow(ctx, checks[what]).Scan(&n); err != nil {
			return nil, err
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, what))
		}
	}
	return found, nil
}
