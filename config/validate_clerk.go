package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

func (c *checker) clerk() {
	c.clerkKeys()
	c.clerkURLs()
	if c.s.ClerkJWTKey != "" {
		if problem := publicKeyProblem(c.s.ClerkJWTKey); problem != "" {
			c.fault("CLERK_JWT_KEY", "%s", problem)
		}
	}
	for i, party := range c.s.ClerkAuthorizedParties {
		if problem := originProblem(party, c.s.Production()); problem != "" {
			c.fault("CLERK_AUTHORIZED_PARTIES", "%s (place %d of the list)%s", problem, i+1, echo(party))
		}
	}
	for i, secret := range c.s.ClerkWebhookSecret {
		if !validWebhookSecret(secret.Reveal()) {
			c.fault("CLERK_WEBHOOK_SECRET", "must be whsec_ and base64 (place %d of the list)", i+1)
		}
	}
	if len(c.s.ClerkRoleClaim) > 200 || !rolePath.MatchString(c.s.ClerkRoleClaim) {
		c.fault("CLERK_ROLE_CLAIM", "must be names of letters, digits, _ and - joined by dots, such as metadata.role%s", echo(c.s.ClerkRoleClaim))
	} else if slices.Contains(strings.Split(c.s.ClerkRoleClaim, "."), "unsafe_metadata") {
		// Clerk lets the browser write it, so that anybody could call themselves an admin.
		c.fault("CLERK_ROLE_CLAIM", "must not lead into unsafe_metadata, which people write themselves; use public_metadata%s", echo(c.s.ClerkRoleClaim))
	}
}

// validWebhookSecret accepts what Standard Webhooks has: whsec_ and base64.
func validWebhookSecret(secret string) bool {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return ok && err == nil && len(decoded) > 0
}

var (
	rolePath    = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	clerkSecret = regexp.MustCompile(`^sk_(test|live)_[!-~]+$`)
)

// clerkMode is the instance that a key of Clerk's belongs to: test, live, or
// empty when it does not begin as such a key does.
func clerkMode(key, prefix string) string {
	for _, mode := range []string{"test", "live"} {
		if strings.HasPrefix(key, prefix+mode+"_") {
			return mode
		}
	}
	return ""
}

func (c *checker) clerkKeys() {
	secret, publishable := c.s.ClerkSecretKey.Reveal(), c.s.ClerkPublishableKey
	secretMode, publishableMode := clerkMode(secret, "sk_"), clerkMode(publishable, "pk_")
	if secret != "" && !clerkSecret.MatchString(secret) {
		c.fault("CLERK_SECRET_KEY", "must begin with sk_test_ or sk_live_, and the key after it")
	}
	if secretMode == "test" && c.s.Production() {
		c.fault("CLERK_SECRET_KEY", "must be a live key (sk_live_) in production")
	}
	if publishable == "" {
		return
	}
	// The value is not repeated: the two keys are easily swapped.
	if _, ok := frontendHost(publishable); !ok {
		c.fault("CLERK_PUBLISHABLE_KEY", "must be pk_test_ or pk_live_ and the base64 of the Frontend API host followed by $")
	}
	if publishableMode == "test" && c.s.Production() {
		c.fault("CLERK_PUBLISHABLE_KEY", "must be a live key (pk_live_) in production")
	}
	if secretMode != "" && publishableMode != "" && secretMode != publishableMode {
		c.fault("CLERK_PUBLISHABLE_KEY", "must be of the same mode, test or live, as CLERK_SECRET_KEY")
	}
}

// frontendHost is the host, with its port if there is one, that a publishable
// key encodes. Clerk has issued keys with and without base64's padding.
func frontendHost(key string) (string, bool) {
	mode := clerkMode(key, "pk_")
	if mode == "" {
		return "", false
	}
	encoded := strings.TrimPrefix(key, "pk_"+mode+"_")
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		decoded, err = base64.RawStdEncoding.Strict().DecodeString(encoded)
	}
	if err != nil {
		return "", false
	}
	host, ended := strings.CutSuffix(string(decoded), "$")
	if !ended || strings.ToLower(host) != host || !validHostPort(host) {
		return "", false
	}
	return host, true
}

func (c *checker) clerkURLs() {
	if issuer := c.s.ClerkIssuer; issuer != "" {
		u, problem := plainURL(issuer)
		switch {
		case problem != "":
			c.fault("CLERK_ISSUER", "%s", problem)
		case strings.HasSuffix(issuer, "/"):
			c.fault("CLERK_ISSUER", "must not end with a slash: it is compared exactly with iss%s", echo(issuer))
		case u.Scheme != "https" && !isLoopback(u.Hostname()):
			c.fault("CLERK_ISSUER", "must be an https URL%s", echo(issuer))
		}
	}
	api := c.s.ClerkAPIURL
	u, problem := plainURL(api)
	switch {
	case problem != "":
		c.fault("CLERK_API_URL", "%s", problem)
	case !strings.HasSuffix(u.Path, "/v1"):
		c.fault("CLERK_API_URL", "must end in /v1%s", echo(api))
	case c.s.Production() && u.Scheme != "https" && !isLoopback(u.Hostname()):
		c.fault("CLERK_API_URL", "must be https in production unless its host is loopback%s", echo(api))
	}
	for i, audience := range c.s.ClerkAudience {
		if strings.ContainsAny(audience, " \t") {
			c.fault("CLERK_AUDIENCE", "must not hold white space (place %d of the list)", i+1)
		}
	}
}

// plainURL parses an absolute http or https URL that has nothing but host,
// port and path. url.Parse repeats its input in its errors, so the problem does not use them.
func plainURL(text string) (*url.URL, string) {
	const expected = "must be an absolute URL such as https://host/path"
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !validHostPort(u.Host) {
		return nil, expected
	}
	if u.User != nil || strings.ContainsAny(text, "?#") {
		return nil, expected + ", without user, query or fragment"
	}
	return u, ""
}

// publicKeyProblem says what is wrong with a PEM public key. It reads PKIX
// (PUBLIC KEY) and PKCS #1 (RSA PUBLIC KEY).
func publicKeyProblem(text string) string {
	const minBits = 2048
	block, rest := pem.Decode([]byte(text))
	if block == nil || strings.TrimSpace(string(rest)) != "" || !strings.HasPrefix(text, "-----BEGIN ") {
		return "must be one PEM block that begins -----BEGIN PUBLIC KEY-----"
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return "must be the public key, and a private one was given: replace that key, it is no longer a secret"
	default:
		return "must be a PEM block of the type PUBLIC KEY"
	}
	if err != nil {
		return "must be a PEM public key; its content cannot be read"
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < minBits {
		return "must be an RSA key with at least 2048 bits"
	}
	return ""
}
