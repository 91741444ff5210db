package doctor

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/profile-api/profile-api/config"
)

// settings judges what needs nobody's answer.
func (d *doctor) settings(faults config.Faults) []Finding {
	var findings []Finding
	for _, f := range faults { // their text is made to be shown
		findings = append(findings, fail("settings", f.Variable+" "+f.Message,
			"set "+f.Variable+" as its line in README.md says; profile-api config shows where it comes from"))
	}
	if len(faults) == 0 {
		findings = append(findings, pass("settings", "every setting keeps its rule, for the environment "+string(d.s.Environment)))
	}
	for _, c := range []struct {
		check string
		needs []string
		judge func(check string) Finding
	}{
		{"allowed_hosts", []string{"ALLOWED_HOSTS"}, d.allowedHosts},
		{"cors_origins", []string{"CORS_ALLOWED_ORIGINS"}, d.corsOrigins},
		{"trusted_proxies", []string{"TRUSTED_PROXIES"}, d.trustedProxies},
		{"webhook_secret", []string{"CLERK_WEBHOOK_SECRET"}, d.webhookSecret},
		{"events", []string{"EVENTS_WEBHOOK_URLS"}, d.events},
		{"sentry", []string{"SENTRY_DSN"}, d.sentry},
		{"traces", traceVariables, d.traces},
	} {
		finding, faulty := atFault(c.check, c.needs, faults)
		if !faulty {
			finding = c.judge(c.check)
		}
		findings = append(findings, finding)
	}
	return findings
}

// atFault tells whether a check cannot be made, because a variable that it needs is wrong.
func atFault(check string, needs []string, faults config.Faults) (Finding, bool) {
	for _, variable := range needs {
		if faults.Has(variable) {
			return warn(check, "not looked at: "+variable+" is at fault", "repair the setting, then run doctor again"), true
		}
	}
	return Finding{}, false
}

func (d *doctor) allowedHosts(check string) Finding {
	const remedy = "name the API's own hosts in ALLOWED_HOSTS, such as api.example.com"
	for _, host := range d.s.AllowedHosts {
		suffix, isSuffix := strings.CutPrefix(host, ".")
		if host == "*" || isSuffix && !strings.Contains(suffix, ".") {
			return warn(check, "ALLOWED_HOSTS takes almost any host", remedy)
		}
	}
	if len(d.s.AllowedHosts) == 0 {
		return warn(check, "ALLOWED_HOSTS is empty: any Host is taken", remedy)
	}
	return pass(check, fmt.Sprintf("%d in ALLOWED_HOSTS", len(d.s.AllowedHosts)))
}

func (d *doctor) corsOrigins(check string) Finding {
	switch origins := d.s.CORSAllowedOrigins; {
	case slices.Contains(origins, "*"):
		return warn(check, "CORS_ALLOWED_ORIGINS is *: pages of anybody's may read the answers", "name the front end's origins in CORS_ALLOWED_ORIGINS")
	case len(origins) == 0:
		return warn(check, "CORS_ALLOWED_ORIGINS is empty: no page of another origin can call the API",
			"set it to the front end's origins, or leave it when the front end has the API's own origin")
	default:
		return pass(check, fmt.Sprintf("%d in CORS_ALLOWED_ORIGINS", len(origins)))
	}
}

func (d *doctor) trustedProxies(check string) Finding {
	const widest = 8 // bits; a private network such as 10.0.0.0/8 may be a cluster's
	for _, prefix := range d.s.TrustedProxies {
		if prefix.Bits() < widest {
			return warn(check, "TRUSTED_PROXIES holds a network of more than a 256th of all addresses: whoever is in it can forge who calls",
				"name the proxies' own networks in TRUSTED_PROXIES")
		}
	}
	if len(d.s.TrustedProxies) == 0 && d.s.Production() {
		return warn(check, "TRUSTED_PROXIES is empty: behind a proxy all callers share its address and its rate limit",
			"set it to the load balancer's network, or leave it when callers connect directly")
	}
	return pass(check, fmt.Sprintf("%d in TRUSTED_PROXIES", len(d.s.TrustedProxies)))
}

func (d *doctor) webhookSecret(check string) Finding {
	if len(d.s.ClerkWebhookSecret) == 0 {
		return warn(check, "CLERK_WEBHOOK_SECRET is not set: changes at Clerk arrive by reconciliation alone",
			"add the endpoint in Clerk's dashboard and set its signing secret as CLERK_WEBHOOK_SECRET")
	}
	return pass(check, "Clerk's webhooks are verified")
}

func (d *doctor) events(check string) Finding {
	plain := 0
	for _, endpoint := range d.s.EventsWebhookURLs {
		if !strings.HasPrefix(strings.ToLower(endpoint.Reveal()), "https://") {
			plain++
		}
	}
	switch {
	case len(d.s.EventsWebhookURLs) > 0 && len(d.s.EventsWebhookSecret) == 0:
		return fail(check, "EVENTS_WEBHOOK_SECRET is not set: nobody could verify the events", "set it, and give the same to the receivers (docs/events.md)")
	case plain > 0:
		return warn(check, fmt.Sprintf("%d of %d EVENTS_WEBHOOK_URLS are not https: events travel in the clear", plain, len(d.s.EventsWebhookURLs)),
			"give the receivers a certificate and change http to https")
	case len(d.s.EventsWebhookURLs) == 0 && d.s.EventsStream == "":
		return pass(check, "no event is sent to anybody")
	}
	return pass(check, fmt.Sprintf("%d endpoints over https, signed; stream: %t; no event was sent", len(d.s.EventsWebhookURLs), d.s.EventsStream != ""))
}

func (d *doctor) sentry(check string) Finding {
	if !d.s.SentryEnabled() {
		return warn(check, "Sentry is off: unexpected errors are in the log alone", "set SENTRY_DSN to the project's DSN, or watch the log for the level ERROR")
	}
	return pass(check, "SENTRY_DSN is set; no event was sent")
}

// traceVariables are those that say where spans go, and with what.
var traceVariables = []string{
	"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
	"OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SDK_DISABLED",
}

// traces minds what goes in the clear to another machine only where headers go
// along: spans hold nothing of anybody's.
func (d *doctor) traces(check string) Finding {
	t := d.s.Traces()
	if t.Endpoint == "" {
		return pass(check, "tracing is off")
	}
	u, err := url.Parse(t.Endpoint)
	if err != nil || u.Scheme != "https" && len(t.Headers) > 0 && !loopback(u.Hostname()) {
		return warn(check, "the collector's URL is not https: the headers for it, and credentials in them, travel in the clear",
			"change OTEL_EXPORTER_OTLP_ENDPOINT (or that for traces alone) to https, its certificate authority goes into SSL_CERT_FILE; or set no headers")
	}
	return pass(check, "tracing is on; no span was sent")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
