package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/process"
)

const (
	dirPrefix = "profile-api-backup-drill"
	database  = "profile_api"
	// eventually bounds what must happen sooner or later.
	eventually = 3 * time.Minute
	// newestMajor is the newest PostgreSQL that Debian 12's pgBackRest (2.45) can back up.
	newestMajor = 15
)

// cluster is a PostgreSQL that archives as deploy/backup says, with its repository beside it.
type cluster struct {
	account    *process.Account
	root       string // everything of the drill's servers; the account's own
	pgbackrest string
	options    pglauncher.Options
	major      int
	password   string
	server     *pglauncher.Server
	kubernetes *inCluster // nil: everything is on the database's own machine, as in compose
}

// newCluster makes the cluster and starts it. The settings are the very files
// of deploy/backup in source, with paths, port and archive_timeout put in.
func newCluster(ctx context.Context, o options, say func(string, ...any)) (_ *cluster, err error) {
	path, err := findPgBackRest(ctx, say)
	if err != nil {
		return nil, err
	}
	options := pglauncher.Options{Install: true, Progress: func(m string) { say("%s", m) }}
	programs, err := pglauncher.FindOrInstall(ctx, options)
	if err != nil {
		return nil, err
	}
	c := &cluster{pgbackrest: path, major: programs.Major}
	if c.account, err = process.Unprivileged("postgres"); err != nil {
		return nil, err
	}
	process.SweepTempDirs(c.account, dirPrefix)
	if c.root, err = process.TempDir(c.account, dirPrefix); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close(ctx))
		}
	}()
	if options.Port, err = process.FreePort(); err != nil {
		return nil, err
	}
	options.DataDir = filepath.Join(c.root, "pg")
	if err := c.configure(o, options.Port); err != nil {
		return nil, err
	}
	if options.Settings, err = c.archiving(o.source, o.archiveTimeout); err != nil {
		return nil, err
	}
	if o.short {
		options.Settings["fsync"] = "off" // nothing here loses its power
	}
	c.options = options
	if c.server, err = pglauncher.Start(ctx, options); err != nil {
		return nil, err
	}
	if err := c.rememberPassword(); err != nil {
		return nil, err
	}
	if c.kubernetes != nil {
		if err := c.serveBackups(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.server.EnsureDatabase(ctx, database)
}

func findPgBackRest(ctx context.Context, say func(string, ...any)) (string, error) {
	if path, ok := process.Find("pgbackrest"); ok {
		return path, nil
	}
	if err := process.Install(ctx, say, "pgbackrest"); err != nil {
		return "", fmt.Errorf("pgbackrest is missing: install it (Debian, Ubuntu: sudo apt-get install pgbackrest; others: https://pgbackrest.org): %w", err)
	}
	if path, ok := process.Find("pgbackrest"); ok {
		return path, nil
	}
	return "", errors.New("pgbackrest was installed but is not in PATH")
}

func (c *cluster) home() string   { return filepath.Join(c.options.DataDir, strconv.Itoa(c.major)) }
func (c *cluster) data() string   { return filepath.Join(c.home(), "data") }
func (c *cluster) repo() string   { return filepath.Join(c.root, "repository") }
func (c *cluster) script() string { return filepath.Join(c.root, "backup") }

// #nosec G101 -- of a repository that lives as long as the drill
const passphrase = "[global]\nrepo1-cipher-pass=a-passphrase-that-only-the-drill-has\n"

// configure writes pgbackrest.conf for this cluster, the passphrase beside it, and a copy of the script.
func (c *cluster) configure(o options, port int) error {
	c.options.DataDir = filepath.Join(c.root, "pg")
	if err := c.account.Own(filepath.Join(c.root, "conf.d")); err != nil {
		return err
	}
	if o.kubernetes {
		if err := c.beginCluster(o.source); err != nil {
			return err
		}
		if err := c.writeConf(o.source, "kubernetes/pgbackrest.conf", jobsConf, "pg1-host-port="+strconv.Itoa(c.kubernetes.port), c.jobChanges(port)); err != nil {
			return err
		}
	} else if err := c.account.WriteNew(filepath.Join(c.root, "conf.d", "passphrase.conf"), []byte(passphrase)); err != nil {
		return err
	}
	if err := c.writeDatabaseConf(o.source, "pgbackrest.conf", c.repo(), c.data(), port); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(o.source, "deploy/backup/backup")) // #nosec G304 -- our own source
	if err != nil {
		return err
	}
	return c.account.WriteNew(c.script(), script)
}

