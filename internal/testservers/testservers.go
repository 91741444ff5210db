// Package testservers gives tests a real PostgreSQL and a real Valkey or Redis.
//
// A package that uses it hands its TestMain over:
//
//	func TestMain(m *testing.M) { testservers.Main(m) }
//
// and its tests ask for what they need: Database or DatabaseFromTemplate for an empty or a migrated database of their own, Valkey
// for an empty logical database of their own, OwnPostgres or OwnValkey for a whole server that they may stop, kill or pause.
//
// One server of each kind is started per test binary, when the first test asks for it, and stopped at the end. Where it comes from,
// in this order:
//
//  1. TEST_DATABASE_URL and TEST_VALKEY_URL. A URL that is set and does not work is a failure, never a reason to look elsewhere. The
//     user in TEST_DATABASE_URL must be allowed to create databases; nothing but databases made here is ever dropped. At
//     TEST_VALKEY_URL only logical databases that were empty when a test claimed them are written to and flushed.
//  2. Containers, through testcontainers-go, when a Docker engine answers at once and has the image or can pull it.
//  3. Programs found on the machine, on free ports.
//  4. The same, after installing them with the system's package manager (root on Debian and its relatives).
//
// TEST_SERVERS forces a way: env, containers or programs (the last includes installing them). What was chosen is said once on
// standard error. When no way works, the test fails with the reason for each and with the remedies; it is never skipped.
package testservers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

const (
	setUpLimit   = 5 * time.Minute // starting a server, an installation or a pull included
	cleanUpLimit = 30 * time.Second
	queryLimit   = time.Minute
)

// closers holds what Main has to undo at the end, the latest first.
var closers struct {
	sync.Mutex
	inMain bool
	run    []func(context.Context) error
}

// Main runs the package's tests, stops the servers that they started and exits.
// When all tests pass, each judge may still fail the run as a whole.
func Main(m *testing.M, judges ...func() error) {
	closers.Lock()
	closers.inMain = true
	closers.Unlock()
	code := m.Run()
	for _, judge := range judges {
		if code != 0 {
			break
		}
		if err := judge(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err) // the exit status tells too
			code = 1
		}
	}
	if err := closeAll(); err != nil {
		say("could not clean up: %v", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func atEnd(run func(context.Context) error) {
	closers.Lock()
	defer closers.Unlock()
	closers.run = append(closers.run, run)
}

func closeAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
	defer cancel()
	closers.Lock()
	defer closers.Unlock()
	var first error
	for len(closers.run) > 0 {
		last := len(closers.run) - 1
		if err := closers.run[last](ctx); err != nil && first == nil {
			first = err
		}
		closers.run = closers.run[:last]
	}
	return first
}

// requireMain fails a test whose package would leave its servers behind.
func requireMain(t testing.TB) {
	t.Helper()
	closers.Lock()
	defer closers.Unlock()
	if !closers.inMain {
		t.Fatal("testservers: this package needs `func TestMain(m *testing.M) { testservers.Main(m) }`, which stops the servers at the end")
	}
}

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "testservers: "+format+"\n", args...) // nothing to do about a closed standard error
}
