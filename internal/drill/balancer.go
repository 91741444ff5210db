package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// probeInterval is how often the balancer asks each replica whether it is ready.
// SHUTDOWN_DRAIN_DELAY must be longer.
const probeInterval = 50 * time.Millisecond

// Balancer shares requests out to the replicas that say they are ready, as an
// ingress does. It retries nothing: a request that a replica does
// not answer is lost, and the caller gets 502.
type Balancer struct {
	server   *http.Server
	addr     string
	mu       sync.Mutex
	backends []*backend
}

type backend struct {
	replica *Replica
	proxy   *httputil.ReverseProxy
	ready   bool
	stop    context.CancelFunc
}

// NewBalancer listens on a free port of 127.0.0.1. Close it.
func NewBalancer(ctx context.Context) (*Balancer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Balancer{addr: l.Addr().String()}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = b.server.Serve(l) }() // ends with Close
	return b, nil
}

// URL is where it answers.
func (b *Balancer) URL() string { return "http://" + b.addr }

// Close stops it and the probes.
func (b *Balancer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range b.backends {
		it.stop()
	}
	return b.server.Close()
}

// Add probes the replica from now on and returns when it gets requests.
func (b *Balancer) Add(ctx context.Context, r *Replica) error {
	probing, stop := context.WithCancel(context.WithoutCancel(ctx))
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.API})
	proxy.Transport = Once{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second}}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "lost on the way: "+err.Error(), http.StatusBadGateway)
	}
	it := &backend{replica: r, proxy: proxy, stop: stop}
	if err := r.AwaitReady(ctx); err != nil {
		stop()
		return err
	}
	b.mu.Lock()
	it.ready = true
	b.backends = append(b.backends, it)
	b.mu.Unlock()
	go b.watch(probing, it)
	return nil
}

// watch keeps asking until the replica was removed.
func (b *Balancer) watch(ctx context.Context, it *backend) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeInterval):
		}
		ready := get(ctx, "http://"+it.replica.API+"/health/ready", nil) == nil
		b.mu.Lock()
		it.ready = ready
		b.mu.Unlock()
	}
}

// Remove stops the replica while it is still probed, as an orchestrator does:
// SIGTERM, readiness goes off, requests go elsewhere, what is in flight ends.
func (b *Balancer) Remove(ctx context.Context, r *Replica) error {
	err := r.Stop(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, it := range b.backends {
		if it.replica == r {
			it.stop()
			b.backends = append(b.backends[:i], b.backends[i+1:]...)
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("%s was never added", r.API))
}

// ServeHTTP hands the request to a replica that is ready; 503 when none is.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	it := b.choose()
	if it == nil {
		http.Error(w, "no replica is ready", http.StatusServiceUnavailable)
		return
	}
	it.proxy.ServeHTTP(w, r)
}

func (b *Balancer) choose() *backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	// At random and not in turn, so that what one caller asks one after the other does not always meet the same two replicas.
	for _, i := range rand.Perm(len(b.backends)) { // #nosec G404 -- nothing is guessed by it
		if b.backends[i].ready {
			return b.backends[i]
		}
	}
	return nil
}

// Fleet is a number of replicas of one program behind a balancer.
type Fleet struct {
	*Balancer
	Binary   string
	Dir      string // for the logs
	replicas []*Replica
	started  int
}

// Grow starts n replicas with the settings.
func (f *Fleet) Grow(ctx context.Context, n int, env Settings) error {
	for range n {
		f.started++
		r, err := StartReplica(ctx, f.Binary, fmt.Sprintf("%s/replica-%d.log", f.Dir, f.started), env)
		if err != nil {
			return err
		}
		f.replicas = append(f.replicas, r)
		if err := f.Add(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Roll replaces one replica after the other: first the new one is ready, then the old one stops.
func (f *Fleet) Roll(ctx context.Context, env Settings) error {
	for range len(f.replicas) {
		if err := f.Grow(ctx, 1, env); err != nil {
			return err
		}
		old := f.replicas[0]
		f.replicas = f.replicas[1:]
		if err := f.Remove(ctx, old); err != nil {
			return err
		}
	}
	return nil
}

// Replicas are those that run, the oldest first.
func (f *Fleet) Replicas() []*Replica { return f.replicas }

// LogPaths are the logs of all replicas so far, those that have ended included.
func (f *Fleet) LogPaths() []string {
	paths := make([]string, f.started)
	for i := range paths {
		paths[i] = fmt.Sprintf("%s/replica-%d.log", f.Dir, i+1)
	}
	return paths
}

// Close stops all replicas and the balancer.
func (f *Fleet) Close(ctx context.Context) error {
	var err error
	for _, r := range f.replicas {
		if r.Running() {
			err = errors.Join(err, r.Stop(ctx))
		}
	}
	return errors.Join(err, f.Balancer.Close())
}
