package main

import (
	"context"
	"net/http"
	"runtime"
	"time"
)

// lane bounds how many large requests are judged at once. The rules cost about as
// much per byte as the whole of a small request, in a body, a query or a header,
// so without it a few callers of 64 KiB would take every processor; with it they
// wait for each other only.
type lane struct {
	places chan struct{}
	wait   time.Duration // longest wait for a place
}

const (
	// largeFrom is the size from which a request needs a place, in bytes.
	largeFrom = 4 << 10
	// tokenBytes is the longest token that the API reads.
	tokenBytes = len("Bearer ") + 8<<10

	longestWait = 10 * time.Second
	// In detection-only mode a large request goes on without a place, and is not to be held up for long.
	waitDetecting = time.Second
)

func newLane(detectOnly bool) lane {
	l := lane{make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), longestWait}
	if detectOnly {
		l.wait = waitDetecting
	}
	return l
}

// size is what the rules have to read of a request, in bytes. One token is left
// out: each request of somebody signed in has one, and the rules that read
// any header are the cheap ones. A second one, or a longer one, is none of the API's clients'.
func size(r *http.Request, body []byte) int {
	n := len(r.RequestURI) + len(r.Host) + len(body)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	if sent := r.Header.Values("Authorization"); len(sent) > 0 {
		n -= min(len(sent[0]), tokenBytes)
	}
	return n
}

// enter takes a place for a large request, and gives what gives it back; false when
// none came free in time, or the client has gone.
func (l lane) enter(ctx context.Context, size int) (leave func(), ok bool) {
	if size < largeFrom {
		return func() {}, true
	}
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	select {
	case l.places <- struct{}{}:
		return func() { <-l.places }, true
	case <-ctx.Done():
		return nil, false
	}
}
