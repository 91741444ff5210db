package config

import "strings"

// derive brings values to the form that the rest of the program compares, and
// fills in what follows from other settings. What breaks a rule is left as it is, for check to find.
func derive(s *Settings) {
	s.ClerkAPIURL = strings.TrimSuffix(s.ClerkAPIURL, "/")
	s.ClerkJWTKey = unescapePEM(s.ClerkJWTKey)
	for i, host := range s.AllowedHosts {
		if normal, ok := normalHost(host); ok {
			s.AllowedHosts[i] = normal
		}
	}
	if s.origins["CLERK_ISSUER"].Source == SourceUnset {
		if host, ok := frontendHost(s.ClerkPublishableKey); ok {
			s.ClerkIssuer = "https://" + host
			s.origins["CLERK_ISSUER"] = Origin{Source: SourceDerived}
		}
	}
	if s.origins["DOCS_ENABLED"].Source == SourceUnset {
		s.DocsEnabled = !s.Production()
		s.origins["DOCS_ENABLED"] = Origin{Source: SourceDerived}
	}
	if s.origins["SECURITY_CONTACT"].Source == SourceUnset {
		s.SecurityContact = "mailto:security@" + ownDomain(s.AllowedHosts)
		s.origins["SECURITY_CONTACT"] = Origin{Source: SourceDerived}
	}
	// A smaller pool alone is no contradiction to a default that nobody chose.
	if s.origins["DB_MAX_IDLE_CONNS"].Source == SourceDefault && s.DBMaxIdleConns > s.DBMaxOpenConns && s.DBMaxOpenConns > 0 {
		s.DBMaxIdleConns = s.DBMaxOpenConns
		s.origins["DB_MAX_IDLE_CONNS"] = Origin{Source: SourceDerived}
	}
}

// ownDomain is the first host that can stand in an e-mail address: neither a
// star nor an IPv6 address.
func ownDomain(hosts []string) string {
	for _, host := range hosts {
		if host = strings.TrimPrefix(host, "."); host != "*" && !strings.Contains(host, ":") && validHost(host) {
			return host
		}
	}
	return "localhost"
}

// unescapePEM turns the two characters \n into line breaks: what is left of
// PEM where an environment variable can hold one line only.
func unescapePEM(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\r`, ""), `\n`, "\n")
	return strings.TrimSpace(strings.ReplaceAll(text, "\r", "")) + "\n"
}