// writeDatabaseConf writes the configuration of PostgreSQL's side. The folder of the repository is named when no object store is.
func (c *cluster) writeDatabaseConf(source, name, repository, data string, port int) error {
	first := "repo1-path=" + repository
	if c.kubernetes != nil {
		first = ""
	}
	return c.writeConf(source, "pgbackrest.conf", name, first, map[string]string{
		"pg1-path": data, "pg1-socket-path": filepath.Join(filepath.Dir(data), "run"),
		"pg1-port": strconv.Itoa(port), "lock-path": filepath.Join(c.root, "lock"),
	})
}

// writeConf writes a configuration below root that differs from the one in deploy/backup by one line more and the changes alone.
func (c *cluster) writeConf(source, from, name, more string, changes map[string]string) error {
	text, err := os.ReadFile(filepath.Join(source, "deploy/backup", from)) // #nosec G304 -- our own source
	if err != nil {
		return err
	}
	section := "\n[global]\n"
	if strings.HasPrefix(more, "pg1-") {
		section = "\n[profile-api]\n"
	}
	lines := strings.Split(strings.Replace(string(text), section, section+more+"\n", 1), "\n")
	for key, value := range changes {
		found := false
		for i, line := range lines {
			if strings.HasPrefix(line, key+"=") {
				lines[i], found = key+"="+value, true
			}
		}
		if !found {
			return fmt.Errorf("deploy/backup/%s has no %s", from, key)
		}
	}
	return c.account.WriteNew(filepath.Join(c.root, name), []byte(strings.Join(lines, "\n")))
}

// archiving reads archiving.conf as the image's entry point does.
func (c *cluster) archiving(source, archiveTimeout string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(source, "deploy/backup/archiving.conf")) // #nosec G304 -- our own source
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok && !strings.HasPrefix(line, "#") {
			settings[name] = strings.Trim(value, "'")
		}
	}
	called, ok := strings.CutPrefix(settings["archive_command"], "pgbackrest ")
	if !ok {
		return nil, errors.New("deploy/backup/archiving.conf has no archive_command that calls pgbackrest")
	}
	settings["archive_command"] = fmt.Sprintf("%s --config=%s/pgbackrest.conf --config-include-path=%s/conf.d %s", c.pgbackrest, c.root, c.root, called)
	if archiveTimeout != "" {
		settings["archive_timeout"] = archiveTimeout
	}
	return settings, nil
}

// archiveTimeout is the server's, in Go's form as the settings have it.
func (c *cluster) archiveTimeout() (time.Duration, error) {
	return time.ParseDuration(c.options.Settings["archive_timeout"])
}

// rememberPassword lets pgbackrest and psql in through the socket.
func (c *cluster) rememberPassword() error {
	u, err := url.Parse(c.server.URL(database))
	if err != nil {
		return err
	}
	c.password, _ = u.User.Password()
	return c.account.WriteNew(filepath.Join(c.root, "pgpass"), []byte("*:*:*:postgres:"+c.password+"\n"))
}

// environment is what pgbackrest and the script need to see.
func (c *cluster) environment(conf string) []string {
	return []string{
		"PGBACKREST_CONFIG=" + filepath.Join(c.root, conf), "PGBACKREST_CONFIG_INCLUDE_PATH=" + filepath.Join(c.root, "conf.d"),
		"PGPASSFILE=" + filepath.Join(c.root, "pgpass"), "PGHOST=" + filepath.Join(c.home(), "run"), "PGPORT=" + strconv.Itoa(c.options.Port), "PGUSER=postgres",
	}
}

// run runs the script of deploy/backup as the account; env comes on top.
func (c *cluster) run(ctx context.Context, env []string, commands ...string) (string, error) {
	args := c.environment("pgbackrest.conf")
	if c.kubernetes != nil {
		args = append(c.environment(jobsConf), c.kubernetes.env...)
	}
	args = append(append(args, env...), "/bin/sh", c.script())
	return process.Run(ctx, c.account, c.root, "/usr/bin/env", append(args, commands...)...)
}

// rest runs pgbackrest itself, with the configuration named.
func (c *cluster) rest(ctx context.Context, conf string, args ...string) (string, error) {
	args = append([]string{c.pgbackrest, "--config=" + filepath.Join(c.root, conf), "--config-include-path=" + filepath.Join(c.root, "conf.d"),
		"--stanza=profile-api"}, args...)
	return process.Run(ctx, c.account, c.root, "/usr/bin/env", append(c.environment(conf), args...)...)
}

// backupInfo is what the drill reads of `pgbackrest info`.
type backupInfo struct {
	Label, Type string
	Archive     struct{ Stop string } // the last segment that the backup itself needs
	Info        struct {
		Size       int64
		Repository struct{ Delta int64 }
	}
}

