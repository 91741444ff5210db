package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/testservers"
)

// The database is seeded while nothing runs, and again while the stack runs,
// whose admin then finds the people of both.
func TestSeedFillsTheStacksDatabase(t *testing.T) {
	env := append(stackEnv(t), "DATABASE_URL=postgres://nobody@127.0.0.1:1/elsewhere") // a flag alone may name another database
	if r := runLocal(t, env, "seed", "150"); r.code != 0 || !strings.HasPrefix(r.stdout, "150 profiles") || strings.Contains(r.stderr, "\r") {
		t.Fatalf("status %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	s := startStack(t, env)
	if n := seededPeople(t, s); n != 150 {
		t.Errorf("the API finds %d of the people, want 150", n)
	}
	r := runLocal(t, env, "seed", "--seed", "2", "30")
	if r.code != 0 || !strings.Contains(r.stderr, "stack that is running") || !strings.Contains(r.stderr, "100 %") {
		t.Fatalf("status %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if n := seededPeople(t, s); n != 180 {
		t.Errorf("the API finds %d of the people, want 180", n)
	}
}

func TestSeedIntoAnotherDatabaseAsksForItsSchema(t *testing.T) {
	env := append(stackEnv(t), "PGCONNECT_TIMEOUT=10")
	address := testservers.OwnPostgres(t).URL("postgres")
	r := runLocal(t, env, "seed", "--database", address, "10")
	if r.code != 1 || !strings.Contains(r.stderr, "migrate up") || r.stdout != "" {
		t.Errorf("status %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if entries, err := os.ReadDir(filepath.Join(envValue(env, "PROFILE_API_LOCAL_DIR"), "postgres")); err == nil {
		t.Errorf("the stack's own PostgreSQL was touched: %v", entries)
	}
}

func TestSeedRefusesNonsense(t *testing.T) {
	env := stackEnv(t)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"seed"}, 2}, {[]string{"seed", "1", "2"}, 2}, {[]string{"seed", "--fast", "1"}, 2},
		{[]string{"seed", "many"}, 1}, {[]string{"seed", "0"}, 1}, {[]string{"seed", "100000001"}, 1},
	} {
		if r := runLocal(t, env, c.args...); r.code != c.code || r.stdout != "" || r.stderr == "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", c.args, r.code, r.stdout, r.stderr)
		}
	}
}

// seededPeople asks the API, as an admin, page by page.
func seededPeople(t *testing.T, s *stack) (n int) {
	t.Helper()
	for cursor := ""; ; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.api()+"/v1/admin/profiles?limit=100"+cursor, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.curlToken(t))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Data []struct {
				ClerkUserID string `json:"clerk_user_id"`
			} `json:"data"`
			NextCursor string `json:"next_cursor"`
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%d, %v", res.StatusCode, err)
		}
		for _, p := range page.Data {
			if strings.HasPrefix(p.ClerkUserID, "user_seed_") {
				n++
			}
		}
		if page.NextCursor == "" {
			return n
		}
		cursor = "&cursor=" + url.QueryEscape(page.NextCursor)
	}
}
