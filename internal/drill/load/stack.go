package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/seed"
)

const (
	people     = 1000 // who sign in
	seeded     = 10_000
	tokenLife  = 24 * time.Hour // longer than any run
	database   = "profile"
	stopLimit  = 30 * time.Second
	tokensName = "tokens.json"
)

// stack is the service with all that it needs; the replicas come and go with each run.
type stack struct {
	stage    *drill.Stage
	postgres *pglauncher.Server // nil when the database is somebody else's
	binary   string
	settings drill.Settings
	tokens   string // path of the file with everybody's
	replicas []*drill.Replica
	closers  []func(context.Context) error
}

// newStack starts servers of its own. Close it.
func newStack(ctx context.Context, source string) (_ *stack, err error) {
	// Not below the stage's directory, which an account of PostgreSQL's own could not enter.
	dir, err := os.MkdirTemp("/var/tmp", "profile-api-load-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- what is below keeps to itself; the server's account must pass
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	pg, err := pglauncher.Start(ctx, pglauncher.Options{DataDir: filepath.Join(dir, "postgres"), Install: true, Progress: func(m string) { say("%s", m) }})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	closeDatabase := func(ctx context.Context) error {
		return errors.Join(pg.Stop(ctx), os.RemoveAll(dir))
	}
	if err := pg.EnsureDatabase(ctx, database); err != nil {
		return nil, errors.Join(err, closeDatabase(context.WithoutCancel(ctx)))
	}
	s, err := stackOn(ctx, source, pg.URL(database), seeded)
	if err != nil {
		return nil, errors.Join(err, closeDatabase(context.WithoutCancel(ctx)))
	}
	s.postgres, s.closers = pg, append(s.closers, closeDatabase)
	return s, nil
}

// stackOn is a stack on an empty database: migrated, with so many people seeded and tokens minted for others.
func stackOn(ctx context.Context, source, url string, rows int) (s *stack, err error) {
	stage, err := drill.NewStage(ctx, say)
	if err != nil {
		return nil, err
	}
	s = &stack{stage: stage, settings: stage.Settings(url), closers: []func(context.Context) error{stage.Close}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if s.binary, err = stage.Build(ctx, source, "profile-api", "load"); err != nil {
		return nil, err
	}
	if _, err = drill.Command(ctx, s.binary, s.settings, "migrate", "up"); err != nil {
		return nil, err
	}
	say("seeding %s people", seed.Grouped(rows))
	if _, err = seed.Run(ctx, url, seed.Options{Rows: rows, Seed: 1, Until: time.Now().UTC().Truncate(24 * time.Hour)}); err != nil {
		return nil, err
	}
	s.tokens = filepath.Join(stage.Dir(), tokensName)
	return s, mint(stage.Clerk, s.tokens)
}

// mint writes the tokens of made-up people and of an admin into a file that only we may read.
func mint(clerk *clerkstandin.Server, path string) error {
	var all struct {
		People []string `json:"people"`
		Admin  string   `json:"admin"`
	}
	for i := range people {
		p := clerkstandin.NewPerson(fmt.Sprintf("walker%d", i), "Walker", fmt.Sprint(i), "")
		p.Username = "" // the first look at Clerk takes it for a handle, and the handles that k6 learned at first would lead nowhere
		clerk.PutPerson(p)
		token, err := clerk.Token(p.ID, clerkstandin.WithLifetime(tokenLife))
		if err != nil {
			return err
		}
		all.People = append(all.People, token)
	}
	var err error
	if all.Admin, err = clerk.Token("ada", clerkstandin.WithLifetime(tokenLife)); err != nil {
		return err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// start starts so many replicas with more settings, and waits until they are ready.
func (s *stack) start(ctx context.Context, n int, pairs ...string) error {
	for i := range n {
		log := filepath.Join(s.stage.Dir(), fmt.Sprintf("replica%d.log", i))
		r, err := drill.StartReplica(ctx, s.binary, log, s.settings.With(pairs...))
		if err != nil {
			return err
		}
		s.replicas = append(s.replicas, r)
		if err := r.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the replicas.
func (s *stack) stop(ctx context.Context) (err error) {
	for _, r := range s.replicas {
		err = errors.Join(err, r.Stop(ctx))
	}
	s.replicas = nil
	return err
}

func (s *stack) baseURL() string {
	var urls []string
	for _, r := range s.replicas {
		urls = append(urls, "http://"+r.API)
	}
	return strings.Join(urls, ",")
}

// close ends everything, also after ctx has.
func (s *stack) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	err := s.stop(ctx)
	for _, c := range s.closers {
		err = errors.Join(err, c(ctx))
	}
	return err
}
