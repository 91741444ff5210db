package rest

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// batchRequest asks for many profiles, by one of the two.
type batchRequest struct {
	Handles string `json:"handles"`
	IDs     string `json:"ids"`
}

// batch answers GET /v1/profiles?handles=a,b or ?ids=a,b with public views.
func (h profileHandlers) batch(c echo.Context) error {
	var request batchRequest
	if err := readQuery(c, &request); err != nil {
		return err
	}
	given := c.QueryParams()
	if given.Has("handles") == given.Has("ids") || request.Handles+request.IDs == "" {
		return malformed("Name profiles by one of the query parameters handles and ids.")
	}
	find, names := h.profiles.BatchByHandles, strings.Split(request.Handles, ",")
	if given.Has("ids") {
		find, names = h.profiles.BatchByIDs, strings.Split(request.IDs, ",")
	}
	if len(names) > usecase.MaxBatch {
		return malformed("At most 100 profiles may be asked for at once.")
	}
	found, err := find(c.Request().Context(), names, middleware.StateOf(c).Principal)
	if err != nil {
		return err
	}
	public, now := true, h.clock.Now()
	for i := range found {
		public = public && found[i].VisibleTo(domain.Principal{}, now)
	}
	return writePublic(c, public, listOf(domain.Page[domain.Profile]{Items: found}, publicView))
}

// handleAvailability is the answer of GET /v1/handles/:handle.
type handleAvailability struct {
	Handle    string  `json:"handle"` // as asked for
	Available bool    `json:"available"`
	Reason    *string `json:"reason"` // null when available
}

// handleAvailable answers GET /v1/handles/:handle.
func (h profileHandlers) handleAvailable(c echo.Context) error {
	handle, caller := pathParam(c, "handle"), middleware.StateOf(c).Caller()
	a, err := h.profiles.HandleAvailability(c.Request().Context(), handle, caller.ProfileID)
	if err != nil {
		return err
	}
	answer := handleAvailability{Handle: strings.ToValidUTF8(handle, "\uFFFD"), Available: a.Available}
	if a.Reason != "" {
		answer.Reason = &a.Reason
	}
	return writePublic(c, !caller.SignedIn(), answer) // a released handle is free for its last owner alone
}
