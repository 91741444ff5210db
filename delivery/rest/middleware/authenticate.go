package middleware

import (
	"errors"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Authenticate finds out who calls and refuses nothing: a caller without a
// valid token must still be counted by the rate limit before [Enforce] refuses.
// On Clerk's own route the caller is known by the signature of what they send.
func Authenticate(verifier usecase.TokenVerifier, webhooks *WebhookReader, m *Metrics) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			s := StateOf(c)
			if s.Route.Access == AccessClerk {
				s.Delivery, s.AuthError = webhooks.read(c)
				return next(c)
			}
			token, err := bearerToken(c.Request().Header.Values(echo.HeaderAuthorization))
			if err == nil && token != "" {
				s.Principal, err = verifier.Verify(c.Request().Context(), token)
			}
			if err != nil {
				s.Principal, s.AuthError = domain.Principal{}, err
			}
			if token != "" || err != nil {
				m.verifications.WithLabelValues(outcome(err)).Inc()
			}
			return next(c)
		}
	}
}

// bearerToken reads the one Authorization header (RFC 6750, section 2.1). No
// header is no token; any other scheme or form is an error.
func bearerToken(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", unauthenticated("There is more than one Authorization header.")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", unauthenticated("The Authorization header must hold a bearer token.")
	}
	return token, nil
}

func unauthenticated(message string) error {
	return domain.NewError(domain.Unauthenticated, domain.CodeUnauthenticated, message)
}

// outcome is the metric's label: a verifier's errors name their reason, from a
// fixed list.
func outcome(err error) string {
	var reason interface{ Outcome() string }
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &reason):
		return reason.Outcome()
	case errors.Is(err, domain.Unavailable):
		return "unavailable"
	}
	return "malformed"
}
