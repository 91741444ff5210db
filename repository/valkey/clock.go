package valkey

import "time"

// Clock tells the time; tests set it. It should keep the monotonic reading of
// [time.Now], so that a step of the wall clock neither opens nor shuts a limit.
type Clock interface {
	Now() time.Time
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }
