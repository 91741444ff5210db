// Package seed fills a database with made-up people, many and fast, for trying
// things out and for the tests that need a big one. It is part of no production
// program. Nobody in it exists, and every domain is reserved (RFC 2606).
package seed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

const (
	// MaxRows is how many people one run can add.
	MaxRows = 100_000_000
	// lastIndex keeps handles within 30 characters.
	lastIndex = 2_000_000_000
	// streams write at once: more gain nothing on two cores, and little on more, as they meet in the same indexes.
	streams = 2
	// batchRows are one transaction, so that an interrupted run leaves whole people. From 5,000 to 50,000 the speed is the same.
	batchRows = 10_000
	// runLock is the advisory lock of a run.
	runLock int64 = 0x7061_5eed
)

// ErrBusy says that another run is filling the same database.
var ErrBusy = errors.New("another seeding of this database is going on")

// Options say whom to make.
type Options struct {
	Rows  int       // people; from 1 to MaxRows
	Seed  uint64    // the same seed, Until and database content give the same people
	Until time.Time // when the last of them signs up; the first did three years before
	// RebuildIndexes drops the indexes, those of constraints aside, while rows are written, and builds them anew from all
	// rows at the end, which takes half as long. For a database that nobody else uses: a program that is killed
	// in between leaves it without them.
	RebuildIndexes bool
	// Progress, when set, is told of the people written so far, as they grow; never twice at once.
	Progress func(done int)
}

// Result is what a run wrote, and how long that took.
type Result struct {
	Profiles, Preferences, Events int
	Writing                       time.Duration // indexes included
	Vacuuming                     time.Duration // statistics included
}

// Run adds people to a database that has the schema, with preferences and one or
// two audit events each, and has it vacuumed and its statistics renewed. Those who are there
// already stay; further runs add further people. It takes connections of its own.
// The error wraps ErrBusy when somebody else is at it.
func Run(ctx context.Context, url string, opts Options) (result Result, err error) {
	if opts.Rows < 1 || opts.Rows > MaxRows {
		return Result{}, fmt.Errorf("the number of people must be from 1 to %d", MaxRows)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return Result{}, fmt.Errorf("seed: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	first, err := begin(ctx, conn, int64(opts.Rows))
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, end(context.WithoutCancel(ctx), conn)) }()
	start := time.Now()
	r := run{opts: opts, url: url, people: generator{seed: opts.Seed, first: first, rows: int64(opts.Rows), until: opts.Until}}
	write := r.write
	if opts.RebuildIndexes {
		write = func(ctx context.Context) error { return withoutIndexes(ctx, conn, url, r.write) }
	}
	if err := write(ctx); err != nil {
		// An interruption may show as a connection that it closed, and is to be told as what it is.
		return Result{}, fmt.Errorf("seed: %w", errors.Join(ctx.Err(), err))
	}
	written := time.Now()
	// What autovacuum would come to do in a while: statistics, and the mark on pages that everybody sees, for scans of an index alone.
	if _, err := conn.Exec(ctx, "VACUUM (ANALYZE) profiles, preferences, audit_events"); err != nil {
		return Result{}, fmt.Errorf("vacuum and renew the statistics: %w", err)
	}
	return Result{
		Profiles: opts.Rows, Preferences: opts.Rows, Events: int(r.events.Load()),
		Writing: written.Sub(start), Vacuuming: time.Since(written),
	}, nil
}

// begin keeps other runs out and finds the first index that nobody has.
func begin(ctx context.Context, conn *pgx.Conn, rows int64) (first int64, err error) {
	var alone bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", runLock).Scan(&alone); err != nil {
		return 0, fmt.Errorf("seed: %w", err)
	}
	if !alone {
		return 0, ErrBusy
	}
	var last *string
	const highest = `SELECT max(clerk_user_id) FROM profiles WHERE clerk_user_id LIKE 'user\_seed\_%'`
	if err := conn.QueryRow(ctx, highest).Scan(&last); err != nil {
		return 0, fmt.Errorf("find who was seeded before (is the schema there?): %w", err)
	}
	if last != nil {
		if first, err = strconv.ParseInt(strings.TrimPrefix(*last, clerkPrefix), 10, 64); err != nil {
			return 0, errors.New("somebody's Clerk id looks like those made here, but is none")
		}
		first++
	}
	if first+rows-1 > lastIndex {
		return 0, fmt.Errorf("%d people were seeded here already; there is no room for %d more", first, rows)
	}
	return first, nil
}

// end lets other runs in. The end of the connection would too, but the server
// notices that a moment later, when the next run may have begun.
func end(ctx context.Context, conn *pgx.Conn) error {
	if conn.IsClosed() { // an interrupted statement closes it
		return nil
	}
	_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", runLock)
	return err
}

// run is one filling of a database.
type run struct {
	opts   Options
	url    string
	people generator

	next   atomic.Int64 // offset of the next batch
	events atomic.Int64

	mu   sync.Mutex
	done int
}

// write has the streams take batch after batch.
func (r *run) write(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range streams {
		group.Go(func() error { return r.stream(ctx) })
	}
	return group.Wait()
}

func (r *run) stream(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, r.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := hurry(ctx, conn); err != nil {
		return err
	}
	for {
		offset := r.next.Add(batchRows) - batchRows
		size := min(batchRows, int64(r.opts.Rows)-offset)
		if size <= 0 {
			return nil
		}
		if err := r.batch(ctx, conn, r.people.first+offset, int(size)); err != nil {
			return err
		}
		r.progress(int(size))
	}
}

// hurry spares a stream what its rows do not need. A batch that is lost with the
// machine's power is made again. Preferences are written with their profile, so
// the foreign key has nothing to find; looking costs a fifth of the time. Only a
// superuser, as in the local stack, may leave it out, and others look.
func hurry(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "SET session_replication_role = replica")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" { // insufficient_privilege
		return nil
	}
	return err
}

// batch writes people whole, or not at all.
func (r *run) batch(ctx context.Context, conn *pgx.Conn, first int64, size int) error {
	people := make([]person, size)
	events := 0
	for i := range people {
		people[i] = r.people.person(first + int64(i))
		events += len(people[i].events)
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return copyPeople(ctx, tx, people) })
	if err == nil {
		r.events.Add(int64(events))
	}
	return err
}

func (r *run) progress(size int) {
	if r.opts.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += size
	r.opts.Progress(r.done)
}
