package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/profile-api/profile-api/repository/clerk"
	"github.com/profile-api/profile-api/repository/disk"
	"github.com/profile-api/profile-api/repository/valkey"
)

// oldestValkey is the oldest Redis that still gets security fixes; every Valkey is newer.
const oldestValkey = "6.2"

func (d *doctor) valkey(ctx context.Context) []Finding {
	client, err := valkey.NewClient(d.s.ValkeyURL.Reveal(), valkey.ClientOptions{Logger: d.log, PoolSize: 2})
	if err != nil {
		return []Finding{fail("valkey", "VALKEY_URL cannot be used", "repair VALKEY_URL")}
	}
	defer func() { _ = client.Close() }() // it has nothing to lose
	seen, err := valkey.Inspect(ctx, client)
	if err != nil {
		return []Finding{
			fail("valkey", "rates cannot be counted together, each replica counts alone: "+cause(err),
				"look whether the server runs, VALKEY_URL names it with the right user and password, and it may write (docs/runbooks/valkey-loss.md)"),
			valkeyTLS(&seen),
		}
	}
	return []Finding{pass("valkey", "it answers and counts"), valkeyVersion(&seen), valkeyEviction(&seen, d.s.EventsStream != ""), valkeyTLS(&seen)}
}

func valkeyVersion(seen *valkey.Inspection) Finding {
	const check = "valkey_version"
	switch {
	case seen.Refused || seen.Version == "":
		return warn(check, "the server does not tell", "let the user run INFO: ACL SETUSER … +info")
	case seen.Product == "redis" && older(seen.Version, oldestValkey):
		return warn(check, "redis "+printable(seen.Version)+" gets no fixes any more", "upgrade to Valkey, or to Redis "+oldestValkey+" or newer")
	}
	return pass(check, seen.Product+" "+printable(seen.Version))
}

// older compares the first two numbers of versions.
func older(version, than string) bool {
	numbers := func(v string) []int {
		var list []int
		for _, part := range strings.SplitN(v, ".", 3)[:min(2, strings.Count(v, ".")+1)] {
			n, _ := strconv.Atoi(part) // what is no number is old
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(version), numbers(than)) < 0
}

// printable keeps what a server calls itself to what may be in a version.
func printable(version string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r == '.' || r == '-' {
			return r
		}
		return -1
	}, version[:min(len(version), 20)])
}

// valkeyEviction wants limits and events to outlive a full memory: the counts
// expire by themselves, the stream of events does not.
func valkeyEviction(seen *valkey.Inspection, stream bool) Finding {
	const check = "valkey_eviction"
	const remedy = "CONFIG SET maxmemory-policy volatile-ttl, and the same in the server's configuration"
	switch {
	case seen.Refused || seen.Eviction == "":
		return warn(check, "the server does not tell", "let the user run INFO: ACL SETUSER … +info")
	case seen.MaxMemory == 0:
		return pass(check, "nothing is evicted: maxmemory is not set")
	case stream && strings.HasPrefix(seen.Eviction, "allkeys-"):
		return warn(check, "maxmemory-policy is "+printable(seen.Eviction)+": a full memory would drop the stream of events", remedy)
	case strings.HasSuffix(seen.Eviction, "-random"):
		return warn(check, "maxmemory-policy is "+printable(seen.Eviction)+": a full memory would forget limits that are in use", remedy)
	}
	return pass(check, "maxmemory-policy is "+printable(seen.Eviction))
}

func valkeyTLS(seen *valkey.Inspection) Finding {
	switch {
	case seen.Encrypted:
		return pass("valkey_tls", "the connection is encrypted and the certificate checked")
	case seen.Local:
		return pass("valkey_tls", "the connection stays on this machine")
	}
	return warn("valkey_tls", "the connection is in the clear", "say rediss:// or valkeys:// in VALKEY_URL, or keep the server in a network of its own")
}

// clerkVariables are those that Clerk is asked by.
var clerkVariables = []string{"CLERK_SECRET_KEY", "CLERK_API_URL"}

func (d *doctor) clerkOptions() clerk.InspectOptions {
	return clerk.InspectOptions{APIURL: d.s.ClerkAPIURL, SecretKey: d.s.ClerkSecretKey.Reveal(), Clock: d.clock}
}

const clerkRemedy = "look whether this machine may reach CLERK_API_URL, and at Clerk's status page (docs/runbooks/clerk-outage.md)"

// refusedKey are the answers of Clerk's to a key that is not, or no longer, valid.
func refusedKey(a clerk.Answer) bool {
	return a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden
}

