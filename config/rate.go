package config

import (
	"strconv"
	"strings"
	"time"
)

const (
	maxQuota  = 1_000_000_000
	minPeriod = time.Millisecond
	maxPeriod = 24 * time.Hour
)

// Rate is a quota of requests per period. The zero value means off: no limit.
type Rate struct {
	Quota  int           // requests, 1 to 1e9
	Period time.Duration // 1 ms to 24 h
}

// Off tells whether no limit applies.
func (r Rate) Off() bool { return r == Rate{} }

// String renders the form of the settings, such as 100/1m or off.
func (r Rate) String() string {
	if r.Off() {
		return "off"
	}
	return strconv.Itoa(r.Quota) + "/" + formatDuration(r.Period)
}

// parseRate reads quota/period: a whole number, a slash, and a Go duration or
// a bare unit (10/s is 10/1s); or the word off.
func parseRate(text string) (Rate, error) {
	if text == "off" {
		return Rate{}, nil
	}
	quotaText, periodText, found := strings.Cut(text, "/")
	if !found {
		return Rate{}, parseError("must be quota/period such as 100/1m, or off")
	}
	quota, err := parseInt(strings.TrimSpace(quotaText))
	if err != nil || quota < 1 || quota > maxQuota {
		return Rate{}, parseError("must have a quota from 1 to 1000000000 before the slash, as in 100/1m")
	}
	periodText = strings.TrimSpace(periodText)
	switch periodText {
	case "s", "m", "h":
		periodText = "1" + periodText
	}
	period, err := time.ParseDuration(periodText)
	if err != nil || period < minPeriod || period > maxPeriod {
		return Rate{}, parseError("must have a period from 1ms to 24h after the slash, as in 100/1m")
	}
	return Rate{Quota: int(quota), Period: period}, nil
}

// formatDuration writes a duration as a person would: 10m, not 10m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
