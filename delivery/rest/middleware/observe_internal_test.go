package middleware

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// A fault is what nobody expected. What the client did, and what comes back by
// itself, is none.
func TestWhatIsAFault(t *testing.T) {
	own := func(k domain.Kind) error { return fmt.Errorf("x: %w", domain.NewError(k, domain.CodeInternal, "x")) }
	for _, c := range []struct {
		name   string
		err    error
		status int
		cutOff bool
		want   bool
	}{
		{name: "done", status: 200},
		{name: "refused", err: own(domain.Invalid), status: 422},
		{name: "unavailable", err: own(domain.Unavailable), status: 503},
		{name: "too long", err: own(domain.Timeout), status: 504},
		{name: "client gone", err: context.Canceled, status: statusClientGone},
		{name: "internal", err: own(domain.Internal), status: 500, want: true},
		{name: "unknown", err: errors.New("x"), status: 500, want: true},
		{name: "written by a handler", status: 500, want: true},
		{name: "panic", err: own(domain.Internal), status: 500, want: true},
		{name: "panic under way", err: fmt.Errorf("x: %w", domain.NewPanic("x")), status: 200, cutOff: true, want: true},
		{name: "unknown under way", err: errors.New("x"), status: 200, cutOff: true, want: true},
		{name: "internal under way", err: own(domain.Internal), status: 200, cutOff: true, want: true},
		{name: "database away under way", err: own(domain.Unavailable), status: 200, cutOff: true},
		{name: "client gone under way", err: fmt.Errorf("x: %w", &net.OpError{Op: "write", Err: syscall.EPIPE}), status: 200, cutOff: true},
		{name: "cancelled under way", err: context.Canceled, status: 200, cutOff: true},
		{name: "too long under way", err: context.DeadlineExceeded, status: 200, cutOff: true},
	} {
		if got := isFault(c.err, c.status, c.cutOff); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
