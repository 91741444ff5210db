package valkeylauncher_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/process"
	"github.com/profile-api/profile-api/internal/valkeylauncher"
)

func start(t *testing.T, options valkeylauncher.Options) *valkeylauncher.Server {
	t.Helper()
	server, err := valkeylauncher.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// client neither retries nor waits long.
func client(t *testing.T, server *valkeylauncher.Server) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.MaxRetries, options.ContextTimeoutEnabled = -1, true
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestServerKeepsNothingAndItsPort(t *testing.T) {
	tests := map[string]func(*valkeylauncher.Server) error{
		"Restart": func(s *valkeylauncher.Server) error { return s.Restart(t.Context()) },
		"Kill":    func(s *valkeylauncher.Server) error { return errors.Join(s.Kill(), s.Start(t.Context())) },
		"Stop":    func(s *valkeylauncher.Server) error { return errors.Join(s.Stop(t.Context()), s.Start(t.Context())) },
	}
	for name, again := range tests {
		t.Run(name, func(t *testing.T) {
			server := start(t, valkeylauncher.Options{})
			url, pid := server.URL(), server.Pid()
			if err := client(t, server).Set(t.Context(), "mark", 1, 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := again(server); err != nil {
				t.Fatal(err)
			}
			if server.URL() != url || server.Pid() == pid {
				t.Errorf("URL %s and process %d, want %s and another process", server.URL(), server.Pid(), url)
			}
			if n, err := client(t, server).DBSize(t.Context()).Result(); err != nil || n != 0 {
				t.Errorf("%d keys, %v; want an empty server", n, err)
			}
			if err := server.Start(t.Context()); err == nil {
				t.Error("a running server was started again without an error")
			}
		})
	}
}

func TestPausedServerDoesNotAnswerUntilResumed(t *testing.T) {
	server := start(t, valkeylauncher.Options{})
	c := client(t, server)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Ping(short).Err(); !isTimeout(err) {
		t.Errorf("a paused server: %v, want a timeout", err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

func TestPausedServerCanBeStopped(t *testing.T) {
	server := start(t, valkeylauncher.Options{})
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if process.Alive(server.Pid()) {
		t.Errorf("process %d is still there", server.Pid())
	}
	if err := server.Pause(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Pause after Stop: %v, want os.ErrProcessDone", err)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	first := start(t, valkeylauncher.Options{})
	_, port, err := net.SplitHostPort(first.Addr())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := valkeylauncher.Start(t.Context(), valkeylauncher.Options{Port: number}); !errors.Is(err, valkeylauncher.ErrPortInUse) {
		t.Errorf("got %v, want ErrPortInUse", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second := start(t, valkeylauncher.Options{Port: number}); second.Addr() != first.Addr() {
		t.Errorf("%s, want %s", second.Addr(), first.Addr())
	}
}

func TestSettings(t *testing.T) {
	server := start(t, valkeylauncher.Options{Settings: map[string]string{"maxmemory": "64mb"}})
	got, err := client(t, server).ConfigGet(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"maxmemory": "67108864", "appendonly": "no", "save": "", "bind": "127.0.0.1", "databases": strconv.Itoa(valkeylauncher.Databases)}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

func TestBadSettingIsQuotedFromTheServer(t *testing.T) {
	_, err := valkeylauncher.Start(t.Context(), valkeylauncher.Options{Settings: map[string]string{"no-such-directive": "1"}})
	if !errors.Is(err, process.ErrExited) || !strings.Contains(err.Error(), "no-such-directive") {
		t.Errorf("got %v, want the server's own words", err)
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := valkeylauncher.Start(t.Context(), valkeylauncher.Options{Program: "/nonexistent/valkey-server"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent/valkey-server") {
		t.Errorf("got %v", err)
	}
}
