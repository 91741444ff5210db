package config

import (
	"fmt"
	"strings"
	"testing"
)

const eventsSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func eventURLs(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("https://a%d.dev/hook", i)
	}
	return strings.Join(list, ",")
}

func TestEventRules(t *testing.T) {
	t.Parallel()
	base := with(production(), "EVENTS_WEBHOOK_SECRET", eventsSecret)
	runRules(t, base,
		good("EVENTS_WEBHOOK_URLS", "https://a.dev", "https://a.dev/x?t0ken=y%2C", "https://a.dev:8443/x, https://a.dev:8443/y", "http://127.0.0.1:9/x", "http://localhost/x",
			"http://[::1]:9/x", eventURLs(10)),
		bad("EVENTS_WEBHOOK_URLS", "http://a.dev/hook", "http://127.0.0.1.evil.dev/x", "a.dev/hook", "/hook", "https://?", "https:///hook", "ftp://a.dev/hook", "https://us3r:pa55@a.dev/hook",
			"https://us3r@a.dev/hook", "https://a.dev/hook#x", "https://a.dev/hook#", "https://a.dev/hook,https://a.dev/hook", "https://a.dev/hook,", "https://a.dev/%zz",
			"https://a.dev:0/hook", "https://a b.dev/hook", "https://a.dev/h\x01k", "javascript:alert(1)", "disabled", eventURLs(11), "https://a.dev/"+strings.Repeat("x", 2048)),
		good("EVENTS_WEBHOOK_SECRET", "whsec_AAEC, whsec_BAUG"),
		bad("EVENTS_WEBHOOK_SECRET", "MfKQ9r8GKYqrTwjUPD8I", "whsec_", "whsec_MfKQ9*", "whsec_AAECAw", "whsec_AAEC,hunter2hunter2", "whsec_AAEC,,whsec_BAUG"),
		good("EVENTS_STREAM", "events", "a:{b}/c", "~", strings.Repeat("s", 200)),
		bad("EVENTS_STREAM", "two words", "ä", "a\x01", strings.Repeat("s", 201)),
		good("EVENTS_STREAM_MAXLEN", "1", "1000000000"),
		bad("EVENTS_STREAM_MAXLEN", "0", "-1", "1000000001", "many"),
	)
	runRules(t, with(development(), "EVENTS_WEBHOOK_SECRET", eventsSecret),
		good("EVENTS_WEBHOOK_URLS", "http://a.dev/hook"), bad("EVENTS_WEBHOOK_URLS", "http://us3r@a.dev/hook"))
	mustLoad(t, base) // a secret alone is in nobody's way
	wantOnly(t, faultsOf(t, with(production(), "EVENTS_WEBHOOK_URLS", "https://a.dev/hook")), "EVENTS_WEBHOOK_SECRET")
}
