package rest

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/usecase"
)

type erasureHandlers struct{ erasure *usecase.Erasure }

// erasedResponse names nobody: the id stands for no one any more.
type erasedResponse struct {
	ID       string    `json:"id"`
	ErasedAt time.Time `json:"erased_at"`
}

// own answers DELETE /v1/profiles/me. It is a 202 because Clerk deletes the
// person a little later.
func (h erasureHandlers) own(c echo.Context) error {
	done, err := h.erasure.EraseOwn(c.Request().Context(), middleware.StateOf(c).Caller(), ifMatchOf(c))
	return writeErased(c, done, err)
}

func writeErased(c echo.Context, done usecase.Erased, err error) error {
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusAccepted, echo.MIMEApplicationJSON, erasedResponse{done.ProfileID, done.At.UTC()})
}
