package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// caller sends one request after the other on kept connections, opens a new one
// when the server asks for that, and leaves as a load balancer does: some time
// after it saw readiness go off. Any request that was sent and not answered is an error.
func caller(p *program, token string, served *atomic.Int64, stop <-chan struct{}) error {
	const notice = 500 * time.Millisecond
	var off time.Time // when readiness was first seen off
	var w *wire
	defer func() {
		if w != nil {
			_ = w.Close()
		}
	}()
	request := "GET /v1/profiles/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	for {
		select {
		case <-stop:
			return errors.New("the server never asked to leave")
		default:
		}
		if w == nil {
			if off.IsZero() && !stillReady(p) {
				off = time.Now()
			}
			if !off.IsZero() && time.Since(off) > notice {
				return nil
			}
			fresh, err := dial(p.api)
			if errors.Is(err, syscall.ECONNREFUSED) {
				return nil // nothing was sent
			}
			if err != nil {
				return err
			}
			w = fresh
		}
		if _, err := io.WriteString(w, request); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		r, closing, err := w.read(http.MethodGet)
		if err != nil {
			return fmt.Errorf("a request was cut off: %w", err)
		}
		if r.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", r.status, r.body)
		}
		served.Add(1)
		if closing {
			_ = w.Close()
			w = nil
		}
	}
}

// stillReady asks on a new connection, as a load balancer's probe does.
func stillReady(p *program) bool {
	w, err := dial(p.api)
	if err != nil {
		return false
	}
	defer func() { _ = w.Close() }()
	if _, err := io.WriteString(w, "GET /health/ready HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"); err != nil {
		return false
	}
	r, _, err := w.read(http.MethodGet)
	return err == nil && r.status == http.StatusOK
}

// SIGTERM under load: readiness off first, then everything that was sent is
// answered, a slow request that outlives the delay included, and the status is 0.
func TestGracefulShutdownCutsNothingOff(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t, "SHUTDOWN_DRAIN_DELAY", "2500ms")
	token, id := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	release := lockProfile(t, s.database, id)
	conn := connect(t, s.database)

	const callers, slow = 8, 3
	var served atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range callers {
		own, _ := s.person(t)
		wg.Go(func() {
			if err := caller(p, own, &served, stop); err != nil {
				t.Errorf("a caller: %v", err)
			}
		})
	}
	var late sync.WaitGroup
	for i := range slow {
		late.Go(func() {
			r, err := p.try(http.MethodPatch, "/v1/profiles/me", token, fmt.Sprintf(`{"bio":"number %d"}`, i), "Content-Type", "application/json")
			if err != nil || r.status != http.StatusOK {
				t.Errorf("a slow request ends with %d, %v: %s", r.status, err, r.body)
			}
		})
	}
	eventually(t, "the slow requests wait", func() bool { return waiting(t, conn) == slow })
	eventually(t, "the callers are at work", func() bool { return served.Load() > 50 })

	p.signal(t, syscall.SIGTERM)
	eventually(t, "draining", func() bool { _, ok := p.line("draining"); return ok })
	atTerm := served.Load()
	if stillReady(p) {
		t.Error("readiness is still on after SIGTERM")
	}
	wg.Wait()
	if n := served.Load() - atTerm; n < callers {
		t.Errorf("only %d requests were served during the drain", n)
	}
	wg.Wait()
	eventually(t, "nothing is accepted any more", func() bool {
		w, err := dial(p.api)
		if err == nil {
			_ = w.Close()
		}
		return err != nil
	})
	time.Sleep(time.Second) // the slow requests outlive the listener by that much
	if p.ended() || waiting(t, conn) != slow {
		t.Fatalf("the program did not wait for what is in flight (ended: %t, waiting: %d)", p.ended(), waiting(t, conn))
	}
	release()
	late.Wait()
	close(stop)
	p.wait(t)
	if p.status() != 0 {
		t.Errorf("the exit status is %d", p.status())
	}
	if line, ok := p.line("stopped"); !ok || line["clean"] != true {
		t.Errorf("the last word is %v", line)
	}
	var version int
	if scan(t, conn, &version, "SELECT version FROM profiles WHERE clerk_user_id = $1", id); version != 1+slow {
		t.Errorf("the slow requests left version %d, want %d", version, 1+slow)
	}
	t.Logf("%d requests were served before SIGTERM and %d after it", atTerm, served.Load()-atTerm)
}

// What does not end in SHUTDOWN_TIMEOUT is cut off, and the status says so.
func TestShutdownTimeoutIsAFailure(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t, "SHUTDOWN_DRAIN_DELAY", "0s", "SHUTDOWN_TIMEOUT", "500ms")
	token, id := s.person(t)
	p.get(t, "/v1/profiles/me", token)
	defer lockProfile(t, s.database, id)()
	conn := connect(t, s.database)
	cut := make(chan error, 1)
	go func() {
		_, err := p.try(http.MethodPatch, "/v1/profiles/me", token, `{"bio":"x"}`, "Content-Type", "application/json")
		cut <- err
	}()
	eventually(t, "the statement waits", func() bool { return waiting(t, conn) == 1 })
	p.signal(t, syscall.SIGTERM)
	p.wait(t)
	if err := <-cut; err == nil {
		t.Error("the request was answered, so this test shows nothing")
	}
	if p.status() != 1 {
		t.Errorf("the exit status is %d, want 1", p.status())
	}
	p.expected = 1
	eventually(t, "the statement ends with the program", func() bool { return waiting(t, conn) == 0 })
}

// Who cannot wait sends the signal again.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	parallel(t)
	p := newStack(t).replica(t, "SHUTDOWN_DRAIN_DELAY", "1h")
	p.signal(t, syscall.SIGTERM)
	eventually(t, "draining", func() bool { _, ok := p.line("draining"); return ok })
	// Again and again, since the first may still be on its way through the runtime; all of it is far below the hour.
	eventually(t, "the program ends", func() bool { p.signal(t, syscall.SIGTERM); return p.ended() })
	if !p.killedBy(syscall.SIGTERM) {
		t.Errorf("it ended with status %d", p.status())
	}
}

// Some servers read their settings anew on SIGHUP; whoever expects that of this one is told better, and loses no request by it.
func TestSIGHUPEndsNothing(t *testing.T) {
	parallel(t)
	s := newStack(t)
	p := s.replica(t)
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the log says what SIGHUP does not do", func() bool {
		_, ok := p.line("SIGHUP does not reload the settings: restart the replicas one after the other")
		return ok
	})
	token, _ := s.person(t)
	if r := p.get(t, "/v1/profiles/me", token); r.status != http.StatusOK {
		t.Errorf("after SIGHUP, me is %d", r.status)
	}
}
