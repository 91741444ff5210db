// Command profile-api is the production program: the server and the few
// commands that operators need beside it. It holds no stand-in, no test key and
// no insecure default.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // IANA names must be known in an image without a zone database
)

// The build sets these; see the Makefile.
var (
	version = "dev"
	commit  = "unknown"
)

const usage = `profile-api: user profiles behind Clerk sign-in

  profile-api serve                    run the server
  profile-api migrate up|down|status   change or show the schema; down goes back one step
  profile-api webhooks list [--state STATE] [--json]
                                       show Clerk's deliveries: received, failed, applied, ignored or dead
  profile-api webhooks replay ID...    apply deliveries again; --dead: all that are dead
  profile-api webhooks dismiss --reason REASON ID...
                                       end dead deliveries for good; REASON: inapplicable, unopenable, reconciled or test
  profile-api reconcile [--dry-run] [--force] [--json]
                                       walk through Clerk's users and repair missing, stale and vanished profiles;
                                       --dry-run changes nothing, --force erases however many have vanished;
                                       run again it goes on where it broke off; exit 0 when all are in step
  profile-api config [--json]          show each setting with its source, secrets masked; exit 1 on a fault
  profile-api doctor [--json]          check the deployment: settings, database, Valkey, Clerk, clocks, backlog, disk;
                                       pass, warn or fail with the remedy; exit 1 when a check fails
  profile-api healthcheck              ask the local server's /health/live; exit 0 when it lives
  profile-api version                  version, commit and Go version

Settings come from the environment and the YAML file in CONFIG_FILE.
`

// errUsage is a command line that cannot be understood.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "profile-api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	command, rest := args[0], args[1:]
	switch {
	case command == "serve" && len(rest) == 0:
		return serve(ctx)
	case command == "migrate" && len(rest) == 1:
		return migrate(ctx, os.Stdout, rest[0])
	case command == "webhooks":
		return webhooks(ctx, os.Stdout, rest)
	case command == "reconcile":
		return reconcile(ctx, os.Stdout, rest)
	case command == "config":
		return showConfig(os.Stdout, rest)
	case command == "doctor":
		return diagnose(ctx, os.Stdout, rest)
	case command == "healthcheck" && len(rest) == 0:
		return healthcheck(ctx)
	case command == "version" && len(rest) == 0:
		return showVersion(os.Stdout)
	case command == "help", command == "-h", command == "--help":
		_, err := fmt.Print(usage)
		return err
	}
	return errUsage
}
