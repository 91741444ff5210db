package middleware

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// Proxies are the networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
type Proxies []netip.Prefix

func (p Proxies) trusts(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// Peer parses the address of the connection's other end; invalid when there is none.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// ClientIP is the address to count a request under: the peer's, or, when the
// peer is a trusted proxy, the last address of X-Forwarded-For that is not one.
// Entries to the left of that are the client's invention. An entry that is no
// address ends the walk at the last believable hop.
func (p Proxies) ClientIP(r *http.Request) string {
	addr := peer(r)
	if !addr.IsValid() || !p.trusts(addr) {
		return render(addr)
	}
	hops := strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break
		}
		addr = hop
		if !p.trusts(hop) {
			break
		}
	}
	return render(addr)
}

// parseHop reads an address as proxies write it: bare, in brackets, or with a port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func render(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// Scheme is https or http as the connection, or a trusted proxy, says; empty
// when a direct peer speaks plain HTTP, which says nothing of what the client used.
func (p Proxies) Scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if !p.trusts(peer(r)) {
		return ""
	}
	// The last entry is the trusted proxy's own word.
	said := strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedProto), ","), ",")
	return strings.ToLower(strings.TrimSpace(said[len(said)-1]))
}

// Network shortens an address to what may be kept: IPv4 /24, IPv6 /48. Empty
// for what is no address.
func Network(ip string) string { return prefixOf(ip, 24, 48) }

// limitKey is the address under which an anonymous caller is counted: IPv4
// whole, IPv6 by its /64, which is one customer's (RFC 6177).
func limitKey(ip string) string { return prefixOf(ip, 32, 64) }

func prefixOf(ip string, bits4, bits6 int) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	bits := bits6
	if addr.Is4() {
		bits = bits4
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}

// Client notes the client's address in the state.
func Client(proxies Proxies) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			StateOf(c).ClientIP = proxies.ClientIP(c.Request())
			return next(c)
		}
	}
}
