package pglauncher_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/profile-api/profile-api/internal/process"
)

// chownLike gives paths the owner of the first one.
func chownLike(t *testing.T, like string, paths ...string) {
	t.Helper()
	info, err := os.Stat(like)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	for _, path := range paths {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// PostgreSQL runs only as the owner of its data directory, so the owner tells who it runs as.
func TestServerRunsAsSomebodyWhoIsNotRoot(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := start(t, options(dir))
	owner := ownerOf(t, filepath.Join(dir, strconv.Itoa(server.Programs().Major), "data"))
	if me := os.Geteuid(); me == 0 && owner == 0 || me != 0 && int(owner) != me {
		t.Errorf("user id %d started a server of user id %d", me, owner)
	}
}

func TestOrdinaryUserCanRunIt(t *testing.T) {
	t.Parallel()
	// When root runs the tests, a copy of the test binary runs as nobody, who cannot enter where the go command put the original.
	nobody, err := process.Unprivileged("nobody")
	if err != nil {
		t.Fatal(err)
	}
	home, err := process.TempDir(nobody, tempPrefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	binary := filepath.Join(home, "helper")
	copyFile(t, os.Args[0], binary)
	cmd := exec.Command(binary)
	owner := ownerOf(t, home)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner, Gid: owner}}
	}
	in, said := startHelper(t, cmd, filepath.Join(home, "pg"))
	if got := text(t, said.URL, "SELECT 'works'"); got != "works" {
		t.Errorf("got %q", got)
	}
	if got := ownerOf(t, filepath.Join(home, "pg", strconv.Itoa(major(t).Major), "data", "postmaster.pid")); got != owner || got == 0 {
		t.Errorf("the server belongs to user id %d, want %d", got, owner)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the helper did not stop well: %v", err)
	}
	if process.Alive(said.Pid) {
		t.Errorf("the server, process %d, is still there", said.Pid)
	}
}
