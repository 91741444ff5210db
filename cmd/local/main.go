// Command local is the zero set-up stack: the production server with an embedded
// PostgreSQL, an in-process Valkey-compatible server and a stand-in for Clerk,
// all on loopback. It is a program of its own so that the stand-in can never be
// part of a production build.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // IANA names must be known on a machine without a zone database
)

const usage = `local: profile-api with everything it needs, on this machine alone

  go run ./cmd/local               start PostgreSQL, Valkey, the stand-in for Clerk and the API; Ctrl-C stops all
  go run ./cmd/local token NAME    print a fresh session token for ada (admin), grace, alan or barbara
  go run ./cmd/local seed N        add N made-up profiles to the stack's database, whether or not the stack runs
  go run ./cmd/local clerk         only the stand-in for Clerk (docker compose uses it)

seed takes, before N: --database URL for another database, whose schema is current (a DATABASE_URL in the
environment is ignored; a password may come from PGPASSWORD or ~/.pgpass); --seed NUMBER for other people;
--rebuild-indexes to drop the indexes meanwhile, which is faster and only for a database that nobody uses.

PROFILE_API_LOCAL_DIR holds the data (default: your own data directory).
HTTP_ADDR, OPS_ADDR and CLERK_ADDR move the listeners, LOG_LEVEL and RATE_LIMIT_* tune the API.
`

var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return runStack(ctx)
	case len(args) == 2 && args[0] == "token":
		return printToken(os.Stdout, strings.ToLower(args[1]))
	case len(args) == 1 && args[0] == "clerk":
		return runClerk(ctx)
	case len(args) >= 2 && args[0] == "seed":
		return runSeed(ctx, args[1:])
	}
	return errUsage
}
