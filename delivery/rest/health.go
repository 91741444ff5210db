package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/usecase"
)

type healthHandlers struct{ health *usecase.Health }

// report answers GET /health: every check, 503 when unhealthy.
func (h healthHandlers) report(c echo.Context) error {
	r := h.health.Report(c.Request().Context())
	return writeHealth(c, r.Status, r)
}

// ready answers GET /health/ready: may traffic be routed here.
func (h healthHandlers) ready(c echo.Context) error {
	r := h.health.Ready(c.Request().Context())
	return writeHealth(c, r.Status, r)
}

// live answers GET /health/live and touches nothing: a process whose database is
// away must not be restarted for it.
func (h healthHandlers) live(c echo.Context) error {
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, map[string]usecase.HealthStatus{"status": usecase.Healthy})
}

func writeHealth(c echo.Context, status usecase.HealthStatus, body any) error {
	if status == usecase.Unhealthy {
		c.Response().Header().Set("Retry-After", "1") // how long a result is remembered
	}
	return writeJSON(c, statusFor(status), echo.MIMEApplicationJSON, body)
}

func statusFor(s usecase.HealthStatus) int {
	if s == usecase.Unhealthy {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}
