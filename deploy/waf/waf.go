// Package waf is the configuration of the web application firewall: what this
// API allows, and where the OWASP Core Rule Set would stop what is no attack.
package waf

import "embed"

// Files are the configuration as it was built in. A folder of the same files
// may take the place of any of them; see WAF_RULES_DIR.
//
//go:embed *.conf
var Files embed.FS

// The files, in the order in which the engine reads them. Between Before and
// After come the rules of the Core Rule Set.
const (
	Engine = "engine.conf" // bodies, limits
	Before = "before.conf" // what the API allows, and exclusions for some routes
	After  = "after.conf"  // exclusions for all routes
)
