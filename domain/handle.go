package domain

import (
	"encoding/base32"
	"fmt"
	"io"
	"strings"
	"time"
)

// ReleasedHandleHold is how long a released handle is kept from others.
const ReleasedHandleHold = 30 * 24 * time.Hour

// PurposeReleasedHandle is the [Pseudonymizer] purpose under which released
// handles are remembered, by their [HandleKey].
const PurposeReleasedHandle = "released-handle"

// HandleTaken is the error of a handle that somebody else has, or that is kept
// for its last owner.
func HandleTaken(cause error) *Error {
	return NewError(Conflict, CodeHandleTaken, "This handle is taken.").WithCause(cause)
}

var handleAlphabet = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// NewHandle makes a handle from 80 random bits: user_ and 16 characters. It
// tells nothing of the person, and two alike will not be seen.
func NewHandle(random io.Reader) (string, error) {
	var b [10]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness for a handle: %w", err)
	}
	return "user_" + handleAlphabet.EncodeToString(b[:]), nil
}

// ValidHandle tells whether s has the form of a handle: 3–30 ASCII letters,
// digits and underscores. A reserved handle has it too.
func ValidHandle(s string) bool {
	if len(s) < 3 || len(s) > 30 {
		return false
	}
	for i := range len(s) {
		if !isAlphanum(s[i]) && s[i] != '_' {
			return false
		}
	}
	return true
}

// HandleKey is the form under which handles are unique: ASCII lower case.
func HandleKey(handle string) string { return strings.ToLower(handle) }

// ReservedHandle tells whether nobody may take the handle, whatever its case.
func ReservedHandle(handle string) bool { return reservedHandles[HandleKey(handle)] }

func isAlpha(c byte) bool    { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool    { return c >= '0' && c <= '9' }
func isAlphanum(c byte) bool { return isAlpha(c) || isDigit(c) }

// reservedHandles would let a person pass for the service or its staff, or
// clash with a path of the site.
var reservedHandles = setOf(
	"me", "my", "self", "you", "user", "users", "account", "accounts", "profile", "profiles", "handle", "handles",
	"admin", "admins", "administrator", "administrators", "root", "superuser", "sysadmin", "system", "sudo", "owner",
	"moderator", "moderators", "mod", "mods", "staff", "team", "official", "verified", "operator", "operators",
	"support", "help", "helpdesk", "contact", "feedback", "abuse", "security", "safety", "trust", "privacy", "legal",
	"terms", "tos", "policy", "policies", "copyright", "dmca", "gdpr", "about", "blog", "news", "press", "jobs",
	"careers", "status", "billing", "payment", "payments", "pay", "invoice", "invoices", "pricing", "sales", "store",
	"shop", "api", "apis", "app", "apps", "www", "web", "site", "mail", "email", "smtp", "imap", "ftp", "dns", "cdn",
	"static", "assets", "media", "images", "img", "files", "download", "downloads", "upload", "uploads", "public",
	"private", "internal", "docs", "doc", "documentation", "openapi", "swagger", "graphql", "webhook", "webhooks",
	"oauth", "oauth2", "oidc", "sso", "saml", "auth", "login", "log_in", "logout", "log_out", "signin", "sign_in",
	"signout", "sign_out", "signup", "sign_up", "register", "registration", "password", "reset", "verify", "session",
	"sessions", "token", "tokens", "settings", "preferences", "config", "dashboard", "home", "index", "search",
	"explore", "discover", "notifications", "notification", "message", "messages", "inbox", "activity", "export",
	"health", "ready", "live", "metrics", "debug", "pprof", "problems", "well_known", "robots", "sitemap", "favicon",
	"test", "demo", "guest", "anonymous", "anon", "nobody", "everyone", "all", "none", "null", "nil", "undefined",
	"true", "false", "nan", "unknown", "deleted", "erased", "suspended", "bot", "robot", "daemon", "postmaster",
	"hostmaster", "webmaster", "noreply", "no_reply", "mailer_daemon", "info", "new", "edit", "create", "update",
	"delete", "remove", "clerk",
)

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}
