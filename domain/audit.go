package domain

import "time"

// AuditAction names what happened.
type AuditAction string

// The actions of the contract.
const (
	ActionProfileCreated     AuditAction = "profile.created"
	ActionProfileUpdated     AuditAction = "profile.updated"
	ActionProfileSuspended   AuditAction = "profile.suspended"
	ActionProfileReactivated AuditAction = "profile.reactivated"
	ActionProfileErased      AuditAction = "profile.erased"
	ActionPreferencesUpdated AuditAction = "preferences.updated"
)

// AuditActions lists every action.
func AuditActions() []AuditAction {
	return []AuditAction{
		ActionProfileCreated, ActionProfileUpdated, ActionProfileSuspended, ActionProfileReactivated, ActionProfileErased,
		ActionPreferencesUpdated,
	}
}

// ActorKind says in what capacity somebody acted.
type ActorKind string

// The kinds of actor of the contract.
const (
	ActorUser   ActorKind = "user"   // a person on their own profile
	ActorAdmin  ActorKind = "admin"  // an admin on somebody's profile
	ActorClerk  ActorKind = "clerk"  // a webhook
	ActorSystem ActorKind = "system" // a job
)

// AuditEvent records one change. It holds no personal data, so that nothing in
// it must be erased and nothing in it can be changed: profile ids, names of
// fields without values, a keyed hash, a shortened network.
type AuditEvent struct {
	ID            string      `gorm:"column:id;primaryKey"` // UUID v7
	OccurredAt    time.Time   `gorm:"column:occurred_at"`
	Action        AuditAction `gorm:"column:action"`
	ActorKind     ActorKind   `gorm:"column:actor_kind"`
	ActorID       *string     `gorm:"column:actor_id"`     // a profile id
	Impersonator  *string     `gorm:"column:impersonator"` // keyed hash of a Clerk id
	ProfileID     string      `gorm:"column:profile_id"`
	ChangedFields []string    `gorm:"column:changed_fields;serializer:json"` // JSON names, never nil
	RequestID     string      `gorm:"column:request_id"`                     // empty outside a request
	ClientNetwork string      `gorm:"column:client_network"`                 // IPv4 /24 or IPv6 /48; empty when unknown
}

// TableName tells GORM the table.
func (AuditEvent) TableName() string { return "audit_events" }

// PurposeImpersonator is the [Pseudonymizer] purpose of AuditEvent.Impersonator.
const PurposeImpersonator = "audit-impersonator"

// OwnAuditEvent is the event of a person who acts on their own profile.
func OwnAuditEvent(action AuditAction, profileID string, caller Caller, hashes Pseudonymizer, changed []string, now time.Time) AuditEvent {
	return newAuditEvent(action, ActorUser, profileID, profileID, caller, hashes, changed, now)
}

// AdminAuditEvent is the event of an admin, whose own profile is
// caller.ProfileID, who acts on a profile as an admin: somebody's, or their own.
func AdminAuditEvent(action AuditAction, profileID string, caller Caller, hashes Pseudonymizer, changed []string, now time.Time) AuditEvent {
	return newAuditEvent(action, ActorAdmin, caller.ProfileID, profileID, caller, hashes, changed, now)
}

// BackgroundAuditEvent is the event of something that nobody asked for by a
// request: kind is [ActorClerk] or [ActorSystem].
func BackgroundAuditEvent(action AuditAction, kind ActorKind, profileID string, changed []string, now time.Time) AuditEvent {
	return newAuditEvent(action, kind, "", profileID, Caller{}, Pseudonymizer{}, changed, now)
}

func newAuditEvent(
	action AuditAction, kind ActorKind, actorID, profileID string, caller Caller, hashes Pseudonymizer, changed []string, now time.Time,
) AuditEvent {
	now = storedTime(now)
	e := AuditEvent{
		ID: NewID(now), OccurredAt: now, Action: action, ActorKind: kind, ProfileID: profileID,
		ChangedFields: append([]string{}, changed...), RequestID: caller.Unnamed().RequestID, ClientNetwork: caller.Network,
	}
	if actorID != "" {
		e.ActorID = &actorID
	}
	if caller.Impersonator != "" {
		h := hashes.Hash(PurposeImpersonator, caller.Impersonator)
		e.Impersonator = &h
	}
	return e
}

// SeenByOwner is the event as the person it happened to may see it: of what
// somebody else did, neither who nor from where. An admin's network is not the
// person's to know.
func (e AuditEvent) SeenByOwner() AuditEvent {
	if e.ActorID != nil && *e.ActorID == e.ProfileID {
		return e
	}
	e.ActorID, e.Impersonator, e.RequestID, e.ClientNetwork = nil, nil, "", ""
	return e
}
