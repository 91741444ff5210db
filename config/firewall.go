package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Firewall is every setting of cmd/waf, the web application firewall. They are
// apart from [Settings]: it is another program, which knows no secret.
type Firewall struct {
	Upstream         *url.URL       // WAF_UPSTREAM
	HTTPAddr         string         // WAF_HTTP_ADDR
	OpsAddr          string         // WAF_OPS_ADDR
	DetectOnly       bool           // WAF_MODE is detection-only
	ParanoiaLevel    int            // WAF_PARANOIA_LEVEL
	AnomalyThreshold int            // WAF_ANOMALY_THRESHOLD
	RulesDir         string         // WAF_RULES_DIR; empty for the built-in rules alone
	MaxBodyBytes     int64          // WAF_MAX_BODY_BYTES
	TrustedProxies   []netip.Prefix // WAF_TRUSTED_PROXIES
	RequestTimeout   time.Duration  // WAF_REQUEST_TIMEOUT
	DrainDelay       time.Duration  // WAF_DRAIN_DELAY
	ShutdownTimeout  time.Duration  // WAF_SHUTDOWN_TIMEOUT
}

// FirewallVariable is one of the firewall's settings, for the documentation.
type FirewallVariable struct{ Name, Default, Rule string }

// FirewallReference lists them in the order of the README.
func FirewallReference() []FirewallVariable {
	return []FirewallVariable{
		{"WAF_UPSTREAM", "", "http:// or https:// and the host of the API, with a port or not; nothing else"},
		{"WAF_HTTP_ADDR", ":8080", "[HOST]:PORT that clients come to"},
		{"WAF_OPS_ADDR", "127.0.0.1:9090", "[HOST]:PORT of the operators' listener: /metrics, /health/live; not that of WAF_HTTP_ADDR"},
		{"WAF_MODE", "on", "on, or detection-only, which logs and counts what it would stop"},
		{"WAF_PARANOIA_LEVEL", "1", "1 to 4; each level adds rules that are more often wrong"},
		{"WAF_ANOMALY_THRESHOLD", "5", "1 to 1000 points from which a request is stopped; a critical rule counts 5"},
		{"WAF_RULES_DIR", "", "absolute path of a folder whose engine.conf, before.conf and after.conf take the place of those of deploy/waf"},
		{"WAF_MAX_BODY_BYTES", "65536", "1 to 1048576; at least MAX_BODY_BYTES of the API; Clerk's deliveries may have 1 MiB in any case"},
		{"WAF_TRUSTED_PROXIES", "", "comma-separated CIDRs or addresses of proxies in front, whose X-Forwarded-For and -Proto are believed; at least /8 each"},
		{"WAF_REQUEST_TIMEOUT", "130s", "1s to 1h for the API to begin its answer, which must end within 40s more; longer than ADMIN_REQUEST_TIMEOUT"},
		{"WAF_DRAIN_DELAY", "5s", "0s to 1h between /health/ready off and the end of accepting"},
		{"WAF_SHUTDOWN_TIMEOUT", "30s", "1ms to 1h for what is in flight"},
	}
}

// LoadFirewall reads the firewall's settings from the environment. The error,
// when there is one, is a [Faults] with everything that is wrong.
func LoadFirewall(opts Options) (*Firewall, error) {
	r := &firewallReader{env: environ(opts.Environ), rules: map[string]string{}}
	for _, v := range FirewallReference() {
		r.rules[v.Name] = v.Rule
		if strings.TrimSpace(r.env[v.Name]) == "" {
			r.env[v.Name] = v.Default
		}
	}
	for name := range r.env {
		if _, known := r.rules[name]; !known && strings.HasPrefix(name, "WAF_") {
			r.faults.add(name, "is no setting of the firewall; see the README")
		}
	}
	s := &Firewall{
		Upstream: r.upstream(), HTTPAddr: r.addr("WAF_HTTP_ADDR"), OpsAddr: r.addr("WAF_OPS_ADDR"), DetectOnly: r.mode(),
		ParanoiaLevel: int(r.number("WAF_PARANOIA_LEVEL", 1, 4)), AnomalyThreshold: int(r.number("WAF_ANOMALY_THRESHOLD", 1, 1000)),
		RulesDir: r.folder("WAF_RULES_DIR"), MaxBodyBytes: r.number("WAF_MAX_BODY_BYTES", 1, 1<<20), TrustedProxies: r.proxies("WAF_TRUSTED_PROXIES"),
		RequestTimeout:  r.duration("WAF_REQUEST_TIMEOUT", time.Second, time.Hour),
		DrainDelay:      r.duration("WAF_DRAIN_DELAY", 0, time.Hour),
		ShutdownTimeout: r.duration("WAF_SHUTDOWN_TIMEOUT", time.Millisecond, time.Hour),
	}
	if sameListener(s.HTTPAddr, s.OpsAddr) {
		r.wrong("WAF_OPS_ADDR", s.OpsAddr)
	}
	if len(r.faults) > 0 {
		return nil, r.faults.sorted()
	}
	return s, nil
}

// sameListener tells of two addresses that cannot both be listened on: one port, and one host or all of them.
func sameListener(a, b string) bool {
	hostA, portA, okA := listenAddress(a)
	hostB, portB, okB := listenAddress(b)
	if !okA || !okB || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || everyAddress(hostA) || everyAddress(hostB)
}

type firewallReader struct {
	env, rules map[string]string
	faults     Faults
}

func (r *firewallReader) wrong(name, value string) {
	r.faults.add(name, "must be: %s%s", r.rules[name], echo(value))
}

func (r *firewallReader) upstream() *url.URL {
	const name = "WAF_UPSTREAM"
	text := strings.TrimSpace(r.env[name])
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" ||
		u.ForceQuery || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		r.wrong(name, text)
		return nil
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			r.wrong(name, text)
			return nil
		}
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}
}

func (r *firewallReader) mode() bool {
	switch text := strings.TrimSpace(r.env["WAF_MODE"]); text {
	case "on":
	case "detection-only":
		return true
	default:
		r.wrong("WAF_MODE", text)
	}
	return false
}

func (r *firewallReader) addr(name string) string {
	text := strings.TrimSpace(r.env[name])
	if _, _, ok := listenAddress(text); !ok {
		r.wrong(name, text)
		return ""
	}
	return text
}

func (r *firewallReader) number(name string, least, most int64) int64 {
	text := strings.TrimSpace(r.env[name])
	n, err := parseInt(text)
	if err != nil || n < least || n > most {
		r.wrong(name, text)
	}
	return n
}

func (r *firewallReader) duration(name string, least, most time.Duration) time.Duration {
	text := strings.TrimSpace(r.env[name])
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		r.wrong(name, text)
	}
	return d
}

func (r *firewallReader) folder(name string) string {
	path := strings.TrimSpace(r.env[name])
	if path == "" {
		return ""
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.faults.add(name, "there is no such folder; must be: %s%s", r.rules[name], echoPath(path))
	case err != nil || !info.IsDir() || !strings.HasPrefix(path, "/"):
		r.faults.add(name, "must be: %s%s", r.rules[name], echoPath(path))
	}
	return path
}

func (r *firewallReader) proxies(name string) (list []netip.Prefix) {
	text := strings.TrimSpace(r.env[name])
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		v, err := parsePrefix(strings.TrimSpace(item))
		prefix, ok := v.(netip.Prefix)
		if err != nil || !ok || prefix.Bits() < 8 {
			r.wrong(name, text)
			return nil
		}
		list = append(list, prefix)
	}
	return list
}
