package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/process"
)

// rehearsal is one run of the drill.
type rehearsal struct {
	options
	say     func(string, ...any)
	stage   *drill.Stage
	cluster *cluster
	binary  string
	replica *drill.Replica
	callers *callers

	moment    string // the target, as PostgreSQL writes it
	truth     snapshot
	before    []write // acknowledged before the moment
	people    map[*person]state
	erased    []*person // after the moment
	destroyed time.Time
	label     string // of the newest backup before the destruction
	fullStop  string // the last segment of WAL that the full backup needs
	restored  time.Time
}

// rehearse makes the whole drill. Its error says what did not hold.
func rehearse(ctx context.Context, o options, say func(string, ...any)) (err error) {
	r := &rehearsal{options: o, say: say}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	steps := []func(context.Context) error{r.prepare, r.backUp, r.chooseMoment, r.goOn, r.destroy, r.restore, r.compare, r.reconcile}
	if !o.short {
		steps = append(steps, r.endOfArchive, r.backUpAgain)
	}
	if !o.short && !o.kubernetes { // an object store's damage is not harmed by hand
		steps = append(steps, r.damage)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *rehearsal) close(ctx context.Context) (err error) {
	if r.replica != nil && r.replica.Running() {
		err = r.replica.Stop(ctx)
	}
	if r.cluster != nil {
		err = errors.Join(err, r.cluster.close(ctx))
	}
	if r.stage != nil {
		err = errors.Join(err, r.stage.Close(ctx))
	}
	return err
}

func (r *rehearsal) settings() drill.Settings {
	return r.stage.Settings(r.cluster.server.URL(database)).With("RECONCILE_INTERVAL", "0s")
}

func (r *rehearsal) prepare(ctx context.Context) (err error) {
	if r.stage, err = drill.NewStage(ctx, r.say); err != nil {
		return err
	}
	if r.cluster, err = newCluster(ctx, r.options, r.say); err != nil {
		return err
	}
	if r.cluster.major > newestMajor {
		r.say("PostgreSQL %d needs a newer pgBackRest than Debian 12's 2.45", r.cluster.major)
	}
	if r.binary, err = r.stage.Build(ctx, r.source, "profile-api", "drill"); err != nil {
		return err
	}
	if _, err := drill.Command(ctx, r.binary, r.settings(), "migrate", "up"); err != nil {
		return err
	}
	if err := r.startReplica(ctx, "before.log"); err != nil {
		return err
	}
	r.callers = &callers{stage: r.stage, api: r.replica.API}
	for range r.options.people {
		if err := r.callers.add(ctx); err != nil {
			return err
		}
	}
	r.say("PostgreSQL %d archives, the program serves, %d people have profiles", r.cluster.major, r.options.people)
	return nil
}

func (r *rehearsal) startReplica(ctx context.Context, log string) (err error) {
	if r.replica, err = drill.StartReplica(ctx, r.binary, filepath.Join(r.stage.Dir(), log), r.settings()); err != nil {
		return err
	}
	return r.replica.AwaitReady(ctx)
}

func (r *rehearsal) traffic(ctx context.Context) (stop func() drill.Report) {
	return drill.Traffic{Rate: r.rate, Call: r.callers.patch}.Start(ctx)
}

// backUp takes the full and the differential backup by the very script, under traffic, and erases somebody.
func (r *rehearsal) backUp(ctx context.Context) error {
	if out, err := r.cluster.run(ctx, nil, "status"); err == nil {
		return fmt.Errorf("status is content although there is no backup: %s", out)
	}
	stop := r.traffic(ctx)
	defer stop()
	ages := []string{"86400", "0"}
	if r.short {
		ages = ages[:1]
	}
	for _, differential := range ages {
		if err := pause(ctx, r.stretch); err != nil {
			return err
		}
		if _, err := r.cluster.run(ctx, []string{"BACKUP_DIFFERENTIAL_SECONDS=" + differential}, "once"); err != nil {
			return err
		}
	}
	if err := pause(ctx, r.stretch); err != nil {
		return err
	}
	if err := r.callers.erase(ctx, r.callers.people[0]); err != nil {
		return err
	}
	report := stop()
	if report.Lost > 0 || report.Sent < r.rate {
		return fmt.Errorf("requests were lost although nothing was broken, or less than a second's were made: %s", report)
	}
	if _, err := r.cluster.run(ctx, nil, "status", "archiver"); err != nil {
		return err
	}
	if err := r.tellOfWaitingWAL(ctx); err != nil {
		return err
	}
	list, err := r.cluster.backups(ctx)
	if err != nil || len(list) != len(ages) || list[0].Type != "full" || list[len(list)-1].Type != []string{"full", "diff"}[len(ages)-1] {
		return fmt.Errorf("not the backups that were due: %v %w", list, err)
	}
	r.label, r.fullStop = list[len(list)-1].Label, list[0].Archive.Stop
	for _, b := range list {
		r.say("backup %s (%s): database %s, stored %s", b.Label, b.Type, mebibytes(b.Info.Size), mebibytes(b.Info.Repository.Delta))
	}
	r.say("meanwhile: %s", report)
	if k := r.cluster.kubernetes; k != nil {
		if k.store.size() == 0 {
			return errors.New("the object store is empty")
		}
		r.say("all of it is in the object store: %s", mebibytes(k.store.size()))
	}
	return nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// chooseMoment takes a moment at which nothing is being written: the tables are the same before and after it.
func (r *rehearsal) chooseMoment(ctx context.Context) error {
	url := r.cluster.server.URL(database)
	deadline := time.Now().Add(eventually)
	for {
		before, err := takeSnapshot(ctx, url)
		if err != nil {
			return err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		if err := r.readClock(ctx); err != nil {
			return err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		after, err := takeSnapshot(ctx, url)
		if err != nil {
			return err
		}
		if r.truth = after; len(before.differences(after)) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("the program does not stop writing although nobody calls")
		}
	}
	r.before, r.people = r.callers.remember()
	r.say("the moment is %s: %d writes are acknowledged, %d profiles, 1 person erased", r.moment, len(r.before), len(r.truth["profiles"]))
	return nil
}

func (r *rehearsal) readClock(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, r.cluster.server.URL(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return conn.QueryRow(ctx, "SELECT now()::text").Scan(&r.moment)
}

// goOn writes on: new people, two erasures that Clerk obeys, and traffic, until what was written first is archived, by
// archive_timeout alone, and then for a while.
func (r *rehearsal) goOn(ctx context.Context) error {
	for range 3 {
		if err := r.callers.add(ctx); err != nil {
			return err
		}
	}
	r.erased = r.callers.people[1:3]
	for _, p := range r.erased {
		if err := r.callers.erase(ctx, p); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, eventually)
	defer cancel()
	err := process.Poll(waiting, nil, func(context.Context) error {
		for _, p := range r.erased {
			if _, still := r.stage.Clerk.Person(p.clerk); still {
				return errors.New("somebody who was erased is still known at Clerk")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.say("after the moment: 3 new people, 2 erased (here and at Clerk), and more writes")
	return nil
}

// destroy kills the server under traffic and takes its data away. WAL from behind the moment is archived by then, and the
// next segment is not for long: what is lost is nearly as much as can be.
func (r *rehearsal) destroy(ctx context.Context) error {
	stop := r.traffic(ctx)
	defer stop()
	timeout, err := r.cluster.archiveTimeout()
	if err != nil {
		return err
	}
	if err := r.awaitArchived(ctx); err != nil {
		return err
	}
	if r.wrong {
		if err := r.readClock(ctx); err != nil { // later, while everybody writes
			return err
		}
		if err := r.awaitArchived(ctx); err != nil {
			return err
		}
	}
	// What cannot fail shows nothing: this database has the later writes.
	if found, err := r.compareDatabase(ctx); err != nil || len(found) < 2 {
		return fmt.Errorf("the comparison finds too little wrong in a database with writes from after the moment: %q %w", found, err)
	}
	if err := r.awaitLate(ctx, timeout*4/5); err != nil {
		return err
	}
	r.destroyed = time.Now()
	if err := r.cluster.destroy(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, eventually)
	defer cancel()
	err = process.Poll(waiting, nil, func(ctx context.Context) error {
		status, err := statusOf(ctx, r.replica.API)
		if err == nil && status != http.StatusServiceUnavailable {
			err = fmt.Errorf("ready answers %d without a database", status)
		}
		return err
	})
	if err != nil {
		return err
	}
	noticed := time.Since(r.destroyed)
	report := stop()
	r.say("PostgreSQL was killed and its data removed; readiness went off after %.1f s; %d requests of %d were refused",
		noticed.Seconds(), report.Lost, report.Sent)
	return r.replica.Kill() // how it stops without a database is not this drill's subject
}

func statusOf(ctx context.Context, api string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/health/ready", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// awaitArchived waits until the segment that is being written now is archived.
func (r *rehearsal) awaitArchived(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, r.cluster.server.URL(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var segment string
	if err := conn.QueryRow(ctx, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())").Scan(&segment); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, eventually)
	defer cancel()
	return process.Poll(ctx, nil, func(ctx context.Context) error {
		var done bool
		if err := conn.QueryRow(ctx, "SELECT coalesce(last_archived_wal, '') >= $1 FROM pg_stat_archiver", segment).Scan(&done); err != nil {
			return err
		}
		if !done {
			return errors.New("the WAL is not archived yet")
		}
		return nil
	})
}

// awaitLate waits until nothing was archived for so long.
func (r *rehearsal) awaitLate(ctx context.Context, age time.Duration) (err error) {
	conn, err := pgx.Connect(ctx, r.cluster.server.URL(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	ctx, cancel := context.WithTimeout(ctx, eventually)
	defer cancel()
	return process.Poll(ctx, nil, func(ctx context.Context) error {
		var late bool
		if err := conn.QueryRow(ctx, "SELECT now() - last_archived_time >= $1 FROM pg_stat_archiver", age).Scan(&late); err != nil {
			return err
		}
		if !late {
			return fmt.Errorf("there is never a stretch of %s in which no WAL is archived: write less (-rate)", age)
		}
		return nil
	})
}

// restore brings the database back as of the moment and starts the program on it.
func (r *rehearsal) restore(ctx context.Context) error {
	r.say("restoring to %s", r.moment)
	if err := r.cluster.restore(ctx, r.moment); err != nil {
		return err
	}
	back := time.Now()
	found, err := r.compareDatabase(ctx)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("the restored database is not what it was at the moment: %s", strings.Join(found, "; "))
	}
	compared := time.Since(back)
	if err := r.startReplica(ctx, "after.log"); err != nil {
		return err
	}
	r.callers.api = r.replica.API
	r.restored = time.Now()
	r.say("the database is back after %.1f s; recovery time, from the destruction to a program that is ready: %.1f s",
		back.Sub(r.destroyed).Seconds(), (r.restored.Sub(r.destroyed) - compared).Seconds())
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errors.New("interrupted")
	case <-timer.C:
		return nil
	}
}

// copyTree copies the repository for what damages it.
func copyTree(ctx context.Context, c *cluster, from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("%s is there already", to)
	}
	_, err := process.Run(ctx, c.account, c.root, "/bin/cp", "-a", from, to)
	return err
}
