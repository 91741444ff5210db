package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Account is the user a server runs as when this process runs as root: PostgreSQL refuses to run as root, and no server of a test
// needs to. A nil *Account stands for the current user.
type Account struct {
	Name string
	uid  uint32
	gid  uint32
}

// Unprivileged returns nil when this process is not root: servers then run as the current user. For root it returns the first of
// the named accounts that exists, or else nobody.
func Unprivileged(names ...string) (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // a nil account is a meaningful value: the current user
	}
	for _, name := range append(names, "nobody") {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil || uid == 0 {
			continue
		}
		return &Account{Name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("running as root, and none of the accounts %v and nobody exists to run a server as", names)
}

func (a *Account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// id returns the user id that files of the account carry.
func (a *Account) id() uint32 {
	if a == nil {
		return uint32(os.Geteuid()) // #nosec G115 -- a user id fits
	}
	return a.uid
}

// String names the account for messages.
func (a *Account) String() string {
	if a == nil {
		return "the current user"
	}
	return "the account " + a.Name
}

// CanEnter reports why the account cannot reach the existing directory dir, or nil. Only permission bits are looked at.
func (a *Account) CanEnter(dir string) error {
	if a == nil {
		return nil
	}
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if !a.canSearch(info) {
			return fmt.Errorf("%s cannot enter %s (mode %04o)", a, at, info.Mode().Perm())
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func (a *Account) canSearch(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case stat.Uid == a.uid:
		return mode&0o100 != 0
	case stat.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// Own makes dir, with its parents when need be, a 0700 directory of the account. A directory that is there already must be the
// account's, or be root's and empty; symbolic links and anybody else's directories are refused.
func (a *Account) Own(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // #nosec G301 -- the account must be able to pass through
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if stat.Uid != a.id() {
		if err := a.takeOver(dir, stat.Uid); err != nil {
			return err
		}
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil { // #nosec G302 -- a directory needs its execute bit
			return err
		}
	}
	return a.CanEnter(dir)
}

func (a *Account) takeOver(dir string, owner uint32) error {
	if a == nil || owner != 0 {
		return fmt.Errorf("%s belongs to user id %d and not to %s", dir, owner, a)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s belongs to root and is not empty, but the server has to run as %s", dir, a)
	}
	return os.Lchown(dir, int(a.uid), int(a.gid))
}

// WriteNew writes a new 0600 file of the account. It fails when the path exists in any form, a symbolic link included.
func (a *Account) WriteNew(path string, data []byte) (err error) {
	file, err := a.create(path, os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.Write(data)
	return err
}

// Log opens an emptied 0600 file of the account for a server's output.
func (a *Account) Log(path string) (*os.File, error) { return a.create(path, os.O_TRUNC) }

func (a *Account) create(path string, how int) (*os.File, error) {
	// The directory is the account's, so root must not follow a link that the account may have put there.
	flags := os.O_WRONLY | os.O_CREATE | syscall.O_NOFOLLOW | how
	file, err := os.OpenFile(path, flags, 0o600) // #nosec G304 -- inside a directory that this package made
	if err != nil {
		return nil, err
	}
	if a != nil {
		if err := file.Chown(int(a.uid), int(a.gid)); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return file, nil
}
