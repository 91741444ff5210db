// Package rotation_test replaces each secret of the program under traffic, by
// the steps of the runbooks in docs/runbooks, and wants no request lost. Each
// rotation is made once more in one step, without the overlap: then requests
// must be lost, or the first test would prove nothing.
package rotation_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/deploy/database"
	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m, removeBuilt) }

const (
	rate     = 80 // requests a second
	replicas = 2
	newKey   = "nR4$wT8!kZ2&pL6#xV0*cB5^hJ9(dM3)fG7-sQ1=aY+eU@iO%rW~tE:bN"
)

// staged is a fleet under traffic.
type staged struct {
	t     *testing.T
	stage *drill.Stage
	fleet *drill.Fleet
	*callers
	settings drill.Settings // of the step that is in force
	owner    string         // URL of the owner of the tables
}

// stand makes everything, with the program running under the rights of deploy/database.
func stand(t *testing.T) *staged {
	t.Helper()
	t.Parallel()
	stage, err := drill.NewStage(t.Context(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, stage.Close) })
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	server := testservers.OwnPostgres(t)
	owner := server.URL("postgres")
	execute(t, owner, database.Roles, "ALTER ROLE profile_api_a LOGIN PASSWORD 'first'", "ALTER ROLE profile_api_b LOGIN PASSWORD 'second'")
	if _, err := drill.Command(t.Context(), binary, stage.Settings(owner), "migrate", "up"); err != nil {
		t.Fatal(err)
	}
	balancer, err := drill.NewBalancer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &staged{
		t: t, stage: stage, owner: owner, fleet: &drill.Fleet{Balancer: balancer, Binary: binary, Dir: stage.Dir()},
		settings: stage.Settings(as(t, owner, "profile_api_a", "first")),
	}
	t.Cleanup(func() { closing(t, s.fleet.Close) })
	if err := s.fleet.Grow(t.Context(), replicas, s.settings); err != nil {
		t.Fatal(err)
	}
	s.callers = newCallers(t, balancer.URL(), stage.Clerk)
	return s
}

// build compiles the program once for all tests.
var build = sync.OnceValues(func() (string, error) {
	process.SweepTempDirs(nil, builtPrefix) // of drills that failed or were killed
	dir, err := process.TempDir(nil, builtPrefix)
	if err != nil {
		return "", err
	}
	builtDir = dir
	return drill.Build(context.Background(), "../../..", dir+"/profile-api", "v0.0.0-rotation")
})

const builtPrefix = "profile-api-rotation"

var builtDir string // empty before build

// removeBuilt leaves what a failed drill ran to be looked at, until the next one.
func removeBuilt() error { return os.RemoveAll(builtDir) }

func closing(t *testing.T, closeIt func(context.Context) error) {
	t.Helper()
	if err := closeIt(context.Background()); err != nil {
		t.Error(err)
	}
}

