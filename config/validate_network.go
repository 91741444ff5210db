package config

import (
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

func (c *checker) network() {
	s := c.s
	for i, host := range s.AllowedHosts {
		if host == "*" {
			if s.Production() {
				c.fault("ALLOWED_HOSTS", "must not be * in production: name the hosts")
			}
			continue
		}
		if normal, ok := normalHost(host); !ok || normal != host {
			c.fault("ALLOWED_HOSTS", "must be hosts such as api.example.com, or .example.com, without scheme and path (place %d of the list)%s",
				i+1, echo(host))
		}
	}
	for i, origin := range s.CORSAllowedOrigins {
		if origin == "*" {
			if s.Production() {
				c.fault("CORS_ALLOWED_ORIGINS", "must not be * in production: name the origins")
			}
			continue
		}
		if problem := originProblem(origin, s.Production()); problem != "" {
			c.fault("CORS_ALLOWED_ORIGINS", "%s (place %d of the list)%s", problem, i+1, echo(origin))
		}
	}
	for _, prefix := range s.TrustedProxies {
		if !prefix.IsValid() {
			c.fault("TRUSTED_PROXIES", "must be CIDRs such as 10.0.0.0/8, or addresses")
		} else if prefix.Bits() == 0 && s.Production() {
			c.fault("TRUSTED_PROXIES", "must not be %s in production: anyone's X-Forwarded-For would be believed", prefix)
		}
	}
	if !validContact(s.SecurityContact) {
		c.fault("SECURITY_CONTACT", "must be mailto: with an address, or an https URL%s", echo(s.SecurityContact))
	}
	c.listeners()
}

// validContact accepts what RFC 9116, section 2.5.3, allows but telephone
// numbers, in one line: a line break would forge another field. Settings made by
// hand may leave it out.
func validContact(contact string) bool {
	if contact == "" {
		return true
	}
	u, err := url.Parse(contact)
	if err != nil || len(contact) > 2048 || strings.IndexFunc(contact, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return false
	}
	switch u.Scheme {
	case "mailto":
		address, err := mail.ParseAddress(u.Opaque)
		return err == nil && address.Address == u.Opaque
	case "https":
		return u.Host != "" && u.User == nil
	}
	return false
}

func (c *checker) listeners() {
	const expected = "must be [HOST]:PORT with a port from 0 to 65535, such as :8080 or 127.0.0.1:8080%s"
	httpHost, httpPort, httpOK := listenAddress(c.s.HTTPAddr)
	opsHost, opsPort, opsOK := listenAddress(c.s.OpsAddr)
	if !httpOK {
		c.fault("HTTP_ADDR", expected, echo(c.s.HTTPAddr))
	}
	if !opsOK {
		c.fault("OPS_ADDR", expected, echo(c.s.OpsAddr))
	}
	if !httpOK || !opsOK || !c.readable("HTTP_ADDR", "OPS_ADDR") || httpPort != opsPort || httpPort == "0" {
		return
	}
	if httpHost == opsHost || everyAddress(httpHost) || everyAddress(opsHost) {
		c.fault("OPS_ADDR", "must not be the address of HTTP_ADDR: the operators' pages are not for everyone")
	}
}

// listenAddress splits what net.Listen takes. Port 0 lets the system choose one.
func listenAddress(address string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || (port != "0" && !validPort(port)) {
		return "", "", false
	}
	return host, port, host == "" || validHost(strings.ToLower(host))
}

func everyAddress(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || (err == nil && addr.IsUnspecified())
}

// normalHost is an entry of ALLOWED_HOSTS as it is compared: lower case, no
// port, no brackets. An entry that begins with a dot is a suffix.
func normalHost(entry string) (string, bool) {
	host := strings.ToLower(entry)
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && addr.Zone() == "" {
		return addr.String(), true
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if !validPort(port) {
			return "", false
		}
		host = name
	}
	return host, validHost(strings.TrimPrefix(host, "."))
}

var (
	portShape   = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	labelShape  = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	originShape = regexp.MustCompile(`^([a-z][a-z0-9+.-]*)://([^/?#@\\\s]+)$`)
	numeric     = regexp.MustCompile(`^[0-9]+$`)
)

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && portShape.MatchString(port) && n <= 65535
}

// validHost accepts an IP address without brackets or a lower-case name of
// labels. The underscore is for the names that container networks give.
func validHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !labelShape.MatchString(label) {
			return false
		}
	}
	return len(host) <= 253 && !numeric.MatchString(labels[len(labels)-1])
}

// validHostPort accepts host, host:port, [v6] and [v6]:port.
func validHostPort(text string) bool {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, after, closed := strings.Cut(inner, "]")
		port, hasPort := strings.CutPrefix(after, ":")
		return closed && strings.Contains(host, ":") && validHost(host) && (after == "" || (hasPort && validPort(port)))
	}
	host, port, hasPort := strings.Cut(text, ":")
	return validHost(strings.ToLower(host)) && (!hasPort || validPort(port))
}

// isLoopback tells whether a host is this machine, by its name or address.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && addr.Unmap().IsLoopback())
}

// originProblem says why a text could never equal an Origin header or an azp,
// or should not: browsers send scheme and host in lower case, without the
// scheme's own port and without a path (RFC 6454 §6.2).
func originProblem(origin string, production bool) string {
	const expected = "must be an origin such as https://app.example.com, in lower case and with nothing after host and port"
	parts := originShape.FindStringSubmatch(origin)
	if parts == nil {
		return expected
	}
	scheme, hostPort := parts[1], parts[2]
	if hostPort != strings.ToLower(hostPort) || !validHostPort(hostPort) {
		return expected
	}
	if (scheme == "https" && strings.HasSuffix(hostPort, ":443")) || (scheme == "http" && strings.HasSuffix(hostPort, ":80")) {
		return "must leave out the port that is its scheme's own: browsers do, and it would never match"
	}
	host := hostPort
	if name, _, err := net.SplitHostPort(hostPort); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if scheme == "http" && production && !isLoopback(host) && !strings.HasSuffix(host, ".localhost") {
		return "must be https in production unless its host is loopback"
	}
	return ""
}
