package config

import (
	"net/url"
	"regexp"
	"strings"
)

const (
	maxEventURLs      = 10
	maxEventURLLength = 2048
)

var visibleASCII = regexp.MustCompile(`^[!-~]{1,200}$`)

// events checks where events go. The URLs are secrets, because many hold a token:
// a fault names the place in the list alone.
func (c *checker) events() {
	seen := map[string]bool{}
	for i, secret := range c.s.EventsWebhookURLs {
		raw := secret.Reveal()
		if problem := eventURLProblem(raw, c.s.Production()); problem != "" {
			c.fault("EVENTS_WEBHOOK_URLS", "%s (place %d of the list)", problem, i+1)
		} else if seen[raw] {
			c.fault("EVENTS_WEBHOOK_URLS", "must not name an endpoint twice (place %d of the list)", i+1)
		}
		seen[raw] = true
	}
	if len(c.s.EventsWebhookURLs) > maxEventURLs {
		c.fault("EVENTS_WEBHOOK_URLS", "must not be more than %d endpoints", maxEventURLs)
	}
	for i, secret := range c.s.EventsWebhookSecret {
		if !validWebhookSecret(secret.Reveal()) {
			c.fault("EVENTS_WEBHOOK_SECRET", "must be whsec_ and base64 (place %d of the list)", i+1)
		}
	}
	if len(c.s.EventsWebhookURLs) > 0 && len(c.s.EventsWebhookSecret) == 0 {
		c.fault("EVENTS_WEBHOOK_SECRET", "is required with EVENTS_WEBHOOK_URLS: nobody could tell our events from others'")
	}
	if c.s.EventsStream != "" && !visibleASCII.MatchString(c.s.EventsStream) {
		c.fault("EVENTS_STREAM", "must be 1 to 200 visible ASCII characters%s", echo(c.s.EventsStream))
	}
}

func eventURLProblem(raw string, production bool) string {
	const expected = "must be an absolute URL such as https://host/path"
	u, err := url.Parse(raw) // its error repeats the URL
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !validHostPort(u.Host) || len(raw) > maxEventURLLength {
		return expected
	}
	switch {
	case u.User != nil || strings.ContainsAny(raw, "#"):
		return expected + ", without user and fragment"
	case u.Scheme != "https" && production && !isLoopback(u.Hostname()):
		return "must be https in production unless its host is loopback"
	}
	return ""
}
