package valkey

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Inspection is what a deployment's checklist wants to know of the server.
type Inspection struct {
	Product   string // valkey or redis
	Version   string // such as 8.1.0; empty when the server does not say
	MaxMemory int64  // bytes; 0 is no limit
	Eviction  string // maxmemory-policy; empty when the server does not say
	Refused   bool   // the user may not run INFO: nothing above is known
	Local     bool   // the URL names this machine
	Encrypted bool
}

// Inspect asks the server whether it does what the limiter needs of it, in a few
// tries within the client's own short deadlines, and what it is. The error is that it does not.
func Inspect(ctx context.Context, client *redis.Client) (Inspection, error) {
	opts := client.Options()
	seen := Inspection{Encrypted: opts.TLSConfig != nil, Local: opts.Network == "unix" || isLocal(opts.Addr)}
	if err := insist(ctx, client); err != nil {
		return seen, err
	}
	client = client.WithTimeout(checkTimeout)
	text, err := client.Info(ctx, "server", "memory").Result()
	if err != nil { // before Redis 7 there is one section at a time
		text, err = client.Info(ctx).Result()
	}
	if err != nil {
		seen.Refused = true
		return seen, ctx.Err()
	}
	seen.read(text)
	return seen, nil
}

// insist does what requests do, on a key of the probe's: a server that answers a
// PING may still refuse to write or to run scripts. A first connection may take
// longer than the client waits, and then serves the next try.
func insist(ctx context.Context, client *redis.Client) (err error) {
	const tries = 5
	for range tries {
		err = (&Limiter{client: client}).tryScripts(ctx)
		var reply redis.Error
		if err == nil || errors.As(err, &reply) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (i *Inspection) read(info string) {
	values := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[name] = value
		}
	}
	i.Product, i.Version = "redis", values["redis_version"]
	if v, ok := values["valkey_version"]; ok {
		i.Product, i.Version = "valkey", v
	}
	i.Eviction = values["maxmemory_policy"]
	i.MaxMemory, _ = strconv.ParseInt(values["maxmemory"], 10, 64) // absent is no limit
}

func isLocal(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
