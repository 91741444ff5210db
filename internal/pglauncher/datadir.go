package pglauncher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/profile-api/profile-api/internal/process"
)

// cluster is one major version's directory below Options.DataDir.
type cluster struct {
	account  *process.Account
	programs Programs
	dir      string
	password string
}

func (c *cluster) data() string    { return filepath.Join(c.dir, "data") }
func (c *cluster) sockets() string { return filepath.Join(c.dir, "run") }
func (c *cluster) log() string     { return filepath.Join(c.dir, "server.log") }

// openCluster makes the directories, the password and the data where they are missing, and checks what is there.
func openCluster(ctx context.Context, options Options, programs Programs) (*cluster, error) {
	account, err := account()
	if err != nil {
		return nil, err
	}
	c := &cluster{account: account, programs: programs, dir: filepath.Join(options.DataDir, strconv.Itoa(programs.Major))}
	for _, dir := range []string{options.DataDir, c.dir, c.sockets()} {
		if err := account.Own(dir); err != nil {
			return nil, fmt.Errorf("PostgreSQL's directory: %w", err)
		}
	}
	version, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	switch {
	case err == nil && strings.TrimSpace(string(version)) != strconv.Itoa(programs.Major):
		return nil, fmt.Errorf("%w: %s was made by version %s and the programs in %s are version %d",
			ErrVersion, c.data(), strings.TrimSpace(string(version)), programs.BinDir, programs.Major)
	case err == nil:
		return c, c.readPassword()
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	if _, err := os.Lstat(c.data()); err == nil {
		return nil, fmt.Errorf("%s is there but is no PostgreSQL data directory (no PG_VERSION); move it away", c.data())
	}
	return c, c.initialize(ctx, options)
}

func (c *cluster) passwordFile() string { return filepath.Join(c.dir, "password") }

func (c *cluster) readPassword() error {
	file, err := os.OpenFile(c.passwordFile(), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("the password of the data directory %s: %w", c.data(), err)
	}
	buffer := make([]byte, 128)
	n, err := file.Read(buffer)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("the password of the data directory %s: %w", c.data(), err)
	}
	c.password = strings.TrimSpace(string(buffer[:n]))
	return nil
}

// locales are tried in order. Byte-wise collation keeps sorting the same on every machine, while a UTF-8 character type lets
// lower() know more than ASCII; C is what every machine has.
var locales = []string{"C.UTF-8", "en_US.UTF-8", "C"}

// initialize makes the data directory beside its final place and moves it there when it is complete, so that a start that is
// interrupted leaves nothing that looks like data.
func (c *cluster) initialize(ctx context.Context, options Options) error {
	c.password = rand.Text()
	if err := c.account.WriteNew(c.passwordFile(), []byte(c.password+"\n")); errors.Is(err, os.ErrExist) {
		// An earlier start, or one that is racing with this one, came this far: its password is as good.
		if err := c.readPassword(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	c.mentionOlder(options)
	options.progress("making a PostgreSQL %d data directory in %s", c.programs.Major, c.dir)
	fresh, err := os.MkdirTemp(c.dir, "initdb-")
	if err != nil {
		return err
	}
	if err := c.fill(ctx, fresh, options); err != nil {
		return errors.Join(fmt.Errorf("make a data directory: %w", err), os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, c.data()); err != nil {
		removal := os.RemoveAll(fresh)
		if _, statErr := os.Stat(filepath.Join(c.data(), "PG_VERSION")); statErr == nil {
			return removal // another start was faster
		}
		return errors.Join(err, removal)
	}
	return nil
}

func (c *cluster) fill(ctx context.Context, dir string, options Options) error {
	if err := c.account.Own(dir); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + dir, "--username=" + superuser, "--pwfile=" + c.passwordFile(), "--auth=scram-sha-256", "--encoding=UTF8",
		"--lc-collate=C", "--lc-messages=C", "--lc-monetary=C", "--lc-numeric=C", "--lc-time=C",
	}
	if options.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	var failures error
	for _, locale := range locales {
		_, err := process.Run(ctx, c.account, c.dir, c.programs.path("initdb"), append(args, "--lc-ctype="+locale)...)
		if err == nil {
			return nil
		}
		failures = errors.Join(failures, err)
		if !strings.Contains(err.Error(), "locale") {
			break
		}
	}
	return failures
}

// mentionOlder tells of data that another major version left, which would otherwise seem to be lost after an upgrade.
func (c *cluster) mentionOlder(options Options) {
	others, err := filepath.Glob(filepath.Join(options.DataDir, "*", "data", "PG_VERSION"))
	if err != nil || len(others) == 0 {
		return
	}
	options.progress("data of another PostgreSQL version stays untouched in %s and is not used", filepath.Dir(others[0]))
}

// checkUnused looks at the lock file for a server that is alive and listening. PostgreSQL checks the file too, and better, but by
// then we would have emptied that server's log, and its message names no port.
func (c *cluster) checkUnused() error {
	pid, port, found := c.lock()
	if !found || !process.Alive(pid) || process.PortFree(port) {
		return nil // if something is wrong all the same, PostgreSQL will say so
	}
	return fmt.Errorf("%w: %s by process %d on port %d; stop that one first", ErrInUse, c.data(), pid, port)
}

// lock reads the process id and the port from the first and fourth line of the lock file.
func (c *cluster) lock() (pid, port int, found bool) {
	lock, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	lines := strings.Split(string(lock), "\n")
	if err != nil || len(lines) < 4 {
		return 0, 0, false
	}
	pid, errPid := strconv.Atoi(strings.TrimSpace(lines[0]))
	port, errPort := strconv.Atoi(strings.TrimSpace(lines[3]))
	return pid, port, errPid == nil && errPort == nil
}
