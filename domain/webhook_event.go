package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// WebhookType is the type of an event of Clerk's.
type WebhookType string

// The types that are applied here. All others are WebhookOther, so that what a
// sender names is never a label of a metric.
const (
	WebhookUserCreated WebhookType = "user.created"
	WebhookUserUpdated WebhookType = "user.updated"
	WebhookUserDeleted WebhookType = "user.deleted"
	WebhookOther       WebhookType = "other"
)

// WebhookTypes lists every type.
func WebhookTypes() []WebhookType {
	return []WebhookType{WebhookUserCreated, WebhookUserUpdated, WebhookUserDeleted, WebhookOther}
}

// maxWebhookType is the greatest length of an event's type, in characters.
const maxWebhookType = 100

// keptMembers are the members of an event's data that anything here is made of.
// The others (telephone numbers, metadata, what somebody signed in with) are
// not stored at all.
var keptMembers = []string{
	"id", "updated_at", "email_addresses", "primary_email_address_id", "image_url", "first_name", "last_name", "username",
	"banned", "locked", "lockout_expires_in_seconds", "deleted",
}

// WebhookEvent is what a delivery says.
type WebhookEvent struct {
	Type WebhookType
	Data json.RawMessage // an object with the kept members of data; nil for WebhookOther
}

// ParseWebhookEvent reads the body of a delivery: one JSON object with a type and,
// for the types that are applied here, an object data. Names count with their
// case. Inside of data nothing is judged yet: what cannot be applied must be
// stored and seen. The error is of kind [Malformed].
func ParseWebhookEvent(body []byte) (WebhookEvent, error) {
	envelope, ok := jsonMembers(body)
	if !ok || !utf8.Valid(body) {
		return WebhookEvent{}, malformedEvent("The body must be one JSON object in UTF-8, no name twice, with nothing after it.")
	}
	name, ok := jsonString(envelope["type"])
	if !ok || name == "" || utf8.RuneCountInString(name) > maxWebhookType {
		return WebhookEvent{}, malformedEvent("The member type must be a text of 1 to 100 characters.")
	}
	switch t := WebhookType(name); t {
	case WebhookUserCreated, WebhookUserUpdated, WebhookUserDeleted:
		data, ok := jsonMembers(envelope["data"])
		if !ok {
			return WebhookEvent{}, malformedEvent("The member data must be an object, no name twice.")
		}
		return WebhookEvent{Type: t, Data: keep(data)}, nil
	default:
		return WebhookEvent{Type: WebhookOther}, nil
	}
}

func malformedEvent(message string) *Error {
	return NewError(Malformed, CodeMalformedRequest, message)
}

func keep(data map[string]json.RawMessage) json.RawMessage {
	kept := map[string]json.RawMessage{}
	for _, name := range keptMembers {
		if value, ok := data[name]; ok {
			kept[name] = value
		}
	}
	raw, _ := json.Marshal(kept) // of decoded JSON: cannot fail
	return raw
}

// Subject is the Clerk id of the person that the event tells of; empty when its
// data names nobody.
func (e WebhookEvent) Subject() string {
	data, _ := jsonMembers(e.Data)
	if id, ok := jsonString(data["id"]); ok && ValidClerkUserID(id) {
		return id
	}
	return ""
}

// jsonMembers reads one object into a map, which keeps the case of names apart as
// a struct would not. false for anything else, for a name that comes twice, of
// which readers would take this one or that, and for what follows the object.
func jsonMembers(raw []byte) (map[string]json.RawMessage, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return nil, false
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		name, isName := token.(string)
		var value json.RawMessage
		if err != nil || !isName || dec.Decode(&value) != nil {
			return nil, false
		}
		if _, twice := members[name]; twice {
			return nil, false
		}
		members[name] = value
	}
	if end, err := dec.Token(); err != nil || end != json.Delim('}') {
		return nil, false
	}
	_, err := dec.Token()
	return members, errors.Is(err, io.EOF)
}

func jsonString(raw json.RawMessage) (string, bool) {
	var s *string
	err := json.Unmarshal(raw, &s)
	if err != nil || s == nil {
		return "", false
	}
	return *s, true
}
