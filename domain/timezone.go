package domain

import (
	"strings"
	"time"
)

// knownTimeZone tells whether s names a zone of the IANA database. The files of
// some systems hold more than zones; what is accepted must not depend on them.
// The program embeds the database (time/tzdata) for machines without any.
func knownTimeZone(s string) bool {
	if s == "" || len(s) > 64 || !isAlpha(s[0]) || strings.HasSuffix(s, "/") || strings.Contains(s, "//") {
		return false
	}
	for i := range len(s) {
		if !isAlphanum(s[i]) && !strings.ContainsRune("_+-/", rune(s[i])) {
			return false
		}
	}
	switch first, _, _ := strings.Cut(s, "/"); first {
	case "Local", "localtime", "posix", "right", "posixrules", "Factory":
		return false
	}
	_, err := time.LoadLocation(s)
	return err == nil
}
