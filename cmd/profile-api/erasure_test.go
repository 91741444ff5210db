package main_test

import (
	"context"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// identifiers are what may be found nowhere after an erasure.
var erasedIdentifiers = []string{
	"erased_handle", "earlier_handle", "erased@example.org", "Erased Name", "erased biography", "erased place", "erased.example", "erased label",
	"erased metadata", "erased app metadata", "erased reason",
}

// dump is the database as pg_dump writes it, with stored answers readable, and all of Valkey.
func (s *stack) dump(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	conn := connect(t, s.database)
	var bodies string
	scan(t, conn, &bodies, "SELECT coalesce(string_agg(convert_from(body, 'UTF8'), ' '), '') FROM idempotency_keys")
	all.WriteString(bodies)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "pg_dump", "--inserts", s.database).Output()
	if err != nil {
		t.Logf("no pg_dump (%v): reading the tables instead", err)
		var rows string
		scan(t, conn, &rows, `SELECT string_agg(query_to_xml('SELECT * FROM ' || quote_ident(table_name), true, false, '')::text, '')
			FROM information_schema.tables WHERE table_schema = current_schema()`)
		out = []byte(rows)
	}
	all.Write(out)
	all.WriteString(dumpValkey(ctx, t, s.settings["VALKEY_URL"]))
	return all.String()
}

// dumpValkey gives every key with its serialized value.
func dumpValkey(ctx context.Context, t *testing.T, address string) string {
	t.Helper()
	opts, err := redis.ParseURL(strings.Replace(address, "valkey://", "redis://", 1))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	var all strings.Builder
	keys := client.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		value, err := client.Dump(ctx, keys.Val()).Result()
		if err != nil {
			continue // it has just expired
		}
		all.WriteString(keys.Val() + " " + value + "\n")
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func found(dump string, identifiers []string) (list []string) {
	for _, i := range identifiers {
		if strings.Contains(dump, i) {
			list = append(list, i)
		}
	}
	return list
}

// Everything that a person can leave behind is there before the erasure and
// gone after it, also while Clerk is away; when Clerk is back the person goes there too.
func TestErasureLeavesNothing(t *testing.T) {
	parallel(t)
	s, a, b, admin := twoReplicas(t)
	token, userID := s.person(t)
	s.clerk.PutPerson(clerkstandin.Person{ID: userID, Username: "erased", CreatedAt: time.Now()})
	id := a.get(t, "/v1/profiles/me", token).profile(t).ID
	for _, body := range []string{
		`{"handle":"earlier_handle","display_name":"Erased Name","bio":"erased biography","location":"erased place","banner_url":"https://erased.example/b"}`,
		`{"handle":"erased_handle","links":[{"label":"erased label","url":"https://erased.example"}],"metadata":{"a":"erased metadata"}}`,
	} {
		b.patch(t, "/v1/profiles/me", token, body).profile(t)
	}
	conn := connect(t, s.database)
	if _, err := conn.Exec(context.Background(), "UPDATE profiles SET email = 'erased@example.org', avatar_url = 'https://erased.example/a' WHERE id = $1", id); err != nil {
		t.Fatal(err)
	}
	a.call(t, "PATCH", "/v1/admin/profiles/"+id, admin, `{"app_metadata":{"a":"erased app metadata"}}`, "Content-Type", "application/merge-patch+json")
	for _, step := range []string{"suspend", "reactivate"} {
		if r := a.post(t, "/v1/admin/profiles/"+id+"/"+step, admin, `{"reason":"erased reason"}`, "Idempotency-Key", step); r.status != 200 {
			t.Fatalf("%s: %d %s", step, r.status, r.body)
		}
	}
	// The suspension's stored answer has the reason; the handle before last is known by its hash alone.
	if missing := len(erasedIdentifiers) - 1 - len(found(s.dump(t), erasedIdentifiers)); missing != 0 {
		t.Errorf("%d identifiers are not there before: %v", missing, found(s.dump(t), erasedIdentifiers))
	}

	s.clerk.Break(clerkstandin.Fault{Status: 500})
	r := b.call(t, "DELETE", "/v1/profiles/me", token, "", "Idempotency-Key", "erase-"+url.QueryEscape(id))
	if r.status != 202 {
		t.Fatalf("erase: %d %s", r.status, r.body)
	}
	for _, p := range []*program{a, b} {
		p.get(t, "/v1/profiles/me", token).wantProblem(t, 401, "account-erased")
		p.get(t, "/v1/profiles/erased_handle", "").wantProblem(t, 404, "not-found")
		p.get(t, "/v1/admin/profiles/"+id, admin).wantProblem(t, 404, "not-found")
	}
	gone := append([]string{userID, strings.TrimPrefix(userID, "user_")}, erasedIdentifiers...)
	eventually(t, "the deletion was tried in vain", func() bool {
		return a.metrics(t).sum("jobs_finished_total", `kind="clerk_deletion"`)+b.metrics(t).sum("jobs_finished_total", `kind="clerk_deletion"`) > 0
	})
	if left := found(s.dump(t), gone); len(left) > 0 {
		t.Errorf("left behind while Clerk is away: %v", left)
	}
	s.clerk.Heal()
	eventually(t, "Clerk's own record is deleted", func() bool { _, there := s.clerk.Person(userID); return !there })
	eventually(t, "the sealed id is forgotten", func() bool {
		var n int
		scan(t, conn, &n, "SELECT count(*) FROM clerk_deletions")
		return n == 0
	})
	if left := found(s.dump(t), gone); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, p := range []*program{a, b} {
		if left := found(p.stdout.String(), gone); len(left) > 0 {
			t.Errorf("in the log: %v", left)
		}
	}
	// Late requests of every kind do not bring the person back.
	for range 5 {
		b.get(t, "/v1/profiles/me", token).wantProblem(t, 401, "account-erased")
		a.patch(t, "/v1/profiles/me", token, `{"bio":"x"}`).wantProblem(t, 401, "account-erased")
	}
	var n int
	if scan(t, conn, &n, "SELECT count(*) FROM profiles WHERE clerk_user_id = $1", userID); n != 0 {
		t.Error("the person was revived")
	}
}
