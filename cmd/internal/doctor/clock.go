package doctor

import (
	"fmt"
	"time"
)

const (
	skewWarns = 2 * time.Second // tokens that are fresh or about to end are judged wrong now and then
	skewFails = 5 * time.Second // more than the leeway that tokens are given
)

// skew judges another clock, which showed a moment within [shown, shown+grain),
// by ours, that showed asked before and answered after. What the journey may have
// taken is given to it: a slow answer is no skew.
func skew(check, whose string, shown time.Time, grain time.Duration, asked, answered time.Time) Finding {
	off := time.Duration(0)
	switch {
	case shown.After(answered):
		off = shown.Sub(answered)
	case shown.Add(grain).Before(asked):
		off = asked.Sub(shown.Add(grain))
	}
	direction := "behind"
	if shown.After(answered) {
		direction = "ahead of"
	}
	message := fmt.Sprintf("%s clock is at least %s %s this machine's", whose, off.Round(10*time.Millisecond), direction)
	const remedy = "keep both clocks by NTP (chronyc tracking or timedatectl shows how this machine's is)"
	switch {
	case off > skewFails:
		return fail(check, message, remedy)
	case off > skewWarns:
		return warn(check, message, remedy)
	}
	return pass(check, fmt.Sprintf("%s clock agrees with this machine's to %s", whose, skewWarns))
}
