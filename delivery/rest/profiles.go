package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

type profileHandlers struct {
	profiles *usecase.Profiles
	clock    usecase.Clock
}

// me answers GET /v1/profiles/me with the profile that the access rule loaded,
// or created on the person's first request.
func (h profileHandlers) me(c echo.Context) error {
	p := middleware.StateOf(c).Profile
	return writeConditional(c, versionTag(p.Version), ownView(p, h.clock.Now()))
}

// updateMe answers PATCH /v1/profiles/me.
func (h profileHandlers) updateMe(c echo.Context) error {
	c.Response().Header().Set("Accept-Patch", mimeMergePatch+", "+echo.MIMEApplicationJSON)
	patch, err := readProfilePatch(c, middleware.StateOf(c).Profile, h.clock.Now())
	if err != nil {
		return err
	}
	p, err := h.profiles.UpdateOwn(c.Request().Context(), middleware.StateOf(c).Caller(), patch, ifMatchOf(c))
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", versionTag(p.Version))
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, ownView(p, h.clock.Now()))
}

// byHandle answers GET /v1/profiles/:handle with the public view.
func (h profileHandlers) byHandle(c echo.Context) error {
	viewer := middleware.StateOf(c).Principal
	p, err := h.profiles.ByHandle(c.Request().Context(), pathParam(c, "handle"), viewer)
	if err != nil {
		return err
	}
	return writePublic(c, p.VisibleTo(domain.Principal{}, h.clock.Now()), publicView(p))
}
