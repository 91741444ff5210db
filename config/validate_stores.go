package config

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

func (c *checker) stores() {
	if raw := c.s.DatabaseURL.Reveal(); raw != "" {
		db, problem := parseDatabaseURL(raw)
		switch {
		case problem != "":
			c.fault("DATABASE_URL", "%s", problem)
		case c.s.Production() && !db.encrypted() && !db.local():
			c.fault("DATABASE_URL", "must have sslmode=require, verify-ca or verify-full in production, unless every host is loopback or a socket")
		default:
			if _, err := pgxpool.ParseConfig(raw); err != nil { // its text repeats most of the URL
				c.fault("DATABASE_URL", "has a parameter that the PostgreSQL driver cannot use, such as a file that is not there")
			}
		}
	}
	if raw := c.s.ValkeyURL.Reveal(); raw != "" {
		if _, problem := parseValkeyURL(raw); problem != "" {
			c.fault("VALKEY_URL", "%s", problem)
		} else if _, err := redis.ParseURL(c.s.RedisURL().Reveal()); err != nil {
			c.fault("VALKEY_URL", "must have usable query parameters")
		} else if !valkeyParametersOnly(raw) {
			c.fault("VALKEY_URL", "may have the query parameters db, pool_size and protocol only")
		}
	}
	if raw := c.s.SentryDSN.Reveal(); raw != "" && raw != SentryDisabled {
		host, problem := parseSentryDSN(raw)
		switch {
		case problem != "":
			c.fault("SENTRY_DSN", "%s", problem)
		case c.s.Production() && !strings.HasPrefix(raw, "https://") && !isLoopback(host):
			c.fault("SENTRY_DSN", "must begin with https:// in production: reports go out in the clear otherwise")
		}
	}
}

// valkeyParametersOnly tells whether the query holds none but what may be tuned
// there. The others would stretch deadlines or skip the check of a certificate.
func valkeyParametersOnly(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	for name := range u.Query() {
		if name != "db" && name != "pool_size" && name != "protocol" {
			return false
		}
	}
	return true
}

// authority checks what all URLs with credentials have in common: one @ at
// most, before the path. Everything else is where parsers disagree about which
// part is the host, and where half a password would pass for one.
func authority(raw string) (scheme, userinfo, hosts, rest, problem string) {
	scheme, after, found := strings.Cut(raw, "://")
	if !found {
		return "", "", "", "", "must be a URL"
	}
	hosts, rest = after, ""
	if i := strings.IndexAny(after, "/?#"); i >= 0 {
		hosts, rest = after[:i], after[i:]
	}
	if strings.ContainsAny(rest, "@#") || strings.Count(hosts, "@") > 1 || strings.ContainsAny(raw, " \t\\") {
		return scheme, "", "", "", "must have the characters @ / ? # \\ and spaces in user, password and parameters percent-encoded, such as %40 for @"
	}
	if i := strings.IndexByte(hosts, '@'); i >= 0 {
		userinfo, hosts = hosts[:i], hosts[i+1:]
	}
	if _, err := url.PathUnescape(userinfo); err != nil {
		return scheme, "", "", "", "must have a % in its user or password percent-encoded, as %25"
	}
	return scheme, userinfo, hosts, rest, ""
}

type databaseURL struct {
	hosts   []string // names, addresses or socket directories
	sslmode string
}

// encrypted tells whether the driver refuses a connection in the clear.
func (d databaseURL) encrypted() bool {
	return d.sslmode == "require" || d.sslmode == "verify-ca" || d.sslmode == "verify-full"
}

// local tells whether no host is beyond this machine.
func (d databaseURL) local() bool {
	for _, host := range d.hosts {
		if !strings.HasPrefix(host, "/") && !isLoopback(host) {
			return false
		}
	}
	return true
}

