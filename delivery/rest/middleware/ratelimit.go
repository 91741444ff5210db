package middleware

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// PurposeRateLimit is the pseudonymizer purpose of the limiter's keys: what
// names a person or an address does not lie in the cache.
const PurposeRateLimit = "rate-limit"

// RateLimit counts each request: a caller with a valid token under user, all
// others, bad tokens included, under ip. It comes before the access rules, so
// that guessing tokens is limited too. Health routes are exempt, and admins when
// adminBypass is set; so are verified deliveries, whose bursts come from a few
// addresses of one sender's, and which must be taken fast when the cache is away.
func RateLimit(limiter usecase.Limiter, adminBypass bool, hashes domain.Pseudonymizer, clock usecase.Clock, m *Metrics) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			s := StateOf(c)
			if s.Route.Health || s.Delivery != nil {
				return next(c)
			}
			policy, key := domain.PolicyIP, limitKey(s.ClientIP)
			if s.Principal.SignedIn() {
				policy, key = domain.PolicyUser, s.Principal.UserID
			}
			if adminBypass && s.Principal.IsAdmin() {
				m.decisions.WithLabelValues(string(policy), "bypassed").Inc()
				return next(c)
			}
			d := limiter.Allow(c.Request().Context(), policy, hashes.Hash(PurposeRateLimit, key))
			m.decisions.WithLabelValues(string(d.Policy), decisionOutcome(d)).Inc()
			if d.Allowed { // then the global quota, the second to be asked, let it through as well
				m.decisions.WithLabelValues(string(domain.PolicyGlobal), decisionOutcome(d)).Inc()
			}
			if !d.Rate.Unlimited() {
				rateHeaders(c.Response().Header(), d, clock.Now())
			}
			if d.Allowed {
				return next(c)
			}
			return domain.NewError(domain.RateLimited, domain.CodeRateLimited,
				"Too many requests. Please wait as long as Retry-After says.").WithRetryAfter(d.RetryAfter)
		}
	}
}

func decisionOutcome(d domain.RateDecision) string {
	outcome := "refused"
	if d.Allowed {
		outcome = "allowed"
	}
	if d.Local {
		outcome += "_local"
	}
	return outcome
}

// rateHeaders writes the fields of draft-ietf-httpapi-ratelimit-headers-10 and
// the older X- ones. Times are whole seconds, rounded up.
func rateHeaders(h http.Header, d domain.RateDecision, now time.Time) {
	reset := wholeSeconds(d.ResetAfter)
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", d.Policy, d.Rate.Quota, wholeSeconds(d.Rate.Period)))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", d.Policy, d.Remaining, reset))
	h.Set("X-RateLimit-Limit", strconv.Itoa(d.Rate.Quota))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(d.Remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(int64(math.Ceil(float64(now.Add(d.ResetAfter).UnixMilli())/1000)), 10))
}

func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
