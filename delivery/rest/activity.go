package rest

import (
	"net/http"
	"time"

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

// auditEvent is what admins read of an event, and its owner of what
// [domain.AuditEvent.SeenByOwner] leaves.
type auditEvent struct {
	ID            string             `json:"id"`
	OccurredAt    time.Time          `json:"occurred_at"`
	Action        domain.AuditAction `json:"action"`
	ActorKind     domain.ActorKind   `json:"actor_kind"`
	ActorID       *string            `json:"actor_id"`
	Impersonator  *string            `json:"impersonator"`
	ProfileID     string             `json:"profile_id"`
	ChangedFields []string           `json:"changed_fields"`
	RequestID     string             `json:"request_id"`
	ClientNetwork string             `json:"client_network"`
}

func viewAuditEvent(e *domain.AuditEvent) auditEvent {
	return auditEvent{
		ID: e.ID, OccurredAt: e.OccurredAt.UTC(), Action: e.Action, ActorKind: e.ActorKind, ActorID: e.ActorID, Impersonator: e.Impersonator,
		ProfileID: e.ProfileID, ChangedFields: e.ChangedFields, RequestID: e.RequestID, ClientNetwork: e.ClientNetwork,
	}
}
