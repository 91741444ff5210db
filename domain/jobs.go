package domain

// The jobs that run in the background. Their arguments are stored as JSON in
// plain view and outlive the request, so they hold ids of our own rows and never
// anything that tells of a person.

// ClerkDeletionJob asks for the deletion of one person at Clerk.
type ClerkDeletionJob struct {
	ID string `json:"id"` // of a [ClerkDeletion]
}

// Kind is the stable name under which the job is stored.
func (ClerkDeletionJob) Kind() string { return "clerk_deletion" }

// PurgeJob asks for the removal of rows whose time is over.
type PurgeJob struct{}

// Kind is the stable name under which the job is stored.
func (PurgeJob) Kind() string { return "purge" }

// ProfileRefreshJob asks for a look at Clerk's record of a profile's person.
type ProfileRefreshJob struct {
	ID     string `json:"id"`               // of a [Profile]
	Always bool   `json:"always,omitempty"` // also when a state of the person has come since
}

// Kind is the stable name under which the job is stored.
func (ProfileRefreshJob) Kind() string { return "profile_refresh" }

// WebhookDeliveryJob asks for one delivery of Clerk's to be applied.
type WebhookDeliveryJob struct {
	ID string `json:"id"` // of a [WebhookDelivery]: Svix's id of the message, which names nobody
}

// Kind is the stable name under which the job is stored.
func (WebhookDeliveryJob) Kind() string { return "webhook_delivery" }
