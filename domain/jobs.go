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
	ID     string        `json:"id"`               // of a [Profile]
	Reason RefreshReason `json:"reason,omitempty"` // of those with one, a profile has one of each at a time
}

// RefreshReason says why Clerk is asked.
type RefreshReason string

// The reasons.
const (
	RefreshFirst   RefreshReason = ""        // made by a first request; there is nothing to ask when a state has come since
	RefreshLockout RefreshReason = "lockout" // no webhook tells of a lockout's end
	RefreshTie     RefreshReason = "tie"     // a webhook and the API differ about the same moment
)

// Kind is the stable name under which the job is stored.
func (ProfileRefreshJob) Kind() string { return "profile_refresh" }

// ReconcileJob asks for a piece of the reconciliation with Clerk, if one is due.
type ReconcileJob struct{}

// Kind is the stable name under which the job is stored.
func (ReconcileJob) Kind() string { return "reconcile" }

// WebhookDeliveryJob asks for one delivery of Clerk's to be applied.
type WebhookDeliveryJob struct {
	ID string `json:"id"` // of a [WebhookDelivery]: Svix's id of the message, which names nobody
}

// Kind is the stable name under which the job is stored.
func (WebhookDeliveryJob) Kind() string { return "webhook_delivery" }

// JobKinds are the kinds of all jobs of this release.
func JobKinds() []string {
	return []string{
		ClerkDeletionJob{}.Kind(), PurgeJob{}.Kind(), ProfileRefreshJob{}.Kind(), ReconcileJob{}.Kind(), WebhookDeliveryJob{}.Kind(),
	}
}
