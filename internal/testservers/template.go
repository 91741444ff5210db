package testservers

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// templates holds the template databases of this test binary by key.
var templates sync.Map // string → func() (string, error)

// DatabaseFromTemplate creates a database for this test as a copy of a template, which migrate has filled once per test binary and
// key, and returns its URL. That is much faster than migrating for each test. migrate gets the URL of an empty database, must close
// its connections before it returns, and must do the same whenever the key is the same. The copy is dropped when the test ends.
func DatabaseFromTemplate(t testing.TB, key string, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	on := mustPostgres(t)
	once, _ := templates.LoadOrStore(key, sync.OnceValues(func() (string, error) { return makeTemplate(on, migrate) }))
	template, err := once.(func() (string, error))() //nolint:forcetypeassert // the map holds nothing else
	if err != nil {
		t.Fatalf("testservers: make the template database %q: %v", key, err)
	}
	return createDatabase(t, on, template)
}

func makeTemplate(on server, migrate func(context.Context, string) error) (string, error) {
	name := databaseName("template")
	if err := administer(on, "CREATE DATABASE "+quote(name)); err != nil {
		return "", err
	}
	atEnd(func(context.Context) error { return administer(on, dropStatement(name)) })
	ctx, cancel := context.WithTimeout(context.Background(), setUpLimit)
	defer cancel()
	if err := migrate(ctx, withDatabase(on.url, name)); err != nil {
		return "", fmt.Errorf("migrate: %w", err)
	}
	return name, nil
}

func randomText(length int) string { return strings.ToLower(rand.Text()[:length]) }
