package middleware

import (
	"net/http"
	"regexp"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// RequestIDOf is the caller's X-Request-ID when it has the allowed form, else a new one (UUID v7).
func RequestIDOf(r *http.Request) string {
	if sent := r.Header.Values(echo.HeaderXRequestID); len(sent) == 1 && requestIDForm.MatchString(sent[0]) {
		return sent[0]
	}
	return uuid.Must(uuid.NewV7()).String()
}

// RequestID takes the caller's X-Request-ID when it has the allowed form, else
// makes a new one (UUID v7), and answers with it.
func RequestID() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			id := RequestIDOf(c.Request())
			StateOf(c).RequestID = id
			c.Response().Header().Set(echo.HeaderXRequestID, id)
			return next(c)
		}
	}
}
