package domain_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

var eventTime = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func TestNewEvent(t *testing.T) {
	before, after := eventTime.Add(-time.Minute), eventTime.Add(time.Minute)
	for _, c := range []struct {
		name    string
		action  domain.AuditAction
		status  domain.Status
		until   *time.Time
		changed []string
		payload string // what follows the type
	}{
		{"created", domain.ActionProfileCreated, domain.StatusActive, nil, nil,
			`"version":7,"status":"active","suspended_until":null,"changed_fields":[]`},
		{"updated", domain.ActionProfileUpdated, domain.StatusActive, nil, []string{"handle", "bio"},
			`"version":7,"status":"active","suspended_until":null,"changed_fields":["handle","bio"]`},
		{"suspended for a time", domain.ActionProfileSuspended, domain.StatusSuspended, &after, []string{"status"},
			`"version":7,"status":"suspended","suspended_until":"2026-03-01T12:01:00.123456Z","changed_fields":["status"]`},
		{"suspended until further notice", domain.ActionProfileSuspended, domain.StatusSuspended, nil, []string{"status"},
			`"version":7,"status":"suspended","suspended_until":null,"changed_fields":["status"]`},
		{"updated when a suspension had ended by itself", domain.ActionProfileUpdated, domain.StatusSuspended, &before, []string{"bio"},
			`"version":7,"status":"active","suspended_until":null,"changed_fields":["bio"]`},
		{"reactivated", domain.ActionProfileReactivated, domain.StatusActive, nil, []string{"status"},
			`"version":7,"status":"active","suspended_until":null,"changed_fields":["status"]`},
		{"erased", domain.ActionProfileErased, domain.StatusSuspended, &after, nil,
			`"version":8,"status":null,"suspended_until":null,"changed_fields":[]`},
	} {
		p := domain.NewProfile("user_secret", "secret_handle", before)
		p.Version, p.Status, p.SuspendedUntil = 7, c.status, c.until
		audit := domain.OwnAuditEvent(c.action, p.ID, domain.Caller{RequestID: "secret_request", Network: "192.0.2.0/24"}, domain.Pseudonymizer{}, c.changed, eventTime)
		e, ok := domain.NewEvent(audit, p)
		payload, err := e.Payload()
		want := `{"id":"` + audit.ID + `","type":"` + string(c.action) + `","timestamp":"2026-03-01T12:00:00.123456Z","data":{"profile_id":"` + p.ID + `",` + c.payload + `}}`
		if !ok || err != nil || string(payload) != want {
			t.Errorf("%s: %v, %v\n got %s\nwant %s", c.name, ok, err, payload, want)
		}
		if !json.Valid(payload) || e.ID != audit.ID || e.ProfileID != p.ID || !e.OccurredAt.Equal(eventTime) {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

// Of what is nobody else's business no event is made; a new action must be decided upon.
func TestWhichActionsAreEvents(t *testing.T) {
	silent := []domain.AuditAction{domain.ActionPreferencesUpdated}
	for _, action := range domain.AuditActions() {
		if _, ok := domain.NewEvent(domain.AuditEvent{Action: action}, &domain.Profile{}); ok == slices.Contains(silent, action) {
			t.Errorf("%s: an event is made: %v", action, ok)
		}
	}
}
