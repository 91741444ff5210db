package main_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/testservers"
)

// The program starts with nothing around it, says so, and takes traffic by
// itself as soon as each dependency has come.
func TestStartsAloneAndBecomesReadyByItself(t *testing.T) {
	parallel(t)
	ctx := context.Background()
	postgres, valkey := testservers.OwnPostgres(t), testservers.OwnValkey(t)
	if err := postgres.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := valkey.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	clerk, clerkAddr := newClerk(t), freeAddr(t)
	s := &stack{clerk: clerk, settings: production(postgres.URL("postgres"), valkey.URL(), "http://"+clerkAddr+"/v1")}
	p := start(t, s.settings)
	token, id := s.person(t)
	up := func(dependency string) bool {
		return p.metrics(t).value(`dependency_up{dependency="`+dependency+`"}`) == 1
	}
	ready := func() reply { return p.get(t, "/health/ready", "") }

	// Nothing is there.
	if r := p.get(t, "/health/live", ""); r.status != http.StatusOK {
		t.Errorf("live is %d", r.status)
	}
	if r := ready(); r.status != http.StatusServiceUnavailable || r.field(t, "reason") != "database" {
		t.Errorf("ready is %d: %s", r.status, r.body)
	}
	if r := p.get(t, "/health", ""); r.status != http.StatusServiceUnavailable || r.field(t, "status") != "unhealthy" {
		t.Errorf("health is %d: %s", r.status, r.body)
	}
	if up("database") || up("cache") || up("clerk") {
		t.Error("a dependency counts as there that is not")
	}
	p.get(t, "/v1/profiles/me", token).wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	p.get(t, "/v1/profiles/nobody_1", "").wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	p.get(t, "/v1/profiles/me", "").wantProblem(t, http.StatusUnauthorized, "unauthenticated")

	// Clerk comes: tokens can be judged, profiles are still away.
	startClerk(t, clerk, clerkAddr)
	eventually(t, "the keys were fetched", func() bool { return up("clerk") })
	p.get(t, "/v1/profiles/me", "not.a.token").wantProblem(t, http.StatusUnauthorized, "unauthenticated")
	p.get(t, "/v1/profiles/me", token).wantProblem(t, http.StatusServiceUnavailable, "unavailable")

	// Valkey comes.
	if err := valkey.Start(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cache is found", func() bool { return up("cache") })

	// PostgreSQL comes, without a schema: serve never migrates by itself.
	if err := postgres.Start(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the database is found", func() bool { return up("database") })
	if r := ready(); r.status != http.StatusServiceUnavailable || r.field(t, "reason") != "migrations" {
		t.Errorf("with a migration pending, ready is %d: %s", r.status, r.body)
	}
	p.get(t, "/v1/profiles/me", token).wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	var migrated bool
	scan(t, connect(t, s.settings["DATABASE_URL"]), &migrated, "SELECT to_regclass('profiles') IS NOT NULL")
	if migrated {
		t.Fatal("serve has migrated without being told to")
	}

	// Somebody else migrates.
	if r := command(t, s.settings, "migrate", "up"); r.status != 0 {
		t.Fatalf("migrate up: %d, %s", r.status, r.stderr)
	}
	eventually(t, "ready", func() bool { return ready().status == http.StatusOK })
	r := p.get(t, "/v1/profiles/me", token)
	if r.status != http.StatusOK || r.field(t, "clerk_user_id") != id {
		t.Errorf("at last, me is %d: %s", r.status, r.body)
	}
	if r := p.get(t, "/health", ""); r.status != http.StatusOK || strings.Contains(string(r.body), "127.0.0.1") {
		t.Errorf("health is %d: %s", r.status, r.body)
	}

	// A lost cache alone takes no traffic away.
	if err := valkey.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lost cache degrades", func() bool {
		r := ready()
		return r.status == http.StatusOK && r.field(t, "status") == "degraded"
	})
	if r := p.get(t, "/health", ""); r.status != http.StatusServiceUnavailable {
		t.Errorf("without the cache, health is %d: %s", r.status, r.body)
	}
}

// Two replicas that may migrate start on an empty database at once.
func TestMigrateOnStart(t *testing.T) {
	parallel(t)
	s := stackOn(t, reachable(t, testservers.Database(t)), testservers.Valkey(t))
	one := start(t, s.with("MIGRATE_ON_START", "true"))
	two := start(t, s.with("MIGRATE_ON_START", "true"))
	one.awaitReady(t)
	two.awaitReady(t)
	token, _ := s.person(t)
	for _, p := range []*program{one, two} {
		if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
			t.Errorf("me is %d: %s", r.status, r.body)
		}
	}
}

// A database that crashes and comes back, and one that is restarted under
// load, cost 503s and nothing else: no restart of ours.
func TestDatabaseCrashAndRestart(t *testing.T) {
	parallel(t)
	ctx := context.Background()
	postgres := testservers.OwnPostgres(t)
	s := stackOn(t, postgres.URL("postgres"), testservers.Valkey(t))
	if r := command(t, s.settings, "migrate", "up"); r.status != 0 {
		t.Fatalf("migrate up: %d, %s", r.status, r.stderr)
	}
	p := s.replica(t)
	token, _ := s.person(t)
	me := func() reply { return p.get(t, "/v1/profiles/me", token) }
	first := me()
	if first.status != http.StatusOK {
		t.Fatalf("me is %d: %s", first.status, first.body)
	}

	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		me().wantProblem(t, http.StatusServiceUnavailable, "unavailable")
		p.patch(t, "/v1/profiles/me", token, `{"bio":"lost"}`).wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	}
	eventually(t, "health notices", func() bool { return p.get(t, "/health", "").status == http.StatusServiceUnavailable })
	if r := p.get(t, "/health/ready", ""); r.status != http.StatusServiceUnavailable || r.field(t, "reason") != "database" {
		t.Errorf("ready is %d: %s", r.status, r.body)
	}
	if r := p.get(t, "/health/live", ""); r.status != http.StatusOK {
		t.Errorf("live is %d", r.status)
	}
	if err := postgres.Start(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "me works again", func() bool { return me().status == http.StatusOK })
	eventually(t, "ready again", func() bool { return p.get(t, "/health/ready", "").status == http.StatusOK })
	if r := me(); r.field(t, "id") != first.field(t, "id") {
		t.Errorf("after the crash me is another: %s", r.body)
	}

	// A restart in the middle of traffic.
	restarted, statuses := make(chan error, 1), map[int]int{}
	go func() { restarted <- postgres.Restart(ctx) }()
	for over := false; !over; {
		select {
		case err := <-restarted:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
			r := me()
			statuses[r.status]++
			if r.status != http.StatusOK {
				r.wantProblem(t, http.StatusServiceUnavailable, "unavailable")
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Logf("statuses during the restart: %v", statuses)
	eventually(t, "me works after the restart", func() bool { return me().status == http.StatusOK })
}
