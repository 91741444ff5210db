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

// acceptsJSON goes by the most specific range that covers application/json.
func acceptsJSON(values []string) bool {
	header := strings.TrimSpace(strings.Join(values, ","))
	if header == "" {
		return true
	}
	best, accepted, readable := 0, false, false
	for _, part := range strings.Split(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		readable = true
		specificity := map[string]int{"*/*": 1, "application/*": 2, "application/json": 3}[media]
		if specificity == 0 || specificity < best {
			continue
		}
		best, accepted = specificity, weight(params["q"]) > 0
	}
	return accepted || !readable
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