// parseDatabaseURL reads a PostgreSQL connection URI as pgx does (several
// hosts, percent-encoded sockets, ?host=), and refuses what would let another
// reader see another host or sslmode in it.
func parseDatabaseURL(raw string) (databaseURL, string) {
	scheme, _, hostList, rest, problem := authority(raw)
	if scheme != "postgres" && scheme != "postgresql" {
		return databaseURL{}, "must be a URL that begins with postgres:// or postgresql://"
	}
	if problem != "" {
		return databaseURL{}, problem
	}
	path, query, _ := strings.Cut(rest, "?")
	if _, err := url.PathUnescape(path); err != nil {
		return databaseURL{}, "must have a database name that is percent-encoded"
	}
	params, problem := databaseParams(query)
	if problem != "" {
		return databaseURL{}, problem
	}
	db := databaseURL{sslmode: params["sslmode"]}
	if _, given := params["sslmode"]; given && !validSSLMode(db.sslmode) {
		return databaseURL{}, "must have one of PostgreSQL's sslmodes, such as sslmode=verify-full"
	}
	host, given := params["host"]
	if given == (hostList != "") {
		return databaseURL{}, "must name its host once, before the path or as ?host="
	}
	if given {
		db.hosts = strings.Split(host, ",")
	} else if db.hosts, problem = splitHosts(hostList); problem != "" {
		return databaseURL{}, problem
	}
	for _, host := range db.hosts {
		if !strings.HasPrefix(host, "/") && !validHost(strings.ToLower(host)) {
			return databaseURL{}, "must have valid host names, addresses or absolute socket directories"
		}
	}
	for port := range strings.SplitSeq(params["port"], ",") {
		if port != "" && !validPort(port) {
			return databaseURL{}, "must have ports from 1 to 65535"
		}
	}
	return db, ""
}

// splitHosts reads host[:port],host[:port] of a connection URI.
func splitHosts(list string) ([]string, string) {
	var hosts []string
	for item := range strings.SplitSeq(list, ",") {
		var host, port string
		var hasPort bool
		if inner, ok := strings.CutPrefix(item, "["); ok {
			var after string
			host, after, ok = strings.Cut(inner, "]")
			if port, hasPort = strings.CutPrefix(after, ":"); !ok || (after != "" && !hasPort) {
				return nil, "must have an IPv6 address in brackets, such as [::1]:5432"
			}
		} else {
			host, port, hasPort = strings.Cut(item, ":")
		}
		if hasPort && !validPort(port) {
			return nil, "must have ports from 1 to 65535; a / or : in the password is written %2F or %3A"
		}
		decoded, err := url.PathUnescape(host)
		if err != nil || strings.Contains(decoded, ",") {
			return nil, "must have valid host names, addresses or absolute socket directories"
		}
		hosts = append(hosts, decoded)
	}
	return hosts, ""
}

func databaseParams(query string) (map[string]string, string) {
	params := map[string]string{}
	if query == "" {
		return params, ""
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, found := strings.Cut(pair, "=")
		key, keyErr := url.PathUnescape(key)
		value, valueErr := url.PathUnescape(value)
		if !found || keyErr != nil || valueErr != nil || key == "" {
			return nil, "must have parameters of the form name=value, percent-encoded and joined by &"
		}
		if _, twice := params[key]; twice {
			return nil, "must not give a parameter twice"
		}
		switch key {
		case "ssl":
			return nil, "must say sslmode=… and not ssl=…"
		case "service", "servicefile":
			return nil, "must not take host and sslmode from a service file, where they cannot be checked"
		}
		params[key] = value
	}
	return params, ""
}

func validSSLMode(mode string) bool {
	switch mode {
	case "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
		return true
	}
	return false
}

// parseValkeyURL returns the host name or address of a VALKEY_URL.
func parseValkeyURL(raw string) (host, problem string) {
	scheme, _, hostPort, rest, problem := authority(raw)
	switch scheme {
	case "redis", "rediss", "valkey", "valkeys":
	default:
		return "", "must be a URL that begins with redis://, rediss://, valkey:// or valkeys://"
	}
	if problem != "" {
		return "", problem
	}
	if !validHostPort(strings.ToLower(hostPort)) {
		return "", "must name a host, and a port from 1 to 65535 if any"
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", "must be a URL with every special character percent-encoded"
	}
	path, _, _ := strings.Cut(rest, "?")
	if number := strings.TrimPrefix(path, "/"); number != "" {
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n > 65535 {
			return "", "must have nothing but a database number as its path, such as /0"
		}
	}
	return u.Hostname(), ""
}

// isNumber tells whether text is digits alone, one at least.
func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// parseSentryDSN returns the host of a DSN.
func parseSentryDSN(raw string) (host, problem string) {
	const expected = "must be https://PUBLIC_KEY@HOST/PROJECT, or the word disabled"
	scheme, userinfo, hostPort, rest, problem := authority(raw)
	u, err := url.Parse(raw)
	project := rest[strings.LastIndexByte(rest, '/')+1:]
	key, _, _ := strings.Cut(userinfo, ":")
	if problem != "" || err != nil || (scheme != "https" && scheme != "http") || key == "" ||
		!validHostPort(strings.ToLower(hostPort)) || !isNumber(project) || strings.Contains(rest, "?") {
		return "", expected
	}
	return u.Hostname(), ""
}
