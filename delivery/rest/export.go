package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

type exportHandlers struct {
	export *usecase.Export
	clock  usecase.Clock
}

// exportHead is the bundle but for the audit trail. A test holds it equal to the
// columns of the database: whoever adds one must show it here or say why not.
type exportHead struct {
	Profile            exportProfile       `json:"profile"`
	Preferences        exportPreferences   `json:"preferences"`
	HandleReservations []exportReservation `json:"handle_reservations"`
	StoredResponses    []exportResponse    `json:"stored_responses"`
	ClerkDeliveries    []exportDelivery    `json:"clerk_deliveries"`
}

type exportReservation struct {
	HandleHash    string    `json:"handle_hash"`
	ProfileID     string    `json:"profile_id"`
	ReservedUntil time.Time `json:"reserved_until"`
}

// exportResponse is an answer that an admin got about the person. The hashes
// beside it are of the admin and of what the admin sent.
type exportResponse struct {
	SubjectProfileID *string           `json:"subject_profile_id"`
	Status           int               `json:"status"`
	Headers          map[string]string `json:"headers"`
	Body             string            `json:"body"`
	CreatedAt        time.Time         `json:"created_at"`
	ExpiresAt        time.Time         `json:"expires_at"`
}

// exportDelivery is what Clerk has told of the person, while it waits to be applied.
type exportDelivery struct {
	ID         string              `json:"id"`
	Type       domain.WebhookType  `json:"type"`
	State      domain.WebhookState `json:"state"`
	Reason     string              `json:"reason"`
	Attempts   int                 `json:"attempts"`
	ReceivedAt time.Time           `json:"received_at"`
	UpdatedAt  time.Time           `json:"updated_at"`
	Data       json.RawMessage     `json:"data"`
}

type exportProfile struct {
	adminProfile
	ClerkUpdatedAt      *time.Time `json:"clerk_updated_at"`
	ClerkSuspended      bool       `json:"clerk_suspended"`
	AdminSuspendedUntil *time.Time `json:"admin_suspended_until"`
}

func exportedProfile(p *domain.Profile, now time.Time) exportProfile {
	return exportProfile{
		adminProfile: adminView(p, now), ClerkUpdatedAt: utc(p.ClerkUpdatedAt),
		ClerkSuspended: p.Mirror.Suspended, AdminSuspendedUntil: utc(p.Mirror.AdminUntil),
	}
}

type exportPreferences struct {
	preferencesView
	ProfileID string    `json:"profile_id"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// own answers GET /v1/profiles/me/export with one JSON object of everything
// stored about the caller. The audit trail is written as it is read; when that
// fails under way, the connection breaks, so that nobody takes a part for the whole.
func (h exportHandlers) own(c echo.Context) error {
	b, err := h.export.Own(c.Request().Context(), middleware.StateOf(c).Profile)
	if err != nil {
		return err
	}
	head, err := encodeJSON(h.head(b))
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("ETag", contentTag(slices.Concat(head, []byte(b.NewestEvent))))
	if noneMatch(c.Request().Header.Values("If-None-Match"), header.Get("ETag")) {
		return c.NoContent(http.StatusNotModified)
	}
	header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	header.Set(echo.HeaderContentDisposition, `attachment; filename="profile-export.json"`)
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	return writeBundle(c.Response(), head, b)
}

func (h exportHandlers) head(b *usecase.Bundle) exportHead {
	head := exportHead{
		Profile: exportedProfile(b.Profile, h.clock.Now()),
		Preferences: exportPreferences{
			viewPreferences(b.Preferences), b.Preferences.ProfileID, b.Preferences.CreatedAt.UTC(), b.Preferences.UpdatedAt.UTC(),
		},
		HandleReservations: make([]exportReservation, 0, len(b.Reservations)),
		StoredResponses:    make([]exportResponse, 0, len(b.Responses)),
		ClerkDeliveries:    make([]exportDelivery, 0, len(b.Deliveries)),
	}
	for _, r := range b.Reservations {
		head.HandleReservations = append(head.HandleReservations, exportReservation{r.HandleHash, r.ProfileID, r.ReservedUntil.UTC()})
	}
	for _, r := range b.Responses {
		head.StoredResponses = append(head.StoredResponses, exportResponse{
			r.SubjectProfileID, r.Status, r.Header, string(r.Body), r.CreatedAt.UTC(), r.ExpiresAt.UTC(),
		})
	}
	for _, d := range b.Deliveries {
		head.ClerkDeliveries = append(head.ClerkDeliveries, exportDelivery{
			d.ID, d.Type, d.State, d.Reason, d.Attempts, d.ReceivedAt.UTC(), d.UpdatedAt.UTC(), d.Data,
		})
	}
	return head
}

// writeBundle opens the head's object again to put the audit trail in.
func writeBundle(w http.ResponseWriter, head []byte, b *usecase.Bundle) error {
	open := bytes.TrimSuffix(head, []byte("}\n"))
	if _, err := w.Write(slices.Concat(open, []byte(`,"audit_events":[`))); err != nil {
		return err
	}
	separator := ""
	for e, err := range b.Events {
		if err != nil {
			return err
		}
		event, err := encodeJSON(viewAuditEvent(&e))
		if err != nil {
			return err
		}
		if _, err := w.Write(append([]byte(separator), event...)); err != nil {
			return err
		}
		separator = ","
	}
	_, err := w.Write([]byte("]}\n"))
	return err
}
