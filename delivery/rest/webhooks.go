package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/usecase"
)

type webhookHandlers struct{ inbox *usecase.Inbox }

// takenDelivery is what Clerk is told of a delivery.
type takenDelivery struct {
	ID     string           `json:"id"` // svix-id
	Result usecase.Received `json:"result"`
}

// clerk takes a delivery whose signature was verified: 202, because what it says
// is applied later. Whoever repeats it hears 202 again.
func (h webhookHandlers) clerk(c echo.Context) error {
	d := middleware.StateOf(c).Delivery
	result, err := h.inbox.Receive(c.Request().Context(), d.ID, d.Body)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusAccepted, echo.MIMEApplicationJSON, takenDelivery{d.ID, result})
}
