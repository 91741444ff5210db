package main_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/migrationlint"
	"github.com/profile-api/profile-api/internal/testservers"
)

// nextExpand is what a later release may bring: each kind of step that the lint lets pass.
const nextExpand = `-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '3s';
ALTER TABLE profiles ADD COLUMN pronouns text, ADD COLUMN pinned boolean NOT NULL DEFAULT false;
ALTER TABLE webhook_deliveries ADD COLUMN note text;
CREATE TABLE badges (profile_id uuid PRIMARY KEY, label text NOT NULL);
DROP INDEX CONCURRENTLY IF EXISTS profiles_pronouns_idx;
CREATE INDEX CONCURRENTLY profiles_pronouns_idx ON profiles (pronouns);
ALTER TABLE profiles ADD CONSTRAINT profiles_pronouns_check CHECK (char_length(pronouns) <= 40) NOT VALID;
ALTER TABLE profiles VALIDATE CONSTRAINT profiles_pronouns_check;
-- +goose Down
`

// previous builds the program of the last release once, with the same flags as
// ours, so that only its own packages need compiling. missing says why it cannot be had.
var previous = sync.OnceValues(func() (path, missing string) {
	list, err := os.ReadFile("../../deploy/releases/list")
	if err != nil {
		return "", err.Error()
	}
	releases := migrationlint.Releases(string(list))
	commit := releases[len(releases)-1]
	if err := exec.Command("git", "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		return "", "not run: this clone has not the commit " + commit + " of the last release"
	}
	self, err := os.Executable()
	if err != nil {
		return "", err.Error()
	}
	src := filepath.Join(filepath.Dir(self), fmt.Sprintf("previous-%d", os.Getpid()))
	path = filepath.Join(src, "profile-api-previous")
	script := `set -e; mkdir "$1"; git -C ../.. archive "$2" >"$1/tree.tar"; cd "$1"; tar xf tree.tar; go build $3 -buildvcs=false -o "$4" ./cmd/profile-api`
	race := ""
	if cgo() {
		race = "-race"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", src, commit, race, path).CombinedOutput(); err != nil {
		return "", fmt.Sprintf("build the previous release: %v\n%s", err, out)
	}
	return path, ""
})

func previousRelease(t *testing.T) string {
	t.Helper()
	path, missing := previous()
	if strings.HasPrefix(missing, "not run") {
		t.Skip(missing)
	}
	if path == "" {
		t.Fatal(missing)
	}
	return path
}

// The program that a rollback goes back to works on this tree's schema and on one
// step further, alone and beside ours, on one database and one Valkey.
func TestThePreviousReleaseWorksOnTheNewSchema(t *testing.T) {
	parallel(t)
	path := previousRelease(t)
	s := newStack(t)
	conn := connect(t, s.database)
	applyNext(t, conn)
	ours, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	deliveredByOneAppliedByTheOther(t, s, conn, path, ours)
	deliveredByOneAppliedByTheOther(t, s, conn, ours, path)
	older := startFrom(t, path, s.settings)
	older.awaitReady(t)
	newer := s.replica(t)
	for _, pair := range [][2]*program{{older, older}, {older, newer}, {newer, older}} {
		oneLife(t, s, conn, pair[0], pair[1])
	}
	// For its commands, too, nothing is pending.
	r, err := runCommand(path, s.settings, "migrate", "up")
	if err != nil || r.status != 0 || !strings.Contains(r.stdout, "the schema is current") {
		t.Errorf("the previous release's migrate up: %v, %d, %s%s", err, r.status, r.stdout, r.stderr)
	}
}

