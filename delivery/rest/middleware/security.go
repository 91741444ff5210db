package middleware

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// SecurityHeaders puts the security headers on every response, errors too, and
// refuses plain HTTP behind a trusted proxy when requireHTTPS is set. It refuses
// rather than redirects: a redirect would teach clients to send tokens in the
// clear first. Strict-Transport-Security goes out over https only (RFC 6797, section 7.2).
func SecurityHeaders(proxies Proxies, requireHTTPS bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			h := c.Response().Header()
			SetSecurityHeaders(h)
			scheme := proxies.Scheme(c.Request())
			if scheme == "https" {
				h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
			}
			if requireHTTPS && scheme == "http" && !StateOf(c).Route.Health {
				return domain.NewError(domain.Forbidden, domain.CodeForbidden, "This service answers over https only.")
			}
			return next(c)
		}
	}
}

// SetSecurityHeaders sets what every response has, whoever writes it.
func SetSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	// The front end lives on another origin; what it may read, CORS decides.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store") // handlers of public reads relax it
}

// Hosts refuses requests for other hosts: 421 (RFC 9110, section 15.5.20). An
// entry is an exact host or, with a leading dot, a domain and all below it; the
// port does not count. Probes come by address, so health routes are exempt. An
// empty list allows every host.
func Hosts(allowed []string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if len(allowed) == 0 || StateOf(c).Route.Health || hostAllowed(allowed, c.Request().Host) {
				return next(c)
			}
			return domain.NewError(domain.Misdirected, domain.CodeMisdirectedRequest, "This service does not answer for the host that was asked for.")
		}
	}
}

func hostAllowed(allowed []string, hostport string) bool {
	host := hostOnly(hostport)
	for _, a := range allowed {
		a = strings.ToLower(a)
		switch {
		case a == "*":
			return true
		case strings.HasPrefix(a, "."):
			if host == a[1:] || (strings.HasSuffix(host, a) && len(host) > len(a)) {
				return true
			}
		case host == strings.Trim(a, "[]"):
			return true
		}
	}
	return false
}

// hostOnly cuts the port and the root's dot off; IPv6 loses its brackets. Empty
// for what is no host with or without a port (RFC 3986, section 3.2): user
// information, say, which another reader would take for the host.
func hostOnly(hostport string) string {
	host, port := strings.ToLower(hostport), ""
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return ""
		}
		host, port = host[1:end], host[end+1:]
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host, port = host[:i], host[i:]
	}
	if port != "" && (port[0] != ':' || strings.Trim(port[1:], "0123456789") != "") {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}
