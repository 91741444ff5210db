// Package httpserver has what the servers of this repository, the API and the
// firewall in front of it, have in common around net/http: listening, stopping,
// what is logged of connections, and asking whether a server lives.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Listen opens all addresses (TCP, [HOST]:PORT) or none, in their order.
func Listen(ctx context.Context, addrs ...string) ([]net.Listener, error) {
	listeners := make([]net.Listener, 0, len(addrs))
	for _, addr := range addrs {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Stop finishes what is in flight, and cuts it off when ctx ends.
func Stop(ctx context.Context, srv *http.Server) error {
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), srv.Close())
	}
	return nil
}
