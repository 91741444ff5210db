package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// versionTag is the strong entity tag of a resource that counts its changes, such as "v3".
func versionTag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

// endedSuffix marks the representation of a profile whose suspension ended by
// itself: that changes its status, but is no change of the profile and leaves the version alone.
const endedSuffix = "-ended"

// adminTag is the entity tag of a profile as admins see it.
func adminTag(p *domain.Profile, now time.Time) string {
	if p.Status == domain.StatusSuspended && !p.SuspendedAt(now) {
		return `"v` + strconv.FormatInt(p.Version, 10) + endedSuffix + `"`
	}
	return versionTag(p.Version)
}

// contentTag is the strong entity tag of a view that must not tell the version.
func contentTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// ifMatchOf is the request's If-Match precondition.
func ifMatchOf(c echo.Context) domain.IfMatch {
	return parseIfMatch(c.Request().Header.Values("If-Match"))
}

// parseIfMatch reads If-Match (RFC 9110, section 13.1.1). A tag that is weak, or
// not one of ours, matches no version.
func parseIfMatch(values []string) domain.IfMatch {
	m := domain.IfMatch{Present: len(values) > 0}
	for _, tag := range splitTags(values) {
		if tag == "*" {
			m.Any = true
			continue
		}
		tag = strings.TrimSuffix(strings.TrimSuffix(tag, `"`), endedSuffix) + `"`
		digits, ours := strings.CutPrefix(strings.Trim(tag, `"`), "v")
		if v, err := strconv.ParseInt(digits, 10, 64); ours && err == nil && tag == versionTag(v) {
			m.Versions = append(m.Versions, v)
		}
	}
	return m
}

// noneMatch tells whether If-None-Match names the tag. The comparison is weak,
// as the RFC asks.
func noneMatch(values []string, etag string) bool {
	for _, tag := range splitTags(values) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// splitTags may split at commas because none of our tags holds one.
func splitTags(values []string) []string {
	var tags []string
	for _, t := range strings.Split(strings.Join(values, ","), ",") {
		if t = strings.TrimSpace(t); t != "" {
			tags = append(tags, t)
		}
	}
	return tags
}
