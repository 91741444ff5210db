package testservers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/valkeylauncher"
)

// smallServer stands for somebody's own server with four databases, whose URL names number 2.
func smallServer(t *testing.T) string {
	t.Helper()
	launched, err := valkeylauncher.Start(t.Context(), valkeylauncher.Options{Settings: map[string]string{"databases": "4"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = launched.Close(context.Background()) })
	return withDatabase(launched.URL(), "2")
}

func open(t *testing.T, url string) *redis.Client {
	t.Helper()
	client, err := valkeyClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestClaimsLeaveWhatOthersKeepAlone(t *testing.T) {
	base := smallServer(t)
	theirs := open(t, withDatabase(base, "1"))
	if err := theirs.Set(t.Context(), "precious", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	mine, err := claimDatabase(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	// 0 is often the one that a developer works in, 1 is not empty, 2 holds the claims.
	if want := withDatabase(base, "3"); mine.url != want {
		t.Fatalf("got %s, want %s", mine.url, want)
	}
	if n := open(t, mine.url).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("the claimed database holds %d keys", n)
	}
	if err := open(t, mine.url).Set(t.Context(), "mine", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if second, err := claimDatabase(short, base); !errors.Is(err, errAllTaken) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second claim got %s, %v, want errAllTaken", second.url, err)
	}
	if err := mine.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := theirs.DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("somebody's database holds %d keys afterwards, want 1", n)
	}
	if n := open(t, base).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d claims are left", n)
	}
	again, err := claimDatabase(t.Context(), base)
	if err != nil || again.url != mine.url {
		t.Errorf("after the release: %s, %v", again.url, err)
	}
}

func TestAClaimThatRanOutFlushesNothing(t *testing.T) {
	base := smallServer(t)
	mine, err := claimDatabase(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	// Its time runs out, and another test takes the database.
	if err := open(t, base).Set(t.Context(), mine.key, "another", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, mine.url).Set(t.Context(), "theirs", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := mine.release(t.Context()); err == nil {
		t.Error("no error")
	}
	if n := open(t, mine.url).DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("the other test's database holds %d keys afterwards, want 1", n)
	}
}
