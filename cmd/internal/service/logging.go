package service

import (
	"io"
	"log/slog"

	"github.com/profile-api/profile-api/config"
)

// NewLogger writes one line an event, JSON for machines or text for people.
func NewLogger(w io.Writer, s *config.Settings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == config.LogText {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
