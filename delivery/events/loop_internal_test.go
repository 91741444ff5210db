package events

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// A delivery that panics is a failure, and its report says which attempt of which event it was.
func TestAPanicSaysWhichAttempt(t *testing.T) {
	var log bytes.Buffer
	l := &loop{Runner: &Runner{deps: Deps{Log: slog.New(slog.NewTextHandler(&log, nil))}}, sink: Sink{Label: "http_1"}} // nobody delivers: it panics
	result, err := l.guarded(t.Context(), domain.PendingEvent{EventID: "e-7", Attempts: 3})
	if !errors.Is(err, errPanicked) || result.Delivered {
		t.Errorf("%+v, %v", result, err)
	}
	for _, want := range []string{"event_id=e-7", "sink=http_1", "attempt=3", "stack=", `fault="panic: `} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

// A panic of the claiming is reported, and the next claim may work: it must not end the program.
func TestAPanicOfTheClaimingIsReported(t *testing.T) {
	var log bytes.Buffer
	l := &loop{Runner: &Runner{ctx: t.Context(), deps: Deps{Log: slog.New(slog.NewTextHandler(&log, nil))}}, sink: Sink{Label: "http_1"}}
	l.claim(t.Context())
	if !strings.Contains(log.String(), "trying again") || !strings.Contains(log.String(), `fault="panic: `) {
		t.Errorf("the log says %s", log.String())
	}
}
