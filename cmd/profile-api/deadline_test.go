package main_test

import (
	"net/http"
	"sync"
	"testing"
)

// A request whose time is over ends in the database too.
func TestDeadlineEndsTheStatement(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t, "REQUEST_TIMEOUT", "1s")
	token, id := s.person(t)
	before := p.get(t, "/v1/profiles/me", token)
	release := lockProfile(t, s.database, id)
	conn := connect(t, s.database)

	answer := make(chan reply, 1)
	go func() {
		r, err := p.try(http.MethodPatch, "/v1/profiles/me", token, `{"bio":"too late"}`, "Content-Type", "application/json")
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	eventually(t, "the statement waits for the lock", func() bool { return waiting(t, conn) == 1 })
	(<-answer).wantProblem(t, http.StatusGatewayTimeout, "timeout")
	// The row is still locked, so nothing but the cancellation can have ended the statement.
	eventually(t, "the statement is gone", func() bool { return waiting(t, conn) == 0 })
	if n := p.metrics(t).value("request_timeouts_total"); n != 1 {
		t.Errorf("request_timeouts_total is %v, want 1", n)
	}
	release()
	if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK || r.field(t, "version") != before.field(t, "version") {
		t.Errorf("afterwards me is %d: %s", r.status, r.body)
	}
}

// A lock that cannot be had in time is 503: somebody else is the reason, and trying again may help.
func TestLockTimeoutIsUnavailable(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t, "DB_LOCK_TIMEOUT", "200ms")
	token, id := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	release := lockProfile(t, s.database, id)
	p.patch(t, "/v1/profiles/me", token, `{"bio":"x"}`).wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	if n := p.metrics(t).value("request_timeouts_total"); n != 0 {
		t.Errorf("request_timeouts_total is %v, want 0", n)
	}
	release()
	if r := p.patch(t, "/v1/profiles/me", token, `{"bio":"x"}`); r.status != http.StatusOK {
		t.Errorf("after the release: %d: %s", r.status, r.body)
	}
}

// Two stuck requests that hold the whole pool: the others are told at once
// rather than queued, the replica stays in the load balancer, and it recovers.
func TestPoolExhaustion(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t, "DB_MAX_OPEN_CONNS", "2", "DB_MAX_IDLE_CONNS", "2", "REQUEST_TIMEOUT", "50s", "DB_LOCK_TIMEOUT", "50s", "DB_STATEMENT_TIMEOUT", "50s")
	token, id := s.person(t)
	other, _ := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	p.get(t, "/v1/profiles/me", other)
	release := lockProfile(t, s.database, id)
	conn := connect(t, s.database)
	var stuck sync.WaitGroup
	for range 2 {
		stuck.Go(func() {
			r, err := p.try(http.MethodPatch, "/v1/profiles/me", token, `{"bio":"x"}`, "Content-Type", "application/json")
			if err != nil || r.status != http.StatusOK {
				t.Errorf("a request that waited for the lock ends with %d, %v: %s", r.status, err, r.body)
			}
		})
	}
	eventually(t, "both statements wait", func() bool { return waiting(t, conn) == 2 })

	for _, r := range crowd(t, 10, []*program{p}, "/v1/profiles/me", other) {
		r.wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	}
	if n := waiting(t, conn); n != 2 {
		t.Fatalf("%d statements wait for the lock, want 2 still: the 503s came too late to say anything", n)
	}
	if m := p.metrics(t); m.value("db_pool_abandoned_total") < 10 || m.value(`db_pool_open_connections{state="in_use"}`) != 2 {
		t.Errorf("the pool's metrics: abandoned %v, in use %v", m.value("db_pool_abandoned_total"), m.value(`db_pool_open_connections{state="in_use"}`))
	}
	for range 3 {
		if r := p.get(t, "/health/ready", ""); r.status != http.StatusOK {
			t.Errorf("with the pool exhausted and the database there, ready is %d: %s", r.status, r.body)
		}
	}
	release()
	stuck.Wait()
	eventually(t, "the others are served again", func() bool { return p.get(t, "/v1/profiles/me", other).status == http.StatusOK })
}
