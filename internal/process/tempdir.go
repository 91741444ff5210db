package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// TempDir makes a new 0700 directory of the account: below /var/tmp when servers run as another account, because the usual place
// may be closed to it, else in the usual place. Its name carries our process id, so that SweepTempDirs can tell when it is abandoned.
func TempDir(account *Account, prefix string) (string, error) {
	dir, err := os.MkdirTemp(tempRoot(account), fmt.Sprintf("%s-%d-", prefix, os.Getpid()))
	if err != nil {
		return "", err
	}
	if err := account.Own(dir); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

func tempRoot(account *Account) string {
	if account != nil {
		return "/var/tmp"
	}
	return os.TempDir()
}

// SweepTempDirs removes the directories that TempDir made with this prefix for processes that have died without removing them. It
// never touches one that is another user's or whose process is alive.
func SweepTempDirs(account *Account, prefix string) {
	found, err := filepath.Glob(filepath.Join(tempRoot(account), prefix+"-*-*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix+"-"), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || Alive(pid) || !account.owns(dir) {
			continue
		}
		_ = os.RemoveAll(dir) // best effort: the next run tries again
	}
}

func (a *Account) owns(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == a.id()
}

// Alive reports whether a process with this id exists, whoever owns it.
func Alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
