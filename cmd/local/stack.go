package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/pglauncher"
)

const (
	stopTimeout  = 30 * time.Second
	databaseName = "profile_api"
)

// runStack starts PostgreSQL, Valkey, the stand-in and the API, in this order,
// and stops them in the opposite one when ctx ends.
func runStack(ctx context.Context) (err error) {
	st, err := findState()
	if err != nil {
		return err
	}
	httpAddr, opsAddr := env("HTTP_ADDR", "127.0.0.1:8080"), env("OPS_ADDR", "127.0.0.1:9090")
	if err := addressesFree(ctx, httpAddr, opsAddr, env("CLERK_ADDR", "127.0.0.1:8081")); err != nil {
		return err
	}

	progress("starting PostgreSQL")
	pg, err := pglauncher.Start(ctx, pglauncher.Options{DataDir: st.postgres, Install: true, Progress: progress})
	if err != nil {
		return err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, pg.Stop(bounded))
		progress("stopped")
	}()
	if err := pg.EnsureDatabase(ctx, databaseName); err != nil {
		return err
	}

	progress("starting the in-process Valkey")
	valkey, err := startValkey(ctx)
	if err != nil {
		return err
	}
	defer valkey.Close()

	progress("starting the stand-in for Clerk")
	clerk, running, err := startClerk(st, env("CLERK_ADDR", "127.0.0.1:8081"), "http://"+httpAddr)
	if err != nil {
		return err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, running.Close(bounded))
	}()

	settings, err := localSettings(st, clerk, running.APIURL(), pg.URL(databaseName), valkey.Addr(), httpAddr, opsAddr)
	if err != nil {
		return err
	}
	progress("starting the API")
	ready, cancel := context.WithCancel(ctx)
	defer cancel()
	go announce(ready, banner{API: "http://" + httpAddr, Ops: "http://" + opsAddr, Clerk: running.URL(), Server: clerk})
	err = service.Run(ctx, settings, service.Build{Version: "dev", Commit: "local"}, service.NewLogger(os.Stderr, settings))
	progress("stopping")
	return err
}

// startValkey runs a Valkey-compatible server in this process. Its keys expire
// only when told that time has passed.
func startValkey(ctx context.Context) (*miniredis.Miniredis, error) {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the in-process Valkey: %w", err)
	}
	go func() {
		const tick = 250 * time.Millisecond
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				server.FastForward(tick)
			}
		}
	}()
	return server, nil
}

func startClerk(st state, addr, apiURL string) (*clerkstandin.Server, *clerkstandin.Running, error) {
	clerk, err := st.standin(clerkstandin.Options{APIBaseURL: apiURL})
	if err != nil {
		return nil, nil, err
	}
	running, err := clerk.Start(addr)
	return clerk, running, err
}

// localSettings pass through the same strict rules as any. The environment is
// not read but for a few names: a DATABASE_URL of another project must not be
// migrated by accident.
func localSettings(st state, clerk *clerkstandin.Server, clerkAPI, databaseURL, valkeyAddr, httpAddr, opsAddr string) (*config.Settings, error) {
	secret, err := st.secretKey()
	if err != nil {
		return nil, err
	}
	environ := []string{
		"ENVIRONMENT=development", "SECRET_KEY=" + secret,
		"CLERK_SECRET_KEY=" + clerk.SecretKey(), "CLERK_PUBLISHABLE_KEY=" + clerk.PublishableKey(),
		"CLERK_ISSUER=" + clerk.Issuer(), "CLERK_API_URL=" + clerkAPI, "CLERK_AUTHORIZED_PARTIES=" + clerk.AuthorizedParty(),
		"DATABASE_URL=" + databaseURL, "MIGRATE_ON_START=true", "VALKEY_URL=redis://" + valkeyAddr + "/0", "SENTRY_DSN=disabled",
		"CORS_ALLOWED_ORIGINS=" + clerk.AuthorizedParty(), "HTTP_ADDR=" + httpAddr, "OPS_ADDR=" + opsAddr,
		"SHUTDOWN_DRAIN_DELAY=0s", "LOG_FORMAT=text", "LOG_LEVEL=info", "DISK_MIN_FREE_PERCENT=1",
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "OTEL_") { // a collector on this machine, say
			environ = append(environ, kv)
		}
		switch name {
		case "LOG_LEVEL", "LOG_FORMAT", "RATE_LIMIT_USER", "RATE_LIMIT_IP", "RATE_LIMIT_GLOBAL", "REQUEST_TIMEOUT", "CORS_ALLOWED_ORIGINS",
			"EVENTS_WEBHOOK_URLS", "EVENTS_WEBHOOK_SECRET", "EVENTS_STREAM":
			environ = append(environ, kv)
		}
	}
	return config.Load(config.Options{Environ: environ})
}

// addressesFree says in one line what stands in the way, before anything is started.
func addressesFree(ctx context.Context, addrs ...string) error {
	for _, addr := range addrs {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("%s cannot be used (%w): stop what listens there, or set HTTP_ADDR, OPS_ADDR or CLERK_ADDR", addr, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("try %s: %w", addr, err)
		}
	}
	return nil
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}
