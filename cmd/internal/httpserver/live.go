package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// LivePath answers 200 as long as the process serves, whatever it depends on.
const LivePath = "/health/live"

// liveLimit is the longest that a server may take to say that it lives.
const liveLimit = 3 * time.Second

// Live asks the server that listens on addr, in the same container, for [LivePath].
func Live(ctx context.Context, addr string) (err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read the address to ask: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, liveLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+LivePath, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	// No proxy of the environment's: it would be asked for an address of this container.
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %d", res.StatusCode)
	}
	return nil
}
