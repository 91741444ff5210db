package httpserver

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// IgnoreHangups keeps SIGHUP, by which some servers read their settings anew,
// from ending this one without a drain, and says what to do instead (ADR 26).
func IgnoreHangups(ctx context.Context, log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangups:
				log.LogAttrs(ctx, slog.LevelWarn, "SIGHUP does not reload the settings: restart the replicas one after the other")
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(hangups); close(done) }
}
