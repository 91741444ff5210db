package main_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// The types that openapi-typescript makes of the document compile, and calls
// through them find the running program to be as they say.
func TestTheTypeScriptClient(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("not run: there is no %s on this machine", tool)
		}
	}
	dir := copyClient(t)
	if out, err := npm(dir, nil, "ci", "--no-audit", "--no-fund"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		t.Skipf("not run: npm ci failed, and CI is not true: %v\n%s", err, tail(out))
	}
	parallel(t)
	s := newStack(t)
	p := s.replica(t)
	token, _ := s.person(t)
	admin := s.clerk.Mint(clerkstandin.WithUser(newUserID()), clerkstandin.WithRole("admin"))
	out, err := npm(dir, []string{"API_URL=http://" + p.api, "TOKEN=" + token, "ADMIN_TOKEN=" + admin}, "run", "smoke")
	if err != nil {
		t.Errorf("npm run smoke: %v\n%s", err, tail(out))
	}
}

// copyClient copies docs/client and the document, so that nothing is written into the tree.
func copyClient(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "client")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"openapi.yaml", "client/package.json", "client/package-lock.json", "client/tsconfig.json", "client/smoke.ts"} {
		b, err := os.ReadFile(filepath.Join("../../docs", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(root, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func npm(dir string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), errors.Join(err, ctx.Err())
}
