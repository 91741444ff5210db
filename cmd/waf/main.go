// Command waf is a web application firewall to stand in front of profile-api: a
// reverse proxy that judges each request by the OWASP Core Rule Set (ADR 25). It
// holds no secret and no state, and may run as often as is needed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/config"
)

// The build sets these; see the Makefile.
var (
	version = "dev"
	commit  = "unknown"
)

const usage = `waf: the web application firewall in front of profile-api

  waf serve         run it
  waf healthcheck   ask the operators' listener's /health/live; exit 0 when it lives
  waf version       version, commit and Go version

Settings come from the environment: WAF_UPSTREAM and the others of the README.
`

var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "waf:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	switch args[0] {
	case "serve":
		s, err := config.LoadFirewall(config.Options{})
		if err != nil {
			return err
		}
		log := slog.New(slog.NewJSONHandler(out, nil))
		defer httpserver.IgnoreHangups(ctx, log)()
		return serve(ctx, s, log)
	case "healthcheck":
		return healthcheck(ctx)
	case "version":
		_, err := fmt.Fprintf(out, "waf %s\ncommit %s\n%s\n", version, commit, runtime.Version())
		return err
	case "help", "-h", "--help":
		_, err := fmt.Fprint(out, usage)
		return err
	}
	return errUsage
}

// healthcheck asks the operators' listener, which answers whether or not the
// API does: a firewall is not to be restarted because the API is away.
func healthcheck(ctx context.Context) error {
	s, err := config.LoadFirewall(config.Options{})
	if err != nil {
		return err
	}
	return httpserver.Live(ctx, s.OpsAddr)
}
