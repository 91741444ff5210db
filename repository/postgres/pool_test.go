package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// Every connection has what the settings promise; the server itself says so.
func TestSettingsOfEveryConnection(t *testing.T) {
	url := migrated(t)
	const connections = 5
	db := openDB(t, postgres.Options{
		URL: url, MaxOpen: connections, StatementTimeout: 31 * time.Second, LockTimeout: 11 * time.Second, IdleInTransactionTimeout: 61 * time.Second,
	})
	want := map[string]string{
		"statement_timeout": "31s", "lock_timeout": "11s", "idle_in_transaction_session_timeout": "61s", "application_name": "profile-api", "TimeZone": "UTC",
	}
	var inTx func(ctx context.Context, pids map[int]bool) // holds all connections at once
	inTx = func(ctx context.Context, pids map[int]bool) {
		if len(pids) == connections {
			return
		}
		must(t, db.WithinTx(ctx, func(txCtx context.Context) error {
			for name, value := range want {
				var got string
				if err := db.Conn(txCtx).Raw("SELECT current_setting(?)", name).Scan(&got).Error; err != nil {
					return err
				}
				if got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			var pid int
			if err := db.Conn(txCtx).Raw("SELECT pg_backend_pid()").Scan(&pid).Error; err != nil {
				return err
			}
			pids[pid] = true
			inTx(ctx, pids)
			return nil
		}))
	}
	pids := map[int]bool{}
	inTx(within(t), pids)
	if len(pids) != connections {
		t.Errorf("%d connections", len(pids))
	}
	conn := asker(t, url)
	const ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'profile-api'"
	if n := ask[int](t, conn, ours); n != connections {
		t.Errorf("the server sees %d of ours", n)
	}
}

func TestDefaults(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	for name, want := range map[string]string{
		"statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "1min",
	} {
		var got string
		must(t, db.Conn(within(t)).Raw("SELECT current_setting(?)", name).Scan(&got).Error)
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if s := db.Stats(); s.MaxOpen != 25 || s.Open != 1 {
		t.Errorf("%+v", s)
	}
}

// The timeouts are not only set: they end statements, with the right status.
func TestTimeoutsEndStatements(t *testing.T) {
	url := migrated(t)
	db := openDB(t, postgres.Options{URL: url, StatementTimeout: 200 * time.Millisecond, LockTimeout: 50 * time.Millisecond})
	err := postgres.Translate(t.Context(), db.Conn(within(t)).Exec("SELECT pg_sleep(60)").Error)
	if !errors.Is(err, domain.Timeout) {
		t.Errorf("a long statement: %v", err)
	}
	conn := asker(t, url)
	lock, err := conn.Begin(within(t))
	must(t, err)
	defer func() { _ = lock.Rollback(context.Background()) }()
	_, err = lock.Exec(within(t), "LOCK TABLE profiles")
	must(t, err)
	if _, err := postgres.NewProfiles(db).ByClerkID(within(t), "user_1"); !errors.Is(err, domain.Unavailable) {
		t.Errorf("a lock that cannot be had: %v", err)
	}
}

// Text that PostgreSQL cannot hold is the client's fault, not ours.
func TestTextThatCannotBeStored(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t)})
	for _, id := range []string{"user_\x00", "user_\xff"} {
		if _, err := postgres.NewProfiles(db).ByClerkID(within(t), id); !errors.Is(err, domain.Invalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// When every connection is taken, others are told soon, the probe still knows
// that the database lives, and all is well again after the first release.
func TestPoolExhaustion(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t), MaxOpen: 2, AcquireTimeout: 50 * time.Millisecond})
	profiles := postgres.NewProfiles(db)
	release := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			must2(t, db.WithinTx(within(t), func(context.Context) error {
				<-release
				return nil
			}))
		})
	}
	eventually(t, "both connections are taken", func() bool { return db.Stats().InUse == 2 })
	for range 5 {
		_, err := profiles.ByClerkID(within(t), "user_1")
		if !errors.Is(err, domain.Unavailable) || !errors.Is(err, postgres.ErrPoolExhausted) {
			t.Errorf("exhausted: %v", err)
		}
		err = db.WithinTx(within(t), func(context.Context) error { t.Error("ran without a connection"); return nil })
		if !errors.Is(err, domain.Unavailable) {
			t.Errorf("exhausted, transaction: %v", err)
		}
	}
	must(t, db.Check(within(t)))
	if s := db.Stats(); s.InUse != 2 || s.Open != 2 || s.Abandoned < 10 || s.Waits < 0 {
		t.Errorf("%+v", s)
	}
	gone, cancel := context.WithCancel(within(t))
	cancel()
	if _, err := profiles.ByClerkID(gone, "user_1"); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that is gone is not an exhausted pool: %v", err)
	}
	close(release)
	wg.Wait()
	eventually(t, "the pool recovers", func() bool {
		_, err := profiles.ByClerkID(within(t), "user_1")
		return errors.Is(err, domain.NotFound)
	})
}