const keyRemedy = "put the right instance's secret key into CLERK_SECRET_KEY (docs/runbooks/rotate-clerk-keys.md)"

func (d *doctor) keySet(ctx context.Context) []Finding {
	const check = "clerk_key_set"
	if d.s.ClerkJWTKey != "" {
		return []Finding{pass(check, "tokens are verified with CLERK_JWT_KEY, no key set is fetched")}
	}
	keys, answer, err := clerk.InspectKeySet(ctx, d.clerkOptions())
	switch {
	case err == nil:
		return []Finding{pass(check, fmt.Sprintf("%d keys for RS256", keys))}
	case refusedKey(answer):
		return []Finding{fail(check, "Clerk refuses the key set to this secret key", keyRemedy)}
	case answer.Status == http.StatusOK:
		return []Finding{fail(check, "Clerk's answer holds no RSA key for RS256 of 2048 bits or more: no token can be verified",
			"look whether CLERK_API_URL is Clerk's Backend API, and at the instance's keys in Clerk's dashboard")}
	case answer.Status != 0:
		return []Finding{fail(check, fmt.Sprintf("Clerk answers with status %d", answer.Status), clerkRemedy)}
	}
	return []Finding{fail(check, "Clerk cannot be asked: "+cause(err), clerkRemedy)}
}

func (d *doctor) secretKey(ctx context.Context) []Finding {
	const check = "clerk_secret_key"
	answer, err := clerk.InspectSecretKey(ctx, d.clerkOptions())
	var findings []Finding
	if !answer.Date.IsZero() { // also a refusal tells the time
		findings = append(findings, skew("clock_clerk", "Clerk's", answer.Date, time.Second, answer.Asked, answer.Arrived))
	}
	switch {
	case err == nil:
		return append(findings, pass(check, "Clerk takes it"))
	case refusedKey(answer):
		return append(findings, fail(check, "Clerk refuses CLERK_SECRET_KEY", keyRemedy))
	case answer.Status == http.StatusTooManyRequests:
		return append(findings, warn(check, "Clerk's rate limit is used up", "wait a minute; look whether something else uses this instance's key"))
	case answer.Status != 0:
		return append(findings, fail(check, fmt.Sprintf("Clerk answers with status %d, or what cannot be read", answer.Status), clerkRemedy))
	}
	return append(findings, fail(check, "Clerk cannot be asked: "+cause(err), clerkRemedy))
}

// issuer compares whose tokens are taken with whose secret key this is: with keys
// of two instances everything starts, and every token is refused.
func (d *doctor) issuer(ctx context.Context) []Finding {
	const check = "clerk_issuer"
	issuers, answer, err := clerk.InspectIssuers(ctx, d.clerkOptions())
	switch {
	case err == nil && slices.Contains(issuers, d.s.ClerkIssuer):
		return []Finding{pass(check, "tokens and secret key are of the same instance")}
	case err == nil && len(issuers) > 0:
		return []Finding{fail(check, "the secret key's instance does not issue tokens as CLERK_ISSUER: every token would be refused",
			"take CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY from the same instance, and set CLERK_ISSUER only for a Frontend API of another name")}
	case answer.Status == 0 && err != nil:
		return []Finding{warn(check, "not compared, Clerk cannot be asked: "+cause(err), clerkRemedy)}
	}
	return []Finding{warn(check, fmt.Sprintf("not compared: Clerk does not tell the instance's domains (status %d)", answer.Status),
		"compare the Frontend API URL in Clerk's dashboard with CLERK_ISSUER (profile-api config shows it)")}
}

func (d *doctor) disk(context.Context) []Finding {
	free, err := disk.Meter{Path: d.s.DiskPath}.FreePercent()
	least := float64(d.s.DiskMinFreePercent)
	const remedy = "make room or enlarge the disk (docs/runbooks/disk-space-low.md)"
	message := fmt.Sprintf("%.1f %% free, DISK_MIN_FREE_PERCENT=%d", free, d.s.DiskMinFreePercent)
	switch {
	case err != nil:
		return []Finding{fail("disk", "DISK_PATH cannot be measured", "set DISK_PATH to a directory that is there")}
	case free < least:
		return []Finding{fail("disk", message+": /health says unhealthy", remedy)}
	case free < 2*least:
		return []Finding{warn("disk", message+": /health says degraded below twice that", remedy)}
	}
	return []Finding{pass("disk", message)}
}
