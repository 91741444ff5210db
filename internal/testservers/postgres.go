package testservers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/process"
)

const (
	postgresVariable = "TEST_DATABASE_URL"
	postgresRemedy   = "To get one: set TEST_DATABASE_URL to a postgres:// URL whose user may create databases, start a Docker engine, or " +
		"install PostgreSQL 14 or newer (apt-get install postgresql, brew install postgresql@17)"
	postgresTemp = "profile-api-postgres"
)

// fastSettings trade safety of data that nobody needs after the test for speed.
var fastSettings = map[string]string{
	"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300", "shared_buffers": "64MB",
}

// sharedPostgres is this test binary's server.
var sharedPostgres = sync.OnceValues(func() (server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), setUpLimit)
	defer cancel()
	opened, err := choose(ctx, "PostgreSQL", os.Getenv("TEST_SERVERS"), postgresRemedy, []way{
		{"env", postgresFromEnv}, {"containers", postgresFromContainer}, {"programs", postgresFromPrograms},
	})
	if err == nil {
		say("PostgreSQL: %s", opened.where)
	}
	return opened, err
})

func postgresFromEnv(ctx context.Context) (server, error) {
	value := os.Getenv(postgresVariable)
	if value == "" {
		return server{}, notHere(errors.New(postgresVariable + " is not set"))
	}
	parsed, err := url.Parse(value)
	if err != nil || (parsed.Scheme != "postgres" && parsed.Scheme != "postgresql") {
		return server{}, errors.New(postgresVariable + " is not a postgres:// URL") // its value may hold a password
	}
	if err := pingPostgres(ctx, value); err != nil {
		return server{}, fmt.Errorf("%s is set, but: %w", postgresVariable, err)
	}
	return server{url: value, where: "the server at " + postgresVariable + ", " + parsed.Host}, nil
}

func pingPostgres(ctx context.Context, url string) error {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return connection.Close(ctx)
}

func postgresFromPrograms(ctx context.Context) (server, error) {
	launched, err := launchPostgres(ctx, fastSettings)
	if errors.Is(err, pglauncher.ErrNoPrograms) {
		return server{}, notHere(err)
	}
	if err != nil {
		return server{}, err
	}
	atEnd(launched.close)
	programs := launched.Programs()
	return server{
		url:   launched.URL("postgres"),
		where: fmt.Sprintf("version %d from %s, on port %d", programs.Major, programs.BinDir, launched.Port()),
	}, nil
}

// launchedPostgres is a server whose data lasts no longer than itself.
type launchedPostgres struct {
	*pglauncher.Server
	dir string
}

func launchPostgres(ctx context.Context, settings map[string]string) (*launchedPostgres, error) {
	options := pglauncher.Options{Settings: settings, Install: true}
	// An installation is worth a word and may bring the account that the directory is for; the rest happens too often for either.
	options.Progress = func(message string) { say("%s", message) }
	programs, err := pglauncher.FindOrInstall(ctx, options)
	if err != nil {
		return nil, err
	}
	options.BinDir, options.Progress = programs.BinDir, nil
	account, err := process.Unprivileged("postgres")
	if err != nil {
		return nil, err
	}
	process.SweepTempDirs(account, postgresTemp)
	if options.DataDir, err = process.TempDir(account, postgresTemp); err != nil {
		return nil, err
	}
	launched, err := pglauncher.Start(ctx, options)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(options.DataDir))
	}
	return &launchedPostgres{launched, options.DataDir}, nil
}

func (l *launchedPostgres) close(ctx context.Context) error {
	return errors.Join(l.Kill(), os.RemoveAll(l.dir))
}

// OwnPostgres starts a PostgreSQL for this test alone, from programs on the machine, that the test may stop, kill, start and restart.
// Its data survives that, up to the end of the test. It takes about a second; prefer Database where a shared server will do.
func OwnPostgres(t testing.TB) *pglauncher.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setUpLimit)
	defer cancel()
	launched, err := launchPostgres(ctx, map[string]string{"shared_buffers": "32MB", "fsync": "off"})
	if err != nil {
		t.Fatalf("testservers: a PostgreSQL of the test's own: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
		defer cancel()
		if err := launched.close(ctx); err != nil {
			t.Errorf("testservers: %v", err)
		}
	})
	return launched.Server
}

// Database creates an empty database for this test and returns its URL. It is dropped, with its connections, when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	return createDatabase(t, mustPostgres(t), "")
}

func mustPostgres(t testing.TB) server {
	t.Helper()
	requireMain(t)
	opened, err := sharedPostgres()
	if err != nil {
		t.Fatalf("testservers: %v", err)
	}
	return opened
}

var databaseCount atomic.Int64

// databaseName makes a name that no other test, binary or run on the same server uses.
func databaseName(purpose string) string {
	return fmt.Sprintf("%s_%d_%d_%s", purpose, os.Getpid(), databaseCount.Add(1), randomText(6))
}

func createDatabase(t testing.TB, on server, template string) string {
	t.Helper()
	name := databaseName("test")
	statement := "CREATE DATABASE " + quote(name)
	if template != "" {
		statement += " TEMPLATE " + quote(template)
	}
	if err := administer(on, statement); err != nil {
		t.Fatalf("testservers: create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := administer(on, dropStatement(name)); err != nil {
			t.Errorf("testservers: drop the test's database: %v", err)
		}
	})
	return withDatabase(on.url, name)
}

func dropStatement(name string) string {
	return "DROP DATABASE IF EXISTS " + quote(name) + " WITH (FORCE)"
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// administer runs a statement on a connection of its own. It has its own deadline, because a test's context has often ended when its
// database is to be dropped.
func administer(on server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryLimit)
	defer cancel()
	connection, err := pgx.Connect(ctx, on.url)
	if err != nil {
		return err
	}
	_, err = connection.Exec(ctx, statement)
	return errors.Join(err, connection.Close(ctx))
}

// withDatabase returns the server's URL with another database in it.
func withDatabase(address, name string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		panic("testservers: a URL that was used already does not parse") // cannot happen: it was parsed when the server was opened
	}
	parsed.Path = "/" + name
	return parsed.String()
}
