package valkey

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/testlog"
)

func TestNewClientReadsTheURL(t *testing.T) {
	tests := []struct {
		url, addr, user, password string
		db                        int
		tls                       bool
	}{
		{url: "redis://localhost", addr: "localhost:6379"},
		{url: "valkey://cache.internal:6380/3", addr: "cache.internal:6380", db: 3},
		{url: "rediss://me:s3cret@cache.internal/1", addr: "cache.internal:6379", user: "me", password: "s3cret", db: 1, tls: true},
		{url: "valkeys://:p%40ss@cache.internal:7000", addr: "cache.internal:7000", password: "p@ss", tls: true},
		{url: "VALKEY://[::1]:6379?db=4", addr: "[::1]:6379", db: 4},
	}
	for _, tt := range tests {
		client, err := NewClient(tt.url, ClientOptions{})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		o := client.Options()
		if o.Addr != tt.addr || o.Username != tt.user || o.Password != tt.password || o.DB != tt.db {
			t.Errorf("%s: %s %s %s %d", tt.url, o.Addr, o.Username, o.Password, o.DB)
		}
		if (o.TLSConfig != nil) != tt.tls || (tt.tls && o.TLSConfig.InsecureSkipVerify) {
			t.Errorf("%s: TLS %v", tt.url, o.TLSConfig)
		}
		if o.MaxRetries != 0 || !o.ContextTimeoutEnabled || o.DialerRetries != 1 || !o.DisableIdentity ||
			o.ReadTimeout > 100*time.Millisecond || o.WriteTimeout > 100*time.Millisecond || o.PoolTimeout > 100*time.Millisecond {
			t.Errorf("%s: a request could be held: %+v", tt.url, o)
		}
		_ = client.Close()
	}
}

func TestNewClientNeverRepeatsTheURL(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://u:hunter2@h", "redis://u:hunter2@h:port", "redis://u:hun%ter2@h", "redis://u:hunter2@h/hunter2",
		"redis://u:hunter2@/0", "rediss://u:hunter2@h?skip_verify=true", "redis://h?read_timeout=hunter2", "redis://h?db=hunter2",
		"redis://u:hunter2#@h", "redis://u:hunter2@h/1/hunter2",
		"redis://h?hunter2=1", "unix:///hunter2", "redis://h?protocol=hunter2",
	} {
		client, err := NewClient(url, ClientOptions{})
		if err == nil {
			_ = client.Close()
			t.Errorf("took %q", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: the error repeats it: %v", url, err)
		}
	}
}

// TestTheLibraryPrintsNothingByItself: go-redis would write failed dials to standard error.
func TestTheLibraryLogsThroughTheGivenLogger(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = write
	t.Cleanup(func() { os.Stderr = stderr })
	var log testlog.Buffer
	client, err := NewClient("redis://user:hunter2@127.0.0.1:1", ClientOptions{
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(context.Background()).Err(); err == nil {
		t.Error("port 1 answered")
	}
	library.Printf(context.Background(), "cannot reach %s", "redis://user:hunter2@somewhere")
	_ = client.Close()
	library.to.Store(nil)
	library.Printf(context.Background(), "said to nobody")
	os.Stderr = stderr
	_ = write.Close()
	var printed bytes.Buffer
	if _, err := printed.ReadFrom(read); err != nil {
		t.Fatal(err)
	}
	if printed.Len() > 0 {
		t.Errorf("printed: %s", printed.String())
	}
	if got := log.String(); !strings.Contains(got, "failed to dial") || !strings.Contains(got, "://***@somewhere") {
		t.Errorf("the library's messages did not arrive: %s", got)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("a password in the log: %s", log.String())
	}
}

func TestConcurrentClientsShareTheLibraryLogSafely(t *testing.T) {
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			client, err := NewClient("redis://127.0.0.1:1", ClientOptions{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				return
			}
			_ = client.Ping(context.Background()).Err()
			_ = client.Close()
		}()
	}
	for range 8 {
		<-done
	}
}

var _ redis.Hook = (*trips)(nil)
