package postgres

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestRiverLog(t *testing.T) {
	var out bytes.Buffer
	log := newRiverLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	said := func(level, part string) {
		t.Helper()
		text := out.String()
		out.Reset()
		if !strings.Contains(text, "level="+level+" ") || !strings.Contains(text, part) || strings.Contains(text, "user_1") {
			t.Errorf("got %s, want level %s and %s", text, level, part)
		}
	}
	log.Info("started", "client_id", "user_1", "job_id", 7)
	said("DEBUG", "job_id=7")
	log.Error("fetching failed", slog.String("err", "user_1"), slog.String("queue", "default"))
	said("WARN", "queue=default")
	log.Error("fetching failed", "error", "user_1")
	said("DEBUG", "fetching failed") // once a minute is enough
	log.With("payload", "user_1", "kind", "purge").WithGroup("user_1").Warn("another", "panic_val", "user_1")
	said("WARN", "kind=purge")
	newRiverLog(nil).Error("nobody hears")
	slog.New(newRiverLog(slog.New(slog.NewTextHandler(&out, nil))).Handler()).Info("a detail")
	if out.Len() != 0 {
		t.Errorf("at level info a detail is written: %s", out.String())
	}
}
