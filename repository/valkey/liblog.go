package valkey

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// libraryLog receives what go-redis would print on standard error. The library
// keeps one logger per process and may call it from any goroutine, so it is
// set once and only the slog logger behind it is ever exchanged.
type libraryLog struct{ to atomic.Pointer[slog.Logger] }

var (
	library     libraryLog
	installOnce sync.Once
)

// credentials finds the user part of anything that looks like a URL.
var credentials = regexp.MustCompile(`://[^@\s]*@`)

func redirectLibraryLog(to *slog.Logger) {
	if to != nil {
		library.to.Store(to)
	}
	installOnce.Do(func() { redis.SetLogger(&library) })
}

// Printf implements the library's logging interface. Debug level: what matters
// of it, the server's going and coming, the limiter reports by itself, once.
func (l *libraryLog) Printf(ctx context.Context, format string, v ...any) {
	to := l.to.Load()
	if to == nil || !to.Enabled(ctx, slog.LevelDebug) {
		return
	}
	detail := credentials.ReplaceAllString(fmt.Sprintf(format, v...), "://***@")
	to.LogAttrs(ctx, slog.LevelDebug, "valkey client", slog.String("detail", detail))
}
