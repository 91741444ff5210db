package testservers

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// errNotHere is what a way returns when it simply does not apply: no variable, no engine, no programs. The next way is tried.
var errNotHere = errors.New("not available")

// way is one place where a server can come from. In its open function, an error that is errNotHere leads on to the next way and any other
// error ends the search: a place that was found and does not work is for somebody to look at.
type way struct {
	name string // env, containers or programs: the values of TEST_SERVERS
	open func(context.Context) (server, error)
}

// server is an open way: where it is, in words for the log, and its address.
type server struct {
	url   string
	where string
}

// choose opens the first way that works. forced is the value of TEST_SERVERS; empty allows all.
func choose(ctx context.Context, kind, forced, remedy string, ways []way) (server, error) {
	var reasons []string
	tried := 0
	for _, w := range ways {
		if forced != "" && w.name != forced {
			continue
		}
		tried++
		opened, err := w.open(ctx)
		if err == nil {
			return opened, nil
		}
		if !errors.Is(err, errNotHere) {
			return server{}, fmt.Errorf("%s from %s: %w", kind, w.name, err)
		}
		reasons = append(reasons, w.name+": "+err.Error())
	}
	if tried == 0 {
		return server{}, fmt.Errorf("TEST_SERVERS=%q is none of env, containers and programs", forced)
	}
	return server{}, fmt.Errorf("found no %s for the tests (%s). %s", kind, strings.Join(reasons, "; "), remedy)
}

// notHere wraps a reason into errNotHere.
func notHere(reason error) error { return fmt.Errorf("%w: %w", errNotHere, reason) }
