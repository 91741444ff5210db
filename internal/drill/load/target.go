package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/pglauncher"
	"github.com/profile-api/profile-api/internal/process"
)

// target is what gets the load.
type target struct {
	url      string
	fleet    *drill.Fleet
	postgres *pglauncher.Server
	dir      string // of the database
	tokens   string // folder
}

// start makes a database that is as durable as a real one (fsync stays on), the program, and replicas.
func start(ctx context.Context, stage *drill.Stage, o options) (*target, error) {
	account, err := process.Unprivileged("postgres")
	if err != nil {
		return nil, err
	}
	t := &target{tokens: stage.Dir()}
	if t.dir, err = process.TempDir(account, "profile-api-load"); err != nil {
		return nil, err
	}
	t.postgres, err = pglauncher.Start(ctx, pglauncher.Options{
		DataDir: filepath.Join(t.dir, "postgres"), Install: true, Settings: map[string]string{"shared_buffers": "128MB"}, Progress: func(m string) { say("%s", m) },
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(t.dir))
	}
	if err := t.serve(ctx, stage, o); err != nil {
		return nil, errors.Join(err, t.stop(context.WithoutCancel(ctx)))
	}
	return t, nil
}

func (t *target) serve(ctx context.Context, stage *drill.Stage, o options) error {
	binary, err := stage.Build(ctx, ".", "profile-api", "v0.0.0-load")
	if err != nil {
		return err
	}
	env := stage.Settings(t.postgres.URL("postgres")).With("DB_MAX_OPEN_CONNS", o.pool, "DB_MAX_IDLE_CONNS", o.pool)
	if _, err := drill.Command(ctx, binary, env, "migrate", "up"); err != nil {
		return err
	}
	balancer, err := drill.NewBalancer(ctx)
	if err != nil {
		return err
	}
	t.fleet = &drill.Fleet{Balancer: balancer, Binary: binary, Dir: stage.Dir()}
	if err := t.fleet.Grow(ctx, o.replicas, env); err != nil {
		return err
	}
	t.url = balancer.URL()
	if o.replicas == 1 { // nothing in between that costs time of its own
		t.url = "http://" + t.fleet.Replicas()[0].API
	}
	say("%d replica(s), pool %s, %s", o.replicas, or(o.pool, "of the default"), t.url)
	return nil
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (t *target) stop(ctx context.Context) (err error) {
	if t.fleet != nil {
		err = t.fleet.Close(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return errors.Join(err, t.postgres.Stop(ctx), os.RemoveAll(t.dir))
}

// mint writes the tokens' file: people whom Clerk knows, and an admin. They outlive the longest soak.
func (t *target) mint(stage *drill.Stage, people int) (string, error) {
	var file struct {
		People []string `json:"people"`
		Admin  string   `json:"admin"`
	}
	life := clerkstandin.WithLifetime(3 * time.Hour)
	for range people {
		id := "user_2" + rand.Text()
		stage.Clerk.PutPerson(clerkstandin.Person{ID: id, FirstName: "Person", CreatedAt: time.Now()})
		file.People = append(file.People, stage.Clerk.Mint(clerkstandin.WithUser(id), life))
	}
	file.Admin = stage.Clerk.Mint(clerkstandin.WithUser("user_2"+rand.Text()), clerkstandin.WithRole("admin"), life)
	text, err := json.Marshal(file)
	if err != nil {
		return "", err
	}
	path := filepath.Join(t.tokens, "tokens.json")
	if err := os.WriteFile(path, text, 0o600); err != nil { // #nosec G703 -- in a folder of our own
		return "", fmt.Errorf("write the tokens: %w", err)
	}
	return path, nil
}
