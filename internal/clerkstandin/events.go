package clerkstandin

import "time"

// The types of [Event].
const (
	UserCreated = "user.created"
	UserUpdated = "user.updated"
	UserDeleted = "user.deleted"
)

// Event renders what Clerk's webhooks tell of a person: the body of a delivery
// of that type, made at that moment.
func Event(eventType string, p Person, at time.Time) []byte {
	data := UserJSON(p)
	if eventType == UserDeleted {
		data = map[string]any{"id": p.ID, "object": "user", "deleted": true}
	}
	return EventOf(eventType, data, at)
}

// EventOf is [Event] with any data: for what a test makes up.
func EventOf(eventType string, data any, at time.Time) []byte {
	return marshal(map[string]any{
		"type": eventType, "object": "event", "data": data, "timestamp": at.UnixMilli(), "instance_id": "ins_2standin",
		"event_attributes": map[string]any{"http_request": map[string]any{"client_ip": "192.0.2.10", "user_agent": "standin"}},
	})
}
