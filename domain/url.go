package domain

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanURL takes an absolute https URL with a host and without credentials, as
// it is. It is shown to other people, so what parsers read differently
// (spaces, backslashes, user info) is refused.
func cleanURL(s string) (string, *fault) {
	malformed := &fault{FieldInvalidFormat, "Must be an absolute URL with a host and without a user name."}
	if !utf8.ValidString(s) {
		return "", &fault{FieldInvalidUTF8, "Must be valid UTF-8."}
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return "", &fault{FieldControlCharacters, "Must not hold control characters."}
	}
	if f := lengthFault(s, 0, maxURL); f != nil {
		return "", f
	}
	u, err := url.Parse(s)
	if err != nil || strings.ContainsAny(s, "\\<>\"`{}|^") || strings.IndexFunc(s, unicode.IsSpace) >= 0 {
		return "", malformed
	}
	if u.Scheme != "" && u.Scheme != "https" {
		return "", &fault{FieldNotHTTPS, "Must begin with https://."}
	}
	if u.Scheme == "" || u.User != nil || !plausibleHost(u) {
		return "", malformed
	}
	return s, nil
}

func plausibleHost(u *url.URL) bool {
	host, port := u.Hostname(), u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return false
	}
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is6()
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.ContainsAny(label, "!$&'()*+,;=%:@/?#[]") {
			return false
		}
	}
	return true
}
