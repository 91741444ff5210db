package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/profile-api/profile-api/internal/process"
)

func account(t *testing.T) *process.Account {
	t.Helper()
	account, err := process.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	if (account == nil) != (os.Geteuid() != 0) {
		t.Fatalf("the account is %v for user id %d", account, os.Geteuid())
	}
	return account
}

// tempDir is a directory that the account can reach, unlike the test's own when root runs it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := process.TempDir(account(t), "profile-api-process-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestOwnMakesAPrivateDirectoryThatTheAccountCanUse(t *testing.T) {
	account, dir := account(t), filepath.Join(tempDir(t), "a")
	for range 2 { // the second time it is there already
		if err := account.Own(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := mode(t, dir); got != 0o700 {
		t.Errorf("mode %o, want 700", got)
	}
	if _, err := process.Run(t.Context(), account, dir, "/bin/sh", "-c", "echo data > file"); err != nil {
		t.Errorf("the account cannot write there: %v", err)
	}
}

func TestOwnTightensALooseDirectory(t *testing.T) {
	dir := filepath.Join(tempDir(t), "loose")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := account(t).Own(dir); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, dir); got != 0o700 {
		t.Errorf("mode %o, want 700", got)
	}
}

func TestOwnRefusesWhatItShouldNotTouch(t *testing.T) {
	dir := tempDir(t)
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{"a file": file, "a symbolic link": link}
	if os.Geteuid() == 0 {
		full := filepath.Join(dir, "full")
		if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "x"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		paths["root's own files"] = full
		paths["a place it cannot enter"] = filepath.Join(t.TempDir(), "inside")
		if err := os.Chmod(filepath.Dir(paths["a place it cannot enter"]), 0o700); err != nil {
			t.Fatal(err)
		}
	} else {
		paths["somebody else's directory"] = "/"
	}
	for name, path := range paths {
		if err := account(t).Own(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWriteNewNeverFollowsOrReplaces(t *testing.T) {
	dir := tempDir(t)
	path, link, target := filepath.Join(dir, "secret"), filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := account(t).WriteNew(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, path); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
	if err := account(t).WriteNew(path, []byte("second")); !errors.Is(err, os.ErrExist) {
		t.Errorf("writing over a file: %v, want os.ErrExist", err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := account(t).WriteNew(link, []byte("x")); !errors.Is(err, os.ErrExist) {
		t.Errorf("writing through a link: %v, want os.ErrExist", err)
	}
	if _, err := account(t).Log(link); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a log through a link: %v, want ELOOP", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Error("the link was followed")
	}
}

func TestSweepRemovesOnlyWhatTheDeadLeft(t *testing.T) {
	account := account(t)
	prefix := "profile-api-sweep-" + strconv.Itoa(os.Getpid())
	mine, err := process.TempDir(account, prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(mine) })
	dead := shell(t, "exit 0")
	<-dead.Done()
	left := filepath.Join(filepath.Dir(mine), prefix+"-"+strconv.Itoa(dead.Pid())+"-1")
	unrelated := filepath.Join(filepath.Dir(mine), prefix+"-other-1")
	t.Cleanup(func() { _ = os.Remove(unrelated) })
	if err := errors.Join(account.Own(left), account.Own(unrelated)); err != nil {
		t.Fatal(err)
	}
	process.SweepTempDirs(account, prefix)
	for path, want := range map[string]bool{mine: true, left: false, unrelated: true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it kept: %v", path, err, want)
		}
	}
}