// applyNext judges the step by the lint and has goose run it, under a version that no program knows.
func applyNext(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	found, err := migrationlint.Source(nextExpand, nil)
	if err != nil || len(found) > 0 {
		t.Fatalf("the step is no expand step: %v, %v", found, err)
	}
	db, err := sql.Open("pgx", conn.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	files := fstest.MapFS{"99999_next.sql": {Data: []byte(nextExpand)}}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if applied, err := provider.Up(t.Context()); err != nil || len(applied) != 1 {
		t.Fatalf("%v: %v", applied, err)
	}
}

// oneLife is a person's life: what the first replica writes the second one reads, and the other way round.
func oneLife(t *testing.T, s *stack, conn *pgx.Conn, a, b *program) {
	t.Helper()
	token, id := s.person(t)
	admin := s.clerk.Mint(clerkstandin.WithUser(newUserID()), clerkstandin.WithRole("admin"))
	made := a.get(t, "/v1/profiles/me", token).profile(t)
	if r := b.patch(t, "/v1/profiles/me", token, `{"bio":"written by the one","metadata":{"n":1}}`); r.status != http.StatusOK {
		t.Errorf("patch: %d %s", r.status, r.body)
	}
	if r := a.get(t, "/v1/profiles/me", token); r.field(t, "bio") != "written by the one" || r.profile(t).ID != made.ID {
		t.Errorf("read by the other: %s", r.body)
	}
	if r := a.get(t, "/v1/profiles/"+made.Handle, ""); r.status != http.StatusOK {
		t.Errorf("the public view: %d %s", r.status, r.body)
	}
	if r := b.get(t, "/v1/admin/profiles?q="+id, admin); r.status != http.StatusOK || !bytes.Contains(r.body, []byte(made.ID)) {
		t.Errorf("the list: %d %s", r.status, r.body)
	}
	if r := a.post(t, "/v1/admin/profiles/"+made.ID+"/suspend", admin, `{"reason":"abuse"}`); r.status != http.StatusOK {
		t.Errorf("suspend: %d %s", r.status, r.body)
	}
	b.get(t, "/v1/profiles/me", token).wantProblem(t, 403, "account-suspended")
	if r := b.post(t, "/v1/admin/profiles/"+made.ID+"/reactivate", admin, ""); r.status != http.StatusOK {
		t.Errorf("reactivate: %d %s", r.status, r.body)
	}
	if r := a.call(t, http.MethodDelete, "/v1/profiles/me", token, "", "Idempotency-Key", id); r.status != http.StatusAccepted {
		t.Errorf("erase: %d %s", r.status, r.body)
	}
	if r := b.call(t, http.MethodDelete, "/v1/profiles/me", token, "", "Idempotency-Key", id); r.status != http.StatusAccepted {
		t.Errorf("the repeat at the other: %d %s", r.status, r.body)
	}
	b.get(t, "/v1/profiles/me", token).wantProblem(t, 401, "account-erased")
	if n := profilesOf(t, conn, id); n != 0 {
		t.Errorf("%d profiles are left", n)
	}
}

// deliveredByOneAppliedByTheOther has a replica of the first build take a delivery
// while it drains, when it runs no jobs any more, and starts one of the second when it has ended.
func deliveredByOneAppliedByTheOther(t *testing.T, s *stack, conn *pgx.Conn, taker, applier string) {
	t.Helper()
	a := startFrom(t, taker, s.with("SHUTDOWN_DRAIN_DELAY", "4s"))
	a.awaitReady(t)
	a.signal(t, syscall.SIGTERM)
	eventually(t, "it drains", func() bool { _, ok := a.line("draining"); return ok })
	m := member()
	a.wantTaken(t, "msg_"+m.ID, "queued", clerkstandin.Event("user.created", m, time.Now()))
	a.wait(t)
	if state := delivered(t, conn, "msg_"+m.ID); state != "received" {
		t.Errorf("the taker left the delivery %s", state)
	}
	b := startFrom(t, applier, s.settings)
	eventually(t, "the other applies it", func() bool { return delivered(t, conn, "msg_"+m.ID) == "applied" })
	if n := profilesOf(t, conn, m.ID); n != 1 {
		t.Errorf("%d profiles", n)
	}
	b.stop(t)
}

// Ours, started before its migration has run, waits for it.
func TestTheNewProgramWaitsForItsSchema(t *testing.T) {
	parallel(t)
	s := stackOn(t, reachable(t, testservers.Database(t)), testservers.Valkey(t))
	path := previousRelease(t)
	if r, err := runCommand(path, s.settings, "migrate", "up"); err != nil || r.status != 0 {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	conn := connect(t, s.database)
	// The last step of the old schema counts as not there yet, so that there is one to wait for.
	if r, err := runCommand(path, s.settings, "migrate", "down"); err != nil || r.status != 0 {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	p := start(t, s.settings)
	eventually(t, "not ready for want of the migration", func() bool {
		r := p.get(t, "/health/ready", "")
		return r.status == http.StatusServiceUnavailable && r.field(t, "reason") == "migrations"
	})
	if r := command(t, s.settings, "migrate", "up"); r.status != 0 {
		t.Fatalf("migrate up: %s%s", r.stdout, r.stderr)
	}
	p.awaitReady(t)
	oneLife(t, s, conn, p, p)
}
