package pglauncher

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/process"
)

// Running returns the connection URL, as of Server.URL, of the server that another process runs on the data directory; found is
// false when none does. It makes and starts nothing. Of the options, it uses DataDir and BinDir.
func Running(ctx context.Context, options Options, database string) (url string, found bool, err error) {
	programs, err := Find(ctx, options.BinDir)
	if errors.Is(err, ErrNoPrograms) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if options.DataDir == "" {
		if options.DataDir, err = DefaultDataDir(); err != nil {
			return "", false, err
		}
	}
	c := &cluster{programs: programs, dir: filepath.Join(options.DataDir, strconv.Itoa(programs.Major))}
	pid, port, locked := c.lock()
	if !locked || !process.Alive(pid) || process.PortFree(port) {
		return "", false, nil
	}
	if err := c.readPassword(); err != nil {
		return "", false, err
	}
	s := &Server{cluster: c, port: port}
	connection, err := pgx.Connect(ctx, s.URL("postgres")) // another server may have the port of one that crashed
	if err != nil {
		return "", false, err
	}
	return s.URL(database), true, connection.Close(ctx)
}
