package service

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/domain"
)

// NewLogger writes one line an event, JSON for machines or text for people.
func NewLogger(w io.Writer, s *config.Settings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == config.LogText {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// newWireLog takes what net/http says of connections. Its text may quote a
// client, so it stays at debug level; two things that operators must hear of
// come out as constant messages as well.
func newWireLog(logger *slog.Logger) *log.Logger { return log.New(wireLog{logger}, "", 0) } //nolint:forbidigo // net/http takes no other kind

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
