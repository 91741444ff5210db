package pglauncher_test

import (
	"os"
	"testing"

	"github.com/profile-api/profile-api/internal/pglauncher"
)

func TestRunningFindsTheServerOfAnother(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := start(t, options(dir))
	url, found, err := pglauncher.Running(t.Context(), options(dir), "postgres")
	if err != nil || !found || url != server.URL("postgres") {
		t.Errorf("found %v, %v", found, err)
	}
	if err := server.Kill(); err != nil { // its lock file stays
		t.Fatal(err)
	}
	<-server.Done()
	if _, found, err := pglauncher.Running(t.Context(), options(dir), "postgres"); found || err != nil {
		t.Errorf("after its end: found %v, %v", found, err)
	}
}

func TestRunningMakesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, found, err := pglauncher.Running(t.Context(), options(dir), "postgres"); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}
