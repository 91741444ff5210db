package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

type adminHandlers struct {
	admin   *usecase.Admin
	erasure *usecase.Erasure
	clock   usecase.Clock
}

type profileSearchRequest struct {
	pageRequest
	Q             string `json:"q" validate:"max=200,line"`
	Status        string `json:"status" validate:"omitempty,status"`
	CreatedAfter  string `json:"created_after" validate:"omitempty,rfc3339"`
	CreatedBefore string `json:"created_before" validate:"omitempty,rfc3339"`
	Sort          string `json:"sort" validate:"profile_sort"`
}

// search answers GET /v1/admin/profiles.
func (h adminHandlers) search(c echo.Context) error {
	request := profileSearchRequest{pageRequest: firstPage(), Sort: string(domain.SortNewestFirst)}
	if err := readQuery(c, &request); err != nil {
		return err
	}
	page, err := h.admin.Search(c.Request().Context(), domain.ProfileFilter{
		Text: request.Q, Status: domain.Status(request.Status), Sort: domain.ProfileSort(request.Sort),
		CreatedAfter: timeParam(request.CreatedAfter), CreatedBefore: timeParam(request.CreatedBefore),
	}, request.Cursor, request.Limit)
	if err != nil {
		return err
	}
	now := h.clock.Now()
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, listOf(page, func(p *domain.Profile) adminProfile { return adminView(p, now) }))
}

type auditRequest struct {
	pageRequest
	ProfileID string `json:"profile_id" validate:"omitempty,id"`
	ActorID   string `json:"actor_id" validate:"omitempty,id"`
	Action    string `json:"action" validate:"omitempty,audit_action"`
	Since     string `json:"since" validate:"omitempty,rfc3339"`
	Until     string `json:"until" validate:"omitempty,rfc3339"`
}

// auditEvents answers GET /v1/admin/audit-events.
func (h adminHandlers) auditEvents(c echo.Context) error {
	request := auditRequest{pageRequest: firstPage()}
	if err := readQuery(c, &request); err != nil {
		return err
	}
	page, err := h.admin.AuditEvents(c.Request().Context(), domain.AuditFilter{
		ProfileID: request.ProfileID, ActorID: request.ActorID, Action: domain.AuditAction(request.Action),
		Since: timeParam(request.Since), Until: timeParam(request.Until),
	}, request.Cursor, request.Limit)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, listOf(page, viewAuditEvent))
}

// byID answers GET /v1/admin/profiles/:id.
func (h adminHandlers) byID(c echo.Context) error {
	p, err := h.admin.ByID(c.Request().Context(), pathParam(c, "id"))
	if err != nil {
		return err
	}
	now := h.clock.Now()
	return writeConditional(c, adminTag(p, now), adminView(p, now))
}

// update answers PATCH /v1/admin/profiles/:id.
func (h adminHandlers) update(c echo.Context) error {
	c.Response().Header().Set("Accept-Patch", mimeMergePatch+", "+echo.MIMEApplicationJSON)
	id := pathParam(c, "id")
	stored := func() (*domain.Profile, error) { return h.admin.ByID(c.Request().Context(), id) }
	patch, err := readAdminPatch(c, stored, h.clock.Now())
	if err != nil {
		return err
	}
	return h.changed(c)(h.admin.Update(c.Request().Context(), middleware.StateOf(c).Caller(), id, patch, ifMatchOf(c)))
}

// suspend answers POST /v1/admin/profiles/:id/suspend.
func (h adminHandlers) suspend(c echo.Context) error {
	suspension, err := readSuspension(c)
	if err != nil {
		return err
	}
	return h.changed(c)(h.admin.Suspend(c.Request().Context(), middleware.StateOf(c).Caller(), pathParam(c, "id"), suspension, ifMatchOf(c)))
}

// reactivate answers POST /v1/admin/profiles/:id/reactivate.
func (h adminHandlers) reactivate(c echo.Context) error {
	if err := readReactivation(c); err != nil {
		return err
	}
	return h.changed(c)(h.admin.Reactivate(c.Request().Context(), middleware.StateOf(c).Caller(), pathParam(c, "id"), ifMatchOf(c)))
}

// changed answers with the profile after a change.
func (h adminHandlers) changed(c echo.Context) func(*domain.Profile, error) error {
	return func(p *domain.Profile, err error) error {
		if err != nil {
			return err
		}
		now := h.clock.Now()
		middleware.StateOf(c).SubjectProfileID = p.ID
		c.Response().Header().Set("ETag", adminTag(p, now))
		return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, adminView(p, now))
	}
}

// erase answers DELETE /v1/admin/profiles/:id.
func (h adminHandlers) erase(c echo.Context) error {
	done, err := h.erasure.EraseByAdmin(c.Request().Context(), middleware.StateOf(c).Caller(), pathParam(c, "id"), ifMatchOf(c))
	return writeErased(c, done, err)
}
