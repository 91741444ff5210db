package pglauncher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/profile-api/profile-api/internal/process"
)

// minMajor is the oldest major version worth starting: older ones get no fixes any more.
const minMajor = 14

// Programs is an installation of PostgreSQL's server programs.
type Programs struct {
	BinDir string
	Major  int
}

func (p Programs) path(name string) string { return filepath.Join(p.BinDir, name) }

// Find searches the machine for PostgreSQL's server programs: in binDir alone when that is not empty, else where pg_config points,
// along PATH, in Debian's, Red Hat's and Alpine's directories (the highest version first), Homebrew's and Postgres.app's. An
// installation counts when it holds initdb and postgres, its share files are in place and it is not older than version 14.
// The error wraps ErrNoPrograms and lists what was rejected and why.
func Find(ctx context.Context, binDir string) (Programs, error) {
	account, err := account()
	if err != nil {
		return Programs{}, err
	}
	dirs := []string{binDir}
	if binDir == "" {
		dirs = candidates(ctx)
	}
	var rejected []string
	for _, dir := range dirs {
		found, err := inspect(ctx, account, dir)
		if err == nil {
			return found, nil
		}
		if binDir != "" || !errors.Is(err, os.ErrNotExist) {
			rejected = append(rejected, err.Error())
		}
	}
	return Programs{}, missing(rejected)
}

func missing(rejected []string) error {
	var why string
	if len(rejected) > 0 {
		why = " (rejected: " + strings.Join(rejected, "; ") + ")"
	}
	return fmt.Errorf("%w%s. %s", ErrNoPrograms, why, remedy())
}

func remedy() string {
	const other = "or put the directory that holds initdb and postgres into PATH"
	switch runtime.GOOS {
	case "darwin":
		return "Install them with `brew install postgresql@17` or from https://postgresapp.com, " + other
	case "linux":
		return "Install them with `apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora, Red Hat), " +
			"`apk add postgresql` (Alpine) or `pacman -S postgresql` (Arch), " + other
	default:
		return "Install PostgreSQL from https://www.postgresql.org/download/, " + other
	}
}

func candidates(ctx context.Context) []string {
	var dirs []string
	if pgConfig, ok := process.Find("pg_config"); ok {
		if out, err := process.Run(ctx, nil, "/", pgConfig, "--bindir"); err == nil {
			dirs = append(dirs, strings.TrimSpace(out))
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		// A link in PATH leads to the directory that has the other program and knows its share files.
		if program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil && filepath.IsAbs(program) {
			dirs = append(dirs, filepath.Dir(program))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs = append(dirs, highestFirst(pattern)...)
	}
	return dirs
}

var number = regexp.MustCompile(`\d+`)

func highestFirst(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(number.FindString(dir)) // none counts as 0
		return n
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

// inspect returns an error that is os.ErrNotExist when there is simply nothing in the directory.
func inspect(ctx context.Context, account *process.Account, dir string) (Programs, error) {
	found := Programs{BinDir: dir}
	for _, name := range []string{"postgres", "initdb"} {
		if !process.Executable(found.path(name)) {
			return Programs{}, fmt.Errorf("%s has no program %s: %w", dir, name, os.ErrNotExist)
		}
	}
	if err := account.CanEnter(dir); err != nil {
		return Programs{}, fmt.Errorf("%s: %w", dir, err)
	}
	out, err := process.Run(ctx, account, "/", found.path("postgres"), "--version")
	if err != nil {
		return Programs{}, err
	}
	match := versionLine.FindStringSubmatch(out)
	if match == nil {
		return Programs{}, fmt.Errorf("%s: cannot make out the version in %q", found.path("postgres"), strings.TrimSpace(out))
	}
	found.Major, _ = strconv.Atoi(match[1]) // digits, by the expression
	if found.Major < minMajor {
		return Programs{}, fmt.Errorf("%s is version %d, and %d is the oldest that will do", dir, found.Major, minMajor)
	}
	return found, checkShare(ctx, account, found)
}

// checkShare sees to it that initdb has the files it makes a database from: a client-only or half-removed package lacks them.
func checkShare(ctx context.Context, account *process.Account, found Programs) error {
	out, err := process.Run(ctx, account, "/", found.path("initdb"), "--show", "--pgdata=/nonexistent")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if bki, ok := strings.CutPrefix(strings.TrimSpace(line), "POSTGRES_BKI="); ok {
			if _, err := os.Stat(bki); err != nil {
				return fmt.Errorf("%s: the share files are incomplete: no %s", found.BinDir, bki)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: initdb does not say where its share files are", found.BinDir)
}
