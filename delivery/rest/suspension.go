package rest

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

var suspensionFields = []string{"reason", "until"}

// suspensionRequest is the body of a suspension; nil stands for a member that
// was not sent.
type suspensionRequest struct {
	Reason *string `json:"reason" validate:"required"`
}

// readSuspension reads {"reason": …, "until": …}; until may be null or missing.
// Errors: 400, 413, 415, 422.
func readSuspension(c echo.Context) (domain.Suspension, error) {
	object, err := readObject(c, echo.MIMEApplicationJSON)
	if err != nil {
		return domain.Suspension{}, err
	}
	list, err := members(object, suspensionFields)
	if err != nil {
		return domain.Suspension{}, err
	}
	var p patchReader
	var s domain.Suspension
	var request suspensionRequest
	for _, m := range list {
		switch m.name {
		case "reason":
			s.Reason = p.requiredText("/reason", m.value)
			request.Reason = &s.Reason
		case "until":
			s.Until = p.time("/until", m.value)
		default:
			p.unknown("/" + escapePointer(m.name))
		}
	}
	p.checkShape("", request)
	if len(p.faults) > 0 {
		return domain.Suspension{}, domain.ValidationFailed(p.faults...)
	}
	return s, nil
}

// readReactivation reads a body that may be missing, or hold a reason and an
// until of null, so that a client may send to both routes what one of them asks
// for. Errors as of readSuspension.
func readReactivation(c echo.Context) error {
	object, err := readOptionalObject(c, echo.MIMEApplicationJSON)
	if err != nil {
		return err
	}
	list, err := members(object, suspensionFields)
	if err != nil {
		return err
	}
	var p patchReader
	var reason domain.Opt[string]
	for _, m := range list {
		switch m.name {
		case "reason":
			reason = p.text("/reason", m.value)
		case "until":
			if m.value.Kind() != 'n' {
				p.fault("/until", domain.FieldInvalidType, "This must be null: a reactivation has no end.")
			}
		default:
			p.unknown("/" + escapePointer(m.name))
		}
	}
	if len(p.faults) > 0 {
		return domain.ValidationFailed(p.faults...)
	}
	if reason.Set && !reason.Null {
		return domain.CheckReason(reason.Value)
	}
	return nil
}

// time reads a time or null.
func (p *patchReader) time(pointer string, v jsontext.Value) *time.Time {
	text := p.text(pointer, v)
	if !text.Set || text.Null {
		return nil
	}
	t, err := parseTime(text.Value)
	if err != nil {
		p.fault(pointer, domain.FieldInvalidFormat, "Must be a time such as 2026-03-01T12:00:00Z (RFC 3339).")
		return nil
	}
	return &t
}
