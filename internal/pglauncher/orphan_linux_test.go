package pglauncher_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func TestServerDoesNotOutliveAKilledParent(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	cmd := exec.Command(os.Args[0])
	_, said := startHelper(t, cmd, dir)
	execute(t, said.URL, "CREATE TABLE mark (value text); INSERT INTO mark VALUES ('kept')")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says "killed"
	// The server removes its lock file as the last thing of a clean shutdown.
	lock := filepath.Join(dir, strconv.Itoa(major(t).Major), "data", "postmaster.pid")
	eventually(t, "the lock file is still there", func() bool {
		_, err := os.Stat(lock)
		return errors.Is(err, os.ErrNotExist)
	})
	server := start(t, options(dir))
	if got := text(t, server.URL("postgres"), "SELECT value FROM mark"); got != "kept" {
		t.Errorf("got %q", got)
	}
}
