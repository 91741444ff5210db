package drill_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
)

// What is lost must be seen, or no drill means anything.
func TestTrafficCountsWhatIsLost(t *testing.T) {
	var calls atomic.Int64
	stop := drill.Traffic{Rate: 500, Call: func(_ context.Context, n int) error {
		calls.Add(1)
		if n%4 == 1 {
			return errors.New("refused")
		}
		return nil
	}}.Start(t.Context())
	for calls.Load() < 40 {
		time.Sleep(time.Millisecond)
	}
	r := stop()
	if int64(r.Sent) != calls.Load() || r.Lost != (r.Sent+2)/4 || r.Reasons["refused"] != r.Lost {
		t.Errorf("sent %d, called %d, lost %d, reasons %v", r.Sent, calls.Load(), r.Lost, r.Reasons)
	}
	if again := stop(); again.Sent != r.Sent || !strings.Contains(r.String(), "times: refused") {
		t.Errorf("stopped twice: %d and %d; %s", r.Sent, again.Sent, r)
	}
}

// The rate is kept over the whole stretch, whatever a single call was late by.
func TestTrafficKeepsItsRate(t *testing.T) {
	const rate = 2000 // more than a ticker keeps up with on a busy machine
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	r := drill.Traffic{Rate: rate, Call: func(context.Context, int) error { return nil }}.Run(ctx)
	if due := int(time.Since(begin).Seconds() * rate); r.Sent < rate*9/10 || r.Sent > due+1 {
		t.Errorf("%d calls were made in a second, at a rate of %d", r.Sent, rate)
	}
}

// A server that stalls is not spared: calls go out while others wait, and the end waits for them all.
func TestTrafficIsAnOpenModel(t *testing.T) {
	release := make(chan struct{})
	var waiting, answered atomic.Int64
	stop := drill.Traffic{Rate: 500, Call: func(ctx context.Context, _ int) error {
		waiting.Add(1)
		<-release
		answered.Add(1)
		return ctx.Err()
	}}.Start(t.Context())
	for waiting.Load() < 20 {
		time.Sleep(time.Millisecond)
	}
	go func() { time.Sleep(20 * time.Millisecond); close(release) }()
	r := stop()
	if r.Lost != 0 || answered.Load() != int64(r.Sent) {
		t.Errorf("of %d calls %d were answered, %d lost: %s", r.Sent, answered.Load(), r.Lost, r)
	}
}
