package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profile-api/profile-api/internal/valkeylauncher"
)

const (
	valkeyVariable = "TEST_VALKEY_URL"
	valkeyRemedy   = "To get one: set TEST_VALKEY_URL to a redis:// URL, start a Docker engine, or install Valkey or Redis " +
		"(apt-get install redis-server, brew install valkey)"
)

// sharedValkey is this test binary's server.
var sharedValkey = sync.OnceValues(func() (server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), setUpLimit)
	defer cancel()
	opened, err := choose(ctx, "Valkey or Redis", os.Getenv("TEST_SERVERS"), valkeyRemedy, []way{
		{"env", valkeyFromEnv}, {"containers", valkeyFromContainer}, {"programs", valkeyFromPrograms},
	})
	if err == nil {
		say("Valkey: %s", opened.where)
	}
	return opened, err
})

func valkeyFromEnv(ctx context.Context) (server, error) {
	value := os.Getenv(valkeyVariable)
	if value == "" {
		return server{}, notHere(errors.New(valkeyVariable + " is not set"))
	}
	address := redisScheme(value)
	options, err := redis.ParseURL(address)
	if err != nil || options.Network != "tcp" {
		return server{}, errors.New(valkeyVariable + " is not a redis://, rediss://, valkey:// or valkeys:// URL") // may hold a password
	}
	if err := pingValkey(ctx, address); err != nil {
		return server{}, fmt.Errorf("%s is set, but: %w", valkeyVariable, err)
	}
	return server{url: address, where: "the server at " + valkeyVariable + ", " + options.Addr}, nil
}

// redisScheme spells a valkey:// or valkeys:// URL the way every client understands.
func redisScheme(url string) string {
	if rest, ok := strings.CutPrefix(url, "valkey"); ok {
		return "redis" + rest
	}
	return url
}

func pingValkey(ctx context.Context, url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	// The client logs each dial that fails, which is most of them while a server starts.
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", options.Addr)
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	return errors.Join(connection.Close(), client.Ping(ctx).Err(), client.Close())
}

func valkeyClient(url string) (*redis.Client, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	options.DisableIdentity = true
	return redis.NewClient(options), nil
}

func valkeyFromPrograms(ctx context.Context) (server, error) {
	launched, err := valkeylauncher.Start(ctx, valkeyOptions())
	if errors.Is(err, valkeylauncher.ErrNoProgram) {
		return server{}, notHere(err)
	}
	if err != nil {
		return server{}, err
	}
	atEnd(launched.Close)
	return server{url: launched.URL(), where: launched.Program() + ", on " + launched.Addr()}, nil
}

func valkeyOptions() valkeylauncher.Options {
	return valkeylauncher.Options{Install: true, Progress: func(message string) { say("%s", message) }}
}

// OwnValkey starts a server for this test alone, from a program on the machine, that the test may pause, kill, stop and restart.
func OwnValkey(t testing.TB) *valkeylauncher.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setUpLimit)
	defer cancel()
	launched, err := valkeylauncher.Start(ctx, valkeyOptions())
	if err != nil {
		t.Fatalf("testservers: a Valkey of the test's own: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
		defer cancel()
		if err := launched.Close(ctx); err != nil {
			t.Errorf("testservers: %v", err)
		}
	})
	return launched
}

// Valkey returns the redis:// URL of an empty logical database that is this test's alone. Its keys are removed when the test ends.
// The test may flush it (FLUSHDB), but must never use FLUSHALL or another database number, because the server is shared.
func Valkey(t testing.TB) string {
	t.Helper()
	requireMain(t)
	on, err := sharedValkey()
	if err != nil {
		t.Fatalf("testservers: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), queryLimit)
	defer cancel()
	claimed, err := claimDatabase(ctx, on.url)
	if err != nil {
		t.Fatalf("testservers: a logical database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), queryLimit)
		defer cancel()
		if err := claimed.release(ctx); err != nil {
			t.Errorf("testservers: %v", err)
		}
	})
	return claimed.url
}

// claimLife is how long a claim outlives a test that was killed. It is longer than any test runs.
const claimLife = time.Hour

// claim is a logical database that one test holds. Claims are keys in the database that the server's URL names, so that every test
// binary that shares the server sees them.
type claim struct {
	base, url string
	key       string
	token     string
}

// claimDatabase finds a database that nobody claims and that is empty, so that what others keep on the server is never touched. It
// waits for one while all are taken.
func claimDatabase(ctx context.Context, base string) (claim, error) {
	var claimed claim
	err := pollFor(ctx, func(ctx context.Context) error {
		var err error
		claimed, err = tryClaim(ctx, base)
		return err
	})
	return claimed, err
}

var errAllTaken = errors.New("every logical database of the server is taken or not empty")

func tryClaim(ctx context.Context, base string) (found claim, err error) {
	options, err := redis.ParseURL(base)
	if err != nil {
		return claim{}, err
	}
	client := redis.NewClient(options)
	defer func() { err = errors.Join(err, client.Close()) }()
	for number := 1; ; number++ {
		if number == options.DB {
			continue
		}
		candidate := claim{
			base: base, url: withDatabase(base, fmt.Sprint(number)),
			key: fmt.Sprintf("profile-api:test-claim:%d", number), token: randomText(16),
		}
		won, err := client.SetNX(ctx, candidate.key, candidate.token, claimLife).Result()
		if err == nil && !won {
			continue
		}
		var size int64
		if err == nil {
			size, err = candidate.size(ctx)
		}
		if err == nil && size == 0 {
			return candidate, nil
		}
		abandonErr := candidate.abandon(ctx, client)
		if err != nil && strings.Contains(err.Error(), "out of range") {
			return claim{}, errors.Join(errAllTaken, abandonErr)
		}
		if err := errors.Join(err, abandonErr); err != nil {
			return claim{}, err
		}
	}
}

// abandon removes the claim if it was made at all: when the context ended while it was being made, nobody knows.
func (c claim) abandon(ctx context.Context, holder *redis.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpLimit)
	defer cancel()
	token, err := holder.Get(ctx, c.key).Result()
	if errors.Is(err, redis.Nil) || err == nil && token != c.token {
		return nil
	}
	if err != nil {
		return err
	}
	return holder.Del(ctx, c.key).Err()
}

func (c claim) size(ctx context.Context) (size int64, err error) {
	client, err := valkeyClient(c.url)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return client.DBSize(ctx).Result()
}

// release empties the database and gives the claim back, unless it ran out and is another test's by now.
func (c claim) release(ctx context.Context) (err error) {
	holder, err := valkeyClient(c.base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, holder.Close()) }()
	token, err := holder.Get(ctx, c.key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("give a logical database back: %w", err)
	}
	if token != c.token {
		return errors.New("the claim on a logical database ran out during the test, so it was not emptied")
	}
	client, err := valkeyClient(c.url)
	if err != nil {
		return err
	}
	if err := errors.Join(client.FlushDB(ctx).Err(), client.Close()); err != nil {
		return fmt.Errorf("empty the test's logical database: %w", err)
	}
	return holder.Del(ctx, c.key).Err()
}

// pollFor repeats attempt while every database is taken.
func pollFor(ctx context.Context, attempt func(context.Context) error) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := attempt(ctx)
		if !errors.Is(err, errAllTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}
