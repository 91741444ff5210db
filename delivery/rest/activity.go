package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

type activityHandlers struct{ activity *usecase.Activity }

// own answers GET /v1/profiles/me/activity with a page of the caller's audit trail.
func (h activityHandlers) own(c echo.Context) error {
	request := firstPage()
	if err := readQuery(c, &request); err != nil {
		return err
	}
	page, err := h.activity.Own(c.Request().Context(), middleware.StateOf(c).Caller(), request.Cursor, request.Limit)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, listOf(page, viewAuditEvent))
}

// viewAuditEvent is the event itself: it holds nothing that anyone but those who
// may ask for it could learn from, and its JSON names are the contract's.
func viewAuditEvent(e *domain.AuditEvent) domain.AuditEvent {
	v := *e
	v.OccurredAt = v.OccurredAt.UTC()
	return v
}
