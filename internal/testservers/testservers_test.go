package testservers_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// query runs a statement and returns its first column of its first row.
func query[T any](t *testing.T, url, statement string, args ...any) T {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close(t.Context()) }()
	var value T
	if err := connection.QueryRow(t.Context(), statement, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

func execute(ctx context.Context, url, statement string) (err error) {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = connection.Exec(ctx, statement)
	return errors.Join(err, connection.Close(ctx))
}

func TestDatabasesAreSeparateAndDropped(t *testing.T) {
	var name string
	t.Run("use", func(t *testing.T) {
		first, second := testservers.Database(t), testservers.Database(t)
		if err := execute(t.Context(), first, "CREATE TABLE mark (n int)"); err != nil {
			t.Fatal(err)
		}
		if query[bool](t, second, "SELECT to_regclass('mark') IS NOT NULL") {
			t.Error("a table made in one test database is seen in another")
		}
		name = query[string](t, first, "SELECT current_database()")
	})
	other := testservers.Database(t)
	if query[bool](t, other, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name) {
		t.Errorf("the database %s is still there after its test", name)
	}
}

func TestDatabaseFromTemplateMigratesOnce(t *testing.T) {
	var lock sync.Mutex
	runs := 0
	key := rand.Text() // with -count, each run needs a template of its own
	migrate := func(ctx context.Context, url string) error {
		lock.Lock()
		runs++
		lock.Unlock()
		return execute(ctx, url, "CREATE TABLE mark (n int); INSERT INTO mark VALUES (1)")
	}
	t.Run("group", func(t *testing.T) {
		for range 6 {
			t.Run("copy", func(t *testing.T) {
				t.Parallel()
				url := testservers.DatabaseFromTemplate(t, key, migrate)
				if err := execute(t.Context(), url, "INSERT INTO mark VALUES (2)"); err != nil {
					t.Fatal(err)
				}
				if got := query[int](t, url, "SELECT count(*) FROM mark"); got != 2 {
					t.Errorf("%d rows, want the template's and this test's own", got)
				}
			})
		}
	})
	if runs != 1 {
		t.Errorf("the migration ran %d times, want once", runs)
	}
}

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestValkeysAreSeparateAndEmptied(t *testing.T) {
	var used string
	t.Run("use", func(t *testing.T) {
		used = testservers.Valkey(t)
		first, second := client(t, used), client(t, testservers.Valkey(t))
		if err := first.Set(t.Context(), "mark", 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if n := second.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("another test's database holds %d keys, want none", n)
		}
		if n := first.DBSize(t.Context()).Val(); n != 1 {
			t.Errorf("the database holds %d keys, want only the test's own", n)
		}
	})
	if n, err := client(t, used).DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys (%v) are left after the test, want none", n, err)
	}
}
