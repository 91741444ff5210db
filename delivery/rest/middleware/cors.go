package middleware

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
)

// CORS lets pages of the listed origins read answers; an empty list lets none.
// Echo takes an empty AllowOrigins for a star, so the decision is a function
// here. Preflights end here, before limits and authentication; an OPTIONS that is
// none (Fetch standard, "CORS-preflight request") goes on and is counted. Tokens come in a
// header, never in a cookie, so credentials are not allowed.
func CORS(origins []string) echo.MiddlewareFunc {
	anyOrigin := slices.Contains(origins, "*")
	return echomiddleware.CORSWithConfig(echomiddleware.CORSConfig{
		Skipper: func(c echo.Context) bool {
			r := c.Request()
			return r.Method == http.MethodOptions &&
				(r.Header.Get(echo.HeaderOrigin) == "" || r.Header.Get(echo.HeaderAccessControlRequestMethod) == "")
		},
		AllowOriginFunc: func(origin string) (bool, error) { return anyOrigin || slices.Contains(origins, origin), nil },
		AllowMethods:    []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		AllowHeaders: []string{
			echo.HeaderAuthorization, echo.HeaderContentType, "If-Match", "If-None-Match", headerIdempotencyKey,
			echo.HeaderXRequestID, "Traceparent", "Tracestate",
		},
		ExposeHeaders: []string{
			"ETag", echo.HeaderXRequestID, "Retry-After", headerReplayed, "RateLimit", "RateLimit-Policy",
			"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
		},
		MaxAge: 600,
	})
}
