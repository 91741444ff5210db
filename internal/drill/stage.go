// Package drill is what the rehearsals of operators share: servers to rehearse
// on, replicas of the real program as processes of their own, and callers at a
// constant rate who notice every request that is lost. The drills of backups
// and of releases, the load tests and the tests of rotation use it.
package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/valkeylauncher"
)

const (
	clerkHost = "clerk.drill.test"
	clerkKey  = "sk_live_bWFkZS11cC1mb3ItZHJpbGxzLWFuZC1ub3RoaW5nLWVsc2U" // #nosec G101 -- opens nothing but the stand-in
	// FrontEnd is the authorized party of the tokens.
	FrontEnd = "https://app.drill.test"
	// WebhookSecret signs what the stand-in's webhooks are.
	WebhookSecret = "whsec_ZHJpbGwtZHJpbGwtZHJpbGwtZHJpbGwtZHJpbGw="               // #nosec G101 -- as above
	signingKey    = "qH7&dZ2!mX9(kT4@wB6)rN1+cV8=yL3-fJ5_gS0?pE*uA%oI^xW~zM:tQ;vK" // #nosec G101 -- as above

	stopLimit = 20 * time.Second
)

// Settings are the variables that a program gets to see, and nothing of ours beside them.
type Settings map[string]string

// With returns a copy with more variables, given as name and value in turn; an empty value takes one away.
func (s Settings) With(pairs ...string) Settings {
	c := maps.Clone(s)
	for i := 0; i+1 < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
	}
	return c
}

func (s Settings) environ() []string {
	var env []string
	for name, value := range s {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Stage is what replicas need around them but for a database: a Valkey and a
// stand-in for Clerk. The database is the drill's own affair: some destroy it.
type Stage struct {
	Valkey  *valkeylauncher.Server
	Clerk   *clerkstandin.Server
	running *clerkstandin.Running
	dir     string
	said    func(format string, args ...any)
}

// NewStage starts Valkey (installing it where that is possible) and the
// stand-in. say is told what takes time. Close it.
func NewStage(ctx context.Context, say func(format string, args ...any)) (_ *Stage, err error) {
	s := &Stage{said: say}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(ctx))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "profile-api-drill-"); err != nil {
		return nil, err
	}
	if s.Valkey, err = valkeylauncher.Start(ctx, valkeylauncher.Options{Install: true, Progress: func(m string) { say("%s", m) }}); err != nil {
		return nil, err
	}
	if s.Clerk, err = clerkstandin.New(clerkstandin.Options{Host: clerkHost, SecretKey: clerkKey, AuthorizedParty: FrontEnd}); err != nil {
		return nil, err
	}
	s.running, err = s.Clerk.Start("127.0.0.1:0")
	return s, err
}

// Dir is a directory that Close removes.
func (s *Stage) Dir() string { return s.dir }

// Settings are production's on the database given, with rate limits that are in no drill's way.
func (s *Stage) Settings(databaseURL string) Settings {
	return Settings{
		"ENVIRONMENT": "production", "SECRET_KEY": signingKey, "SENTRY_DSN": "disabled",
		"CLERK_SECRET_KEY": clerkKey, "CLERK_PUBLISHABLE_KEY": clerkstandin.LivePublishableKey(clerkHost),
		"CLERK_AUTHORIZED_PARTIES": FrontEnd, "CLERK_API_URL": s.running.APIURL(), "CLERK_WEBHOOK_SECRET": WebhookSecret,
		"DATABASE_URL": databaseURL, "VALKEY_URL": s.Valkey.URL(),
		"ALLOWED_HOSTS": "127.0.0.1,localhost", "HTTP_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0",
		"RATE_LIMIT_USER": "1000000/1m", "RATE_LIMIT_IP": "1000000/1m", "RATE_LIMIT_GLOBAL": "10000000/1m",
		"SHUTDOWN_DRAIN_DELAY": "1s", "SHUTDOWN_TIMEOUT": "15s", "DISK_MIN_FREE_PERCENT": "0",
	}
}

// Close stops the servers and removes the directory.
func (s *Stage) Close(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if s.running != nil {
		err = s.running.Close(ctx)
	}
	if s.Valkey != nil {
		err = errors.Join(err, s.Valkey.Close(ctx))
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Build compiles the program of the source tree src into the file named name
// below the stage's directory, with the version given, and returns its path.
func (s *Stage) Build(ctx context.Context, src, name, version string) (string, error) {
	s.said("building %s", name)
	return Build(ctx, src, filepath.Join(s.dir, name), version)
}

// Build compiles the program of the source tree src into the file out, with the version given, and returns out.
func Build(ctx context.Context, src, out, version string) (string, error) {
	// #nosec G204 -- compiling our own source is what this is for
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X main.version="+version, "-o", out, "./cmd/profile-api")
	cmd.Dir, cmd.Env = src, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", out, err, text)
	}
	return out, nil
}

// Command runs a command of the program to its end and returns what it printed.
func Command(ctx context.Context, binary string, env Settings, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, args...) // #nosec G204 -- a program that a drill built
	cmd.Env = env.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return string(out), nil
}