func (c *cluster) backups(ctx context.Context) ([]backupInfo, error) {
	out, err := c.rest(ctx, "pgbackrest.conf", "--log-level-console=off", "info", "--output=json")
	if err != nil {
		return nil, err
	}
	var stanzas []struct{ Backup []backupInfo }
	if err := json.Unmarshal([]byte(out), &stanzas); err != nil || len(stanzas) != 1 {
		return nil, fmt.Errorf("pgbackrest info cannot be read: %w: %s", err, process.LastLines(out, 2))
	}
	return stanzas[0].Backup, nil
}

// destroy kills the server as a crash would and removes its data directory.
func (c *cluster) destroy(ctx context.Context) error {
	if err := c.server.Kill(); err != nil {
		return err
	}
	// Its children notice within moments, and may write until then.
	return process.Poll(ctx, nil, func(context.Context) error { return os.RemoveAll(c.data()) })
}

// restore brings the data directory back, as of target (of PostgreSQL's recovery_target_time), and waits until the server takes writes.
func (c *cluster) restore(ctx context.Context, target string) error {
	if err := c.account.Own(c.data()); err != nil {
		return err
	}
	if _, err := c.rest(ctx, "pgbackrest.conf", "restore", "--type=time", "--target="+target, "--target-action=promote"); err != nil {
		return err
	}
	if err := c.server.Start(ctx); err != nil {
		return err
	}
	return awaitPromotion(ctx, c.server)
}

// copyAtEnd restores the end of the archive's first timeline, which another restore has
// left by then, in the form that docs/runbooks/restore.md tells, from the backup
// named, into a server of its own that archives nothing. Close it with its stop.
func (c *cluster) copyAtEnd(ctx context.Context, source, name, repository, label, target string) (_ *pglauncher.Server, err error) {
	options := c.options
	options.DataDir, options.Settings = filepath.Join(c.root, name), map[string]string{}
	if options.Port, err = process.FreePort(); err != nil {
		return nil, err
	}
	home := filepath.Join(options.DataDir, strconv.Itoa(c.major))
	data := filepath.Join(home, "data")
	for _, dir := range []string{options.DataDir, home, data} {
		if err := c.account.Own(dir); err != nil {
			return nil, err
		}
	}
	if err := c.account.WriteNew(filepath.Join(home, "password"), []byte(c.password+"\n")); err != nil {
		return nil, err
	}
	if err := c.writeDatabaseConf(source, name+".conf", repository, data, options.Port); err != nil {
		return nil, err
	}
	args := []string{"restore", "--set=" + label, "--archive-mode=off", "--target-timeline=1"}
	if target != "" {
		args = append(args, "--type=time", "--target="+target, "--target-action=promote")
	}
	if _, err := c.rest(ctx, name+".conf", args...); err != nil {
		return nil, err
	}
	server, err := pglauncher.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := awaitPromotion(ctx, server); err != nil {
		return nil, errors.Join(fatal(filepath.Join(home, "server.log")), err, server.Stop(ctx))
	}
	return server, nil
}

// fatal is the last reason for its end that a server's log gives.
func fatal(log string) error {
	text, err := os.ReadFile(log) // #nosec G304 -- below the drill's own directory
	if err != nil {
		return err
	}
	var last string
	for line := range strings.Lines(string(text)) {
		if _, said, ok := strings.Cut(line, "FATAL:"); ok && !strings.Contains(said, "starting up") {
			last = strings.TrimSpace(said)
		}
	}
	return errors.New("PostgreSQL: " + last)
}

func awaitPromotion(ctx context.Context, server *pglauncher.Server) error {
	ctx, cancel := context.WithTimeout(ctx, eventually)
	defer cancel()
	return process.Poll(ctx, server.Done(), func(ctx context.Context) (err error) {
		conn, err := pgx.Connect(ctx, server.URL("postgres"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close(ctx)) }()
		var recovering bool
		if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering); err != nil {
			return err
		}
		if recovering {
			return errors.New("PostgreSQL is still recovering")
		}
		return nil
	})
}

// close stops the server and removes everything.
func (c *cluster) close(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventually)
	defer cancel()
	if c.server != nil {
		err = c.server.Stop(ctx)
	}
	if c.kubernetes != nil {
		err = errors.Join(err, c.kubernetes.close(ctx))
	}
	return errors.Join(err, process.Poll(ctx, nil, func(context.Context) error { return os.RemoveAll(c.root) }))
}
