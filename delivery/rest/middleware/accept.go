package middleware

import (
	"mime"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// AcceptJSON answers 406 to clients of /v1 whose Accept allows neither JSON nor
// everything (RFC 9110, section 12.5.1). A header that cannot be read is ignored.
func AcceptJSON() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if strings.HasPrefix(c.Path(), "/v1/") && !acceptsJSON(c.Request().Header.Values(echo.HeaderAccept)) {
				return domain.NewError(domain.NotAcceptable, domain.CodeNotAcceptable, "This service answers in application/json; the Accept header excludes it.")
			}
			return next(c)
		}
	}
}

// acceptsJSON tells whether a range that covers JSON, or everything, is let in;
// old clients write a lone star for everything.
func acceptsJSON(values []string) bool {
	header := strings.TrimSpace(strings.Join(values, ","))
	if header == "" {
		return true
	}
	readable := false
	for _, part := range strings.Split(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		readable = true
		switch media {
		case "application/json", "application/*", "*/*", "*":
			if weight(params["q"]) > 0 {
				return true
			}
		}
	}
	return !readable
}

func weight(q string) float64 {
	if q == "" {
		return 1
	}
	w, err := strconv.ParseFloat(q, 64)
	if err != nil {
		return 1
	}
	return w
}