// as is the URL with another user and password in it.
func as(t *testing.T, address, user, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func execute(t *testing.T, address string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// roll puts settings in force on all replicas, one after the other, and lets the traffic go on for a while.
func (s *staged) roll(pairs ...string) {
	s.t.Helper()
	s.settings = s.settings.With(pairs...)
	if err := s.fleet.Roll(s.t.Context(), s.settings); err != nil {
		s.t.Fatal(err)
	}
	s.linger()
}

func (s *staged) linger() { time.Sleep(500 * time.Millisecond) }

// underTraffic makes the steps while people call, and wants nothing lost.
func (s *staged) underTraffic(steps func()) {
	s.t.Helper()
	if r := s.traffic(steps); r.Lost > 0 || r.Sent < rate {
		s.t.Errorf("a rotation under traffic: %s", r)
	} else {
		s.t.Log(r)
	}
}

// losing makes the steps while people call, and wants the loss seen.
func (s *staged) losing(reason string, steps func()) {
	s.t.Helper()
	r := s.traffic(steps)
	for seen := range r.Reasons {
		if strings.Contains(seen, reason) {
			s.t.Log(r)
			return
		}
	}
	s.t.Errorf("without the overlap, no request was lost for the reason %q: %s", reason, r)
}

func (s *staged) traffic(steps func()) drill.Report {
	s.t.Helper()
	stop := drill.Traffic{Rate: rate, Call: s.do}.Start(s.t.Context())
	defer stop()
	s.linger()
	steps()
	s.linger()
	return stop()
}

func TestRotateSecretKey(t *testing.T) {
	s := stand(t)
	old := s.settings["SECRET_KEY"]
	s.underTraffic(func() {
		s.roll("SECRET_KEY_FALLBACKS", newKey)                    // all know the new one
		s.roll("SECRET_KEY", newKey, "SECRET_KEY_FALLBACKS", old) // all use it
	})
	s.roll("SECRET_KEY_FALLBACKS", "") // when nothing needs the old one any more
	path := "/v1/admin/audit-events?limit=2&cursor=" + s.cursor
	if err := s.call(t.Context(), "GET", path, s.admin(), "", nil, 400, nil); err != nil {
		t.Errorf("a cursor of the old key, after its end: %v", err)
	}
}

func TestRotateSecretKeyWithoutOverlap(t *testing.T) {
	s := stand(t)
	s.losing("a page: GET gets 400", func() { s.roll("SECRET_KEY", newKey) })
}

// Making the new key the current one at once, with the old one as the fallback,
// is not enough: replicas that have not been restarted know nothing of it.
func TestRotateSecretKeyInTwoSteps(t *testing.T) {
	s := stand(t)
	s.losing("a page: GET gets 400", func() {
		both := s.settings.With("SECRET_KEY", newKey, "SECRET_KEY_FALLBACKS", s.settings["SECRET_KEY"])
		if err := s.fleet.Grow(t.Context(), 1, both); err != nil {
			t.Fatal(err)
		}
		for range 4 { // cursors of the new replica come to the old ones
			s.linger()
		}
	})
}

func TestRotateClerkSecretKey(t *testing.T) {
	s := stand(t)
	fresh := "sk_live_" + rand.Text() + rand.Text()
	s.underTraffic(func() {
		s.clerk.SetSecretKeys(s.settings["CLERK_SECRET_KEY"], fresh) // a second key in Clerk's dashboard
		s.roll("CLERK_SECRET_KEY", fresh)
		s.clerk.SetSecretKeys(fresh) // the old one deleted
		s.linger()
	})
	// Another replica can fetch the key set, and so can those that run.
	if err := s.fleet.Grow(t.Context(), 1, s.settings); err != nil {
		t.Error(err)
	}
}

// With the old key deleted first, no replica that starts gets Clerk's key set any more.
func TestRotateClerkSecretKeyWithoutOverlap(t *testing.T) {
	s := stand(t)
	s.clerk.SetSecretKeys("sk_live_" + rand.Text())
	fetches := s.clerk.KeyFetches()
	r, err := drill.StartReplica(t.Context(), s.fleet.Binary, s.stage.Dir()+"/late.log", s.settings)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Kill() }()
	for s.clerk.KeyFetches() < fetches+3 { // a good key is taken at the first try
		time.Sleep(50 * time.Millisecond)
	}
	bounded, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if r.AwaitReady(bounded) == nil {
		t.Error("a replica with a deleted key has Clerk's key set")
	}
}

func TestRotateWebhookSecret(t *testing.T) {
	s := stand(t)
	fresh := "whsec_" + "cm90YXRlZC1yb3RhdGVkLXJvdGF0ZWQtcm90YXRlZA=="
	s.underTraffic(func() {
		s.roll("CLERK_WEBHOOK_SECRET", drill.WebhookSecret+","+fresh)
		s.signWith(fresh) // rotated in Clerk's dashboard
		s.linger()
		s.roll("CLERK_WEBHOOK_SECRET", fresh)
	})
}

func TestRotateWebhookSecretWithoutOverlap(t *testing.T) {
	s := stand(t)
	s.losing("a delivery: POST gets 400", func() {
		s.roll("CLERK_WEBHOOK_SECRET", "whsec_"+"cm90YXRlZC1yb3RhdGVkLXJvdGF0ZWQtcm90YXRlZA==")
	})
}

func TestRotateDatabaseCredentials(t *testing.T) {
	s := stand(t)
	s.underTraffic(func() {
		s.roll("DATABASE_URL", as(t, s.owner, "profile_api_b", "second"))
		s.lock("profile_api_a")
		s.linger()
	})
}

func TestRotateDatabaseCredentialsWithoutOverlap(t *testing.T) {
	s := stand(t)
	s.losing("gets 503", func() {
		s.lock("profile_api_a")
		s.linger()
	})
}

// lock keeps a role out: it cannot log in any more, and its connections end.
func (s *staged) lock(role string) {
	s.t.Helper()
	execute(s.t, s.owner, fmt.Sprintf("ALTER ROLE %s NOLOGIN PASSWORD NULL", role),
		fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%s'", role))
}
