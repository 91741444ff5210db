package usecase_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// rows gives out what it has in batches.
type rows struct {
	left  int
	calls int
	at    time.Time
	fail  error
}

func (r *rows) PurgeExpired(ctx context.Context, at time.Time, limit int) (int, error) {
	r.calls++
	r.at = at
	if err := errors.Join(ctx.Err(), r.fail); err != nil {
		return 0, err
	}
	n := min(limit, r.left)
	r.left -= n
	return n, nil
}

func TestPurge(t *testing.T) {
	boom := errors.New("boom")
	many, broken, few := &rows{left: 2500}, &rows{left: 1, fail: boom}, &rows{left: 3}
	purge := usecase.NewPurge(storetest.NewClock(), usecase.PurgeTask{Name: "many", Rows: many}, usecase.PurgeTask{Name: "broken", Rows: broken}, usecase.PurgeTask{Name: "few", Rows: few})
	err := purge.Run(t.Context())
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "purge broken") {
		t.Errorf("got %v", err)
	}
	if many.left != 0 || many.calls != 3 || few.left != 0 || broken.calls != 1 || !many.at.Equal(storetest.Now) {
		t.Errorf("many %+v, broken %+v, few %+v", many, broken, few)
	}
	broken.fail = nil
	if err := purge.Run(t.Context()); err != nil || broken.left != 0 {
		t.Errorf("%v, %+v", err, broken)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := purge.Run(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
