package main_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/testservers"
)

// crowd sends n requests at once, in turn to each replica.
func crowd(t *testing.T, n int, replicas []*program, path, token string) []reply {
	t.Helper()
	replies := make([]reply, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			var err error
			if replies[i], err = replicas[i%len(replicas)].try(http.MethodGet, path, token, ""); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	close(begin)
	wg.Wait()
	return replies
}

func count(replies []reply, status int) int {
	n := 0
	for _, r := range replies {
		if r.status == status {
			n++
		}
	}
	return n
}

// A hundred first requests of one person, on two replicas: one profile, and none fails.
// The first round meets pools without a single connection.
func TestFirstRequestsAtOnceMakeOneProfile(t *testing.T) {
	parallel(t)
	s := newStack(t)
	replicas := []*program{s.replica(t), s.replica(t)}
	conn := connect(t, s.database)
	for range 3 {
		token, id := s.person(t)
		replies := crowd(t, 100, replicas, "/v1/profiles/me", token)
		seen := map[any]int{}
		for _, r := range replies {
			seen[fmt.Sprint(r.status, " ", r.field(t, "code"), " ", r.field(t, "id"))]++
		}
		if len(seen) != 1 || count(replies, http.StatusOK) != len(replies) {
			t.Errorf("the answers, as status, code and id, are %v", seen)
		}
		for table, sql := range map[string]string{
			"profiles":     "SELECT count(*) FROM profiles WHERE clerk_user_id = $1",
			"preferences":  "SELECT count(*) FROM preferences JOIN profiles ON profiles.id = profile_id WHERE clerk_user_id = $1",
			"audit_events": "SELECT count(*) FROM audit_events JOIN profiles ON profiles.id = profile_id WHERE clerk_user_id = $1 AND action = 'profile.created'",
		} {
			var n int
			if scan(t, conn, &n, sql, id); n != 1 {
				t.Errorf("%s has %d rows of the person, want 1", table, n)
			}
		}
	}
	for _, p := range replicas {
		p.stop(t) // sessions hand their statistics in when they end
	}
	var deadlocks, rolledBack int
	scan(t, conn, &deadlocks, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
	scan(t, conn, &rolledBack, "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()")
	if deadlocks != 0 {
		t.Errorf("there were %d deadlocks", deadlocks)
	}
	t.Logf("%d transactions were rolled back", rolledBack)
}

// local counts decisions that a replica made alone.
func local(t *testing.T, replicas []*program) float64 {
	t.Helper()
	n := 0.0
	for _, p := range replicas {
		n += p.metrics(t).sum("rate_limit_decisions_total", "_local")
	}
	return n
}

// shared sends 60 requests of a new person at once and expects exactly quota
// of them to pass. Only a round in which no replica decided alone says
// something: on a machine that is busy enough, Valkey answers too late.
func shared(t *testing.T, s *stack, replicas []*program, quota int) {
	t.Helper()
	eventually(t, "a round in which all replicas use the shared counts", func() bool {
		token, _ := s.person(t)
		before := local(t, replicas)
		replies := crowd(t, 60, replicas, "/v1/profiles/me", token)
		if local(t, replicas) != before {
			time.Sleep(500 * time.Millisecond)
			return false
		}
		if passed, refused := count(replies, http.StatusOK), count(replies, http.StatusTooManyRequests); passed != quota || refused != 60-quota {
			t.Errorf("of 60 at once, %d passed and %d were refused; want %d and %d", passed, refused, quota, 60-quota)
		}
		for _, r := range replies {
			wantRateHeaders(t, r, "user", quota, 3600)
		}
		return true
	})
}

var rateField = regexp.MustCompile(`^"([a-z]+)";r=([0-9]+);t=([0-9]+)$`)

func wantRateHeaders(t *testing.T, r reply, policy string, quota, window int) {
	t.Helper()
	wantPolicy := strconv.Quote(policy) + ";q=" + strconv.Itoa(quota) + ";w=" + strconv.Itoa(window)
	m := rateField.FindStringSubmatch(r.header.Get("RateLimit"))
	if r.header.Get("RateLimit-Policy") != wantPolicy || m == nil || m[1] != policy {
		t.Errorf("RateLimit-Policy is %q and RateLimit %q, want %q", r.header.Get("RateLimit-Policy"), r.header.Get("RateLimit"), wantPolicy)
		return
	}
	if r.header.Get("X-RateLimit-Limit") != strconv.Itoa(quota) || r.header.Get("X-RateLimit-Remaining") != m[2] {
		t.Errorf("X-RateLimit-Limit is %q and -Remaining %q", r.header.Get("X-RateLimit-Limit"), r.header.Get("X-RateLimit-Remaining"))
	}
	reset, err := strconv.ParseInt(r.header.Get("X-RateLimit-Reset"), 10, 64)
	now := time.Now().Unix()
	if err != nil || reset < now-int64(patience.Seconds()) || reset > now+int64(window)+1 {
		t.Errorf("X-RateLimit-Reset is %q at %d", r.header.Get("X-RateLimit-Reset"), now)
	}
	if r.status == http.StatusTooManyRequests {
		r.wantProblem(t, http.StatusTooManyRequests, "rate-limited")
		if wait, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || wait < 1 || wait > window {
			t.Errorf("Retry-After is %q", r.header.Get("Retry-After"))
		}
		if m[2] != "0" {
			t.Errorf("a refused request is told that %s remain", m[2])
		}
	}
}

func TestReplicasShareTheLimits(t *testing.T) {
	parallel(t)
	s := newStack(t)
	limits := []string{"RATE_LIMIT_USER", "20/1h", "RATE_LIMIT_IP", "10/1h"}
	replicas := []*program{s.replica(t, limits...), s.replica(t, limits...)}
	shared(t, s, replicas, 20)

	// Whoever guesses tokens counts under the address, on all replicas together.
	replies := make([]reply, 16)
	for i := range replies {
		replies[i] = replicas[i%2].get(t, "/v1/profiles/me", "guess."+strconv.Itoa(i)+".x")
	}
	if local(t, replicas) == 0 {
		if n := count(replies, http.StatusUnauthorized); n != 10 {
			t.Errorf("%d bad tokens were looked at, want 10", n)
		}
	}
	wantRateHeaders(t, replies[0], "ip", 10, 3600)
	wantRateHeaders(t, replies[15], "ip", 10, 3600)
	if replies[15].status != http.StatusTooManyRequests {
		t.Errorf("the sixteenth bad token gets %d", replies[15].status)
	}
	// The same address, signed in, is another caller.
	token, _ := s.person(t)
	if r := replicas[0].get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
		t.Errorf("a signed-in person behind that address gets %d", r.status)
	}
	// Exempt: probes and preflights, whatever the address did; and admins.
	for range 15 {
		for _, path := range []string{"/health/live", "/health/ready", "/health"} {
			if r := replicas[1].get(t, path, ""); r.status != http.StatusOK || r.header.Get("RateLimit") != "" {
				t.Fatalf("%s is %d with RateLimit %q", path, r.status, r.header.Get("RateLimit"))
			}
		}
		preflight := replicas[0].call(t, http.MethodOptions, "/v1/profiles/me", "", "", "Origin", frontEnd, "Access-Control-Request-Method", "PATCH")
		if preflight.status != http.StatusNoContent {
			t.Fatalf("a preflight gets %d", preflight.status)
		}
	}
	admin := s.clerk.Mint(clerkstandin.WithUser(newUserID()), clerkstandin.WithRole("admin"))
	if n := count(crowd(t, 40, replicas, "/v1/profiles/me", admin), http.StatusOK); n != 40 {
		t.Errorf("of an admin's 40 requests %d passed", n)
	}
}

// p95 of a sorted copy.
func p95(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)*95/100]
}

