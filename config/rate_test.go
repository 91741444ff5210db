package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRatesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"100/1m": "100/1m", "10/s": "10/1s", "5/60s": "5/1m", "7/90s": "7/1m30s", "1/1h": "1/1h", "1/24h": "1/24h", "off": "off", "3/10m": "3/10m"} {
		rate, err := parseRate(text)
		if err != nil || rate.String() != want {
			t.Errorf("%s reads as %q, %v; want %q", text, rate.String(), err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{
			Quota:  rapid.IntRange(1, maxQuota).Draw(t, "quota"),
			Period: time.Duration(rapid.Int64Range(1, 86_400_000).Draw(t, "ms")) * time.Millisecond,
		}
		again, err := parseRate(rate.String())
		if err != nil || again != rate {
			t.Fatalf("%v reads back as %v, %v", rate, again, err)
		}
	})
}

func TestDurationsAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", time.Hour: "1h", 20 * time.Hour: "20h",
		time.Hour + time.Minute: "1h1m", time.Hour + time.Second: "1h0m1s", 1500 * time.Millisecond: "1.5s",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
