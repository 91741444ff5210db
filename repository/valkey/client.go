package valkey

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.opentelemetry.io/otel/trace"
)

const (
	clientName = "profile-api"

	// A connection is dialled beside the request that wants it, so a slow dial
	// does not hold the request longer than its own deadline; when it succeeds
	// too late, the connection serves the next one.
	dialTimeout = 200 * time.Millisecond
	ioTimeout   = 100 * time.Millisecond

	connsPerCPU  = 10
	minPoolSize  = 20
	minIdleConns = 2
	maxIdleTime  = 5 * time.Minute
)

// urlParameters are the query parameters a server's URL may carry. Those that
// would stretch deadlines, bring back retries or skip the check of a
// certificate are not among them.
var urlParameters = []string{"db", "pool_size", "protocol"}

// ClientOptions is what [NewClient] takes beside the URL; the zero value works.
type ClientOptions struct {
	// Logger takes what the client library says about its connections, at
	// debug level; nothing is logged when it is nil. The library has one logger per
	// process, so the latest NewClient's wins.
	Logger *slog.Logger
	// PoolSize is the most connections in use at once; 0 means ten per CPU, at least 20.
	PoolSize int
	// Spans makes a span of each command that belongs to something traced; nil: none.
	Spans trace.Tracer
}

// NewClient makes a client of the server that the URL names:
// redis://user:password@host:port/db, rediss:// with TLS (1.2 or later,
// certificate checked), or valkey:// and valkeys:// for the same. The query may
// set db, pool_size and protocol (2 or 3). It connects to nothing yet; an error is about
// the URL alone and never repeats any of it, for it may hold a password.
//
// Each command is tried once, obeys its context's deadline even in flight, and
// ends after 100 ms of silence whatever the context says.
func NewClient(rawURL string, opts ClientOptions) (*redis.Client, error) {
	o, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	redirectLibraryLog(opts.Logger)
	o.ClientName = clientName
	o.DialTimeout = dialTimeout
	o.DialerRetries = 1
	o.ReadTimeout = ioTimeout
	o.WriteTimeout = ioTimeout
	o.PoolTimeout = ioTimeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	if opts.PoolSize > 0 {
		o.PoolSize = opts.PoolSize
	}
	if o.PoolSize <= 0 {
		o.PoolSize = max(minPoolSize, connsPerCPU*runtime.GOMAXPROCS(0))
	}
	o.MinIdleConns = min(minIdleConns, o.PoolSize)
	o.PipelinePoolSize = -1 // one pool: its size is then the number of connections
	o.ConnMaxIdleTime = maxIdleTime
	if o.Protocol == 0 {
		o.Protocol = 2 // nothing here needs push messages
	}
	// Servers before 7.2, and people's ACLs, may refuse CLIENT SETINFO and
	// CLIENT MAINT_NOTIFICATIONS.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(o)
	if opts.Spans != nil {
		client.AddHook(spans{opts.Spans})
	}
	return client, nil
}

var errURL = errors.New("valkey: the URL must be redis://, rediss://, valkey:// or valkeys:// with a host, and optionally a port and a database number")

// parseURL drops the text of every error from below, because those quote parts of the URL.
func parseURL(rawURL string) (*redis.Options, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return nil, errURL
	}
	switch u.Scheme {
	case "redis", "valkey":
		u.Scheme = "redis"
	case "rediss", "valkeys":
		u.Scheme = "rediss"
	default:
		return nil, errURL
	}
	for name := range u.Query() {
		if !slices.Contains(urlParameters, name) {
			return nil, fmt.Errorf("valkey: the URL's query may hold %s only", strings.Join(urlParameters, ", "))
		}
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errURL
	}
	return o, nil
}