// latencies of sequential anonymous requests, and their statuses.
func latencies(t *testing.T, p *program, n int) (list []time.Duration, statuses map[int]int) {
	t.Helper()
	statuses = map[int]int{}
	for range n {
		begin := time.Now()
		r := p.get(t, "/v1/profiles/somebody_1", "")
		list = append(list, time.Since(begin))
		statuses[r.status]++
	}
	return list, statuses
}

// A Valkey that hangs: every request is answered, each replica limits by
// itself, and the counts are shared again when it is back.
func TestValkeyThatHangs(t *testing.T) {
	parallel(t)
	valkey := testservers.OwnValkey(t)
	s := stackOn(t, migrated(t), valkey.URL())
	replicas := []*program{s.replica(t, "RATE_LIMIT_USER", "20/1h"), s.replica(t, "RATE_LIMIT_USER", "20/1h")}
	shared(t, s, replicas, 20)
	before, _ := latencies(t, replicas[0], 200)

	if err := valkey.Pause(); err != nil {
		t.Fatal(err)
	}
	resumed := false
	defer func() {
		if !resumed {
			_ = valkey.Resume()
		}
	}()
	during, statuses := latencies(t, replicas[0], 200)
	if statuses[http.StatusNotFound] != 200 {
		t.Errorf("while Valkey hangs, the statuses are %v", statuses)
	}
	t.Logf("p95 of 200 requests: %s with Valkey, %s (slowest %s) from the moment on when it hangs",
		p95(before), p95(during), slices.Max(during))
	token, _ := s.person(t)
	for i, p := range replicas {
		replies := crowd(t, 30, []*program{p}, "/v1/profiles/me", token)
		passed, refused := count(replies, http.StatusOK), count(replies, http.StatusTooManyRequests)
		if passed != 20 || refused != 10 {
			t.Errorf("replica %d by itself let %d pass and refused %d, want 20 and 10", i, passed, refused)
		}
		for _, r := range replies {
			wantRateHeaders(t, r, "user", 20, 3600)
		}
	}
	if r := replicas[0].get(t, "/health/ready", ""); r.status != http.StatusOK || r.field(t, "status") != "degraded" {
		t.Errorf("while Valkey hangs, ready is %d: %s", r.status, r.body)
	}

	resumed = true
	if err := valkey.Resume(); err != nil {
		t.Fatal(err)
	}
	shared(t, s, replicas, 20)
}
