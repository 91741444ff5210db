// Package pglauncher runs a private PostgreSQL with no set-up: it finds the programs on the machine, makes a data directory, starts
// the server on 127.0.0.1 and stops it again. The data survives restarts and is never wiped.
package pglauncher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/profile-api/profile-api/internal/process"
)

// Errors that callers can tell apart with errors.Is.
var (
	// ErrNoPrograms says that no usable PostgreSQL programs were found. The message lists the places and the remedies.
	ErrNoPrograms = errors.New("no PostgreSQL programs found")
	// ErrInUse says that another live server uses the data directory.
	ErrInUse = errors.New("the data directory is in use by another PostgreSQL server")
	// ErrPortInUse says that another program listens on the port that was asked for.
	ErrPortInUse = errors.New("the port is in use by another program")
	// ErrVersion says that the data directory was made by another major version than the programs'.
	ErrVersion = errors.New("the data directory belongs to another major version of PostgreSQL")
)

// Options say how to run the server. The zero value is good: data in DefaultDataDir, any free port.
type Options struct {
	// DataDir holds everything of the server: DataDir/MAJOR/{data,run,password,server.log}, one MAJOR per major version. As root,
	// it becomes a 0700 directory of the account postgres (or nobody), which must be able to reach it.
	DataDir string
	// BinDir is the only place to look for the programs; empty means to search.
	BinDir string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Settings are given to the server on top of its configuration file, for example fsync=off for a test. With fsync off the
	// data directory is made without syncing as well.
	Settings map[string]string
	// Install allows to install PostgreSQL with the system's package manager when no programs are found (root on Debian and its
	// relatives only). The system's own server is not started.
	Install bool
	// Progress, when set, is told in a few words what takes time.
	Progress func(message string)
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// DefaultDataDir returns where data that should survive belongs: the user's own data directory, or for root, whose home no server
// account can enter, a directory of that account below /var/tmp.
func DefaultDataDir() (string, error) {
	account, err := account()
	if err != nil {
		return "", err
	}
	if account != nil {
		return "/var/tmp/profile-api-postgres-" + account.Name, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "profile-api", "postgres"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the data: %w", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "profile-api", "postgres"), nil
	}
	return filepath.Join(home, ".local", "share", "profile-api", "postgres"), nil
}

func account() (*process.Account, error) { return process.Unprivileged("postgres") }
