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

// Every call is made whose time has come, also at a rate that a busy machine
// does not keep up with. What is wanted is counted over less than the stretch,
// and what is allowed over more, so that no slowness of this machine's matters.
func TestTrafficKeepsItsRate(t *testing.T) {
	const rate = 20_000
	first := make(chan time.Time, 1)
	outer := time.Now()
	stop := drill.Traffic{Rate: rate, Call: func(_ context.Context, n int) error {
		if n == 0 {
			first <- time.Now()
		}
		return nil
	}}.Start(t.Context())
	begin := <-first
	time.Sleep(300 * time.Millisecond)
	least := int(time.Since(begin).Seconds() * rate)
	r := stop()
	if most := int(time.Since(outer).Seconds()*rate) + 1; r.Sent < least || r.Sent > most {
		t.Errorf("%d calls were made, at least %d and at most %d were due", r.Sent, least, most)
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