// After a burst no more than MaxIdle connections stay.
func TestIdleConnectionsAreBounded(t *testing.T) {
	db := openDB(t, postgres.Options{URL: migrated(t), MaxOpen: 8, MaxIdle: 2, AcquireTimeout: liveness})
	var wg sync.WaitGroup
	meet := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			must2(t, db.WithinTx(within(t), func(context.Context) error {
				<-meet
				return nil
			}))
		})
	}
	eventually(t, "the burst has all connections", func() bool { return db.Stats().InUse == 8 })
	close(meet)
	wg.Wait()
	eventually(t, "the surplus is closed", func() bool { s := db.Stats(); return s.Open <= 3 && s.InUse == 0 })
	must(t, db.Check(within(t)))
}

// A server that hangs must not keep the process from ending.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	db, err := postgres.Open(t.Context(), postgres.Options{URL: migrated(t)})
	must(t, err)
	release, held, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		_ = db.WithinTx(context.Background(), func(context.Context) error { close(held); <-release; return nil }) // what becomes of it does not matter here
	}()
	<-held
	if err := db.Close(); err == nil {
		t.Error("a connection is in use, and Close says that all are closed")
	}
	close(release)
	<-over
}

func TestOpenRefusesAnUnreadableURLWithoutTellingIt(t *testing.T) {
	_, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://u:hunter2@host:notaport/db"})
	if err == nil {
		t.Fatal("accepted")
	}
	if text := err.Error(); contains(text, "hunter2") {
		t.Errorf("the password is told: %s", text)
	}
}

// Every idle connection dies at once, as in a restart of the server: no request
// pays for it, neither a read nor a change.
func TestDeadIdleConnectionsCostNoRequest(t *testing.T) {
	url := migrated(t)
	conn := asker(t, url)
	db := openDB(t, postgres.Options{URL: url, MaxOpen: 10, AcquireTimeout: liveness})
	profiles := usecase.NewProfiles(deps(db))
	for round := range 3 {
		var wg sync.WaitGroup
		for i := range 10 { // as many connections as there may be
			wg.Go(func() {
				if err := db.Conn(t.Context()).Exec("SELECT pg_sleep(0.1)").Error; err != nil {
					t.Errorf("warm %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if idle := db.Stats().Idle; idle != 10 {
			t.Fatalf("%d connections are idle, want 10", idle)
		}
		var ended int
		err := conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'profile-api' AND pid <> pg_backend_pid()`).Scan(&ended)
		if err != nil || ended != 10 {
			t.Fatalf("ended %d sessions: %v", ended, err)
		}
		for i := range 20 {
			if i%2 == round%2 {
				_, err = profiles.ByHandle(within(t), "nobody_here", domain.Principal{})
				if !errors.Is(err, domain.NotFound) {
					t.Errorf("round %d, read %d: %v", round, i, err)
				}
				continue
			}
			if _, err := profiles.Resolve(within(t), caller(newClerkID())); err != nil {
				t.Errorf("round %d, first request %d: %v", round, i, err)
			}
		}
	}
}
