package httpserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"

	"github.com/profile-api/profile-api/domain"
)

var (
	errUncaughtPanic = errors.New("a panic outside of the chain; its stack is in the log at debug level")
	errNotAccepting  = errors.New("connections cannot be accepted; the reason is in the log at debug level")
)

// NewLog takes what net/http says of connections. Its text may quote a client,
// so it stays at debug level; two things that operators must hear of come out
// as constant messages as well.
func NewLog(logger *slog.Logger) *log.Logger { return log.New(wireLog{logger}, "", 0) } //nolint:forbidigo // net/http takes no other kind

// NoLog drops what a proxy's transport says of single requests: it may quote a client, and who forwards tells what failed.
func NoLog() *log.Logger { return log.New(io.Discard, "", 0) } //nolint:forbidigo // net/http takes no other kind

type wireLog struct{ log *slog.Logger }

// Write logs one line of net/http's.
func (w wireLog) Write(line []byte) (int, error) {
	ctx := context.Background()
	switch {
	case bytes.HasPrefix(line, []byte("http: panic serving")): // outside of the chain's recover
		w.log.LogAttrs(ctx, slog.LevelError, "panic outside of the chain", domain.FaultAttr(errUncaughtPanic))
	case bytes.HasPrefix(line, []byte("http: Accept error")): // file descriptors ran out, most likely
		w.log.LogAttrs(ctx, slog.LevelError, "connections cannot be accepted", domain.FaultAttr(errNotAccepting))
	}
	w.log.LogAttrs(ctx, slog.LevelDebug, "http server", slog.String("event", string(bytes.TrimSpace(line))))
	return len(line), nil
}
