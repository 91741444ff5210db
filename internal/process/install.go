package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// ErrCannotInstall says that this machine's package manager cannot be used by this process.
var ErrCannotInstall = errors.New("cannot install packages here")

const (
	installLock   = "/var/lock/profile-api-install.lock"
	policyFile    = "/usr/sbin/policy-rc.d"
	clusterConfig = "/etc/postgresql-common/createcluster.d/profile-api.conf"
)

// Install installs packages with apt-get, for root on Debian and its relatives; anywhere else the error is ErrCannotInstall. The
// services in the packages are not started, and PostgreSQL makes no system cluster: only the programs are wanted.
func Install(ctx context.Context, progress func(string, ...any), packages ...string) error {
	apt, found := Find("apt-get")
	if _, err := os.Stat("/etc/debian_version"); err != nil || !found || os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root on Debian or Ubuntu can have them installed automatically", ErrCannotInstall)
	}
	unlock, err := lockInstall()
	if err != nil {
		return err
	}
	defer unlock()
	restore, err := keepServicesOff()
	if err != nil {
		return err
	}
	defer restore()
	progress("installing %v with apt-get", packages)
	install := append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)
	if err = aptGet(ctx, apt, install...); err == nil {
		return nil
	}
	if updateErr := aptGet(ctx, apt, "update", "-q"); updateErr != nil { // a fresh image has no package lists
		return errors.Join(err, updateErr)
	}
	return aptGet(ctx, apt, install...)
}

func aptGet(ctx context.Context, apt string, args ...string) error {
	args = append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)
	cmd := exec.CommandContext(ctx, apt, args...) // #nosec G204 -- the arguments are this package's
	// Proxies and mirrors are set in the environment, so apt-get gets all of it.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killPatience
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %v: %w: %s", args, err, LastLines(string(out), 5))
	}
	return nil
}

// lockInstall makes test binaries that need the same package wait for each other.
func lockInstall() (unlock func(), err error) {
	file, err := os.OpenFile(installLock, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil { // #nosec G115 -- a file descriptor fits
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil // closing unlocks
}

// keepServicesOff writes the two files by which Debian's packages can be told so, unless the machine has them already.
func keepServicesOff() (restore func(), err error) {
	policy, err := writeMissing(policyFile, "#!/bin/sh\nexit 101\n", 0o755)
	if err != nil {
		return nil, err
	}
	cluster, err := writeMissing(clusterConfig, "create_main_cluster = false\n", 0o644)
	if err != nil {
		policy()
		return nil, err
	}
	return func() { policy(); cluster() }, nil
}

func writeMissing(path, text string, mode os.FileMode) (remove func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- a system directory
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode) // #nosec G304 -- one of two constants
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}
