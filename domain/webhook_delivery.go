package domain

import "time"

// WebhookState says how far a delivery has come.
type WebhookState string

// The states of a delivery. Those that wait for something hold its data; a dead
// one does when there was something to keep.
const (
	WebhookReceived WebhookState = "received" // a job will apply it
	WebhookFailed   WebhookState = "failed"   // it could not be applied yet, and will be tried again
	WebhookApplied  WebhookState = "applied"  // the mirror says what it says
	WebhookIgnored  WebhookState = "ignored"  // there was nothing to do: stale, the person is erased, or an operator dismissed it
	WebhookDead     WebhookState = "dead"     // it will not be tried again by itself: somebody has to look
)

// Reasons of deliveries that are done with, beside those that the mirror gives.
const (
	WebhookReasonErased  = "erased"  // the person is, or was meanwhile
	WebhookReasonRemoved = "removed" // deleted at Clerk, and here by this
	WebhookReasonAbsent  = "absent"  // deleted at Clerk, and nobody was here
)

// Dismissal is why an operator gives a dead delivery up. It is one of a list, and
// no text of theirs: what is stored and shown about a delivery names nobody.
type Dismissal string

// The reasons to give a delivery up.
const (
	DismissedInapplicable Dismissal = "inapplicable" // its content can never be applied
	DismissedUnopenable   Dismissal = "unopenable"   // the key that its data is sealed under is lost
	DismissedReconciled   Dismissal = "reconciled"   // what it says came on another way: reconciliation, or a later delivery
	DismissedTest         Dismissal = "test"         // an example sent from Clerk's dashboard
)

// Dismissals lists every reason.
func Dismissals() []Dismissal {
	return []Dismissal{DismissedInapplicable, DismissedUnopenable, DismissedReconciled, DismissedTest}
}

// Reasons of deliveries of which nothing could be kept. The form is that of an error's.
const (
	webhookReasonNobody = string(CodeValidationFailed) + ": The member id of the data is not the id of a user; nothing of it was kept."
	webhookReasonLarge  = string(CodePayloadTooLarge) + ": What would be kept of the data is larger than 64 KiB; nothing of it was kept."
)

// maxKeptData is the most that is kept of a delivery, in bytes: ample for names and
// a list of addresses. An export holds [MaxSubjectDeliveries] of them in memory.
const maxKeptData = 64 << 10

// MaxSubjectDeliveries is how many deliveries of a person an export shows. That
// more than a few wait means that something is broken for long; all of them at
// once would be a request's memory that grows with an outage.
const MaxSubjectDeliveries = 50

const (
	webhookDoneRetention = 30 * 24 * time.Hour // applied and ignored, but for dismissed ones: long enough to know any late repeat of Svix's
	webhookDeadRetention = 90 * 24 * time.Hour // as that of River's discarded jobs

	purposeWebhookData    = "webhook-delivery" // of the Sealer
	purposeWebhookSubject = "webhook-subject"  // of the Pseudonymizer
)

// WebhookStates lists every state.
func WebhookStates() []WebhookState {
	return []WebhookState{WebhookReceived, WebhookFailed, WebhookApplied, WebhookIgnored, WebhookDead}
}

// OpenWebhookStates are those of deliveries that are not done with.
func OpenWebhookStates() []WebhookState {
	return []WebhookState{WebhookReceived, WebhookFailed, WebhookDead}
}

// Done tells whether a delivery in that state is done with: its data is gone.
func (s WebhookState) Done() bool { return s == WebhookApplied || s == WebhookIgnored }

// WebhookDelivery is a delivery of Clerk's in the inbox, and its row. Whom it
// tells of is known by a keyed hash; what it says is sealed, and cleared when
// it is done with or the person is erased. It is immutable but for new values
// that its methods give.
type WebhookDelivery struct {
	ID          string       `gorm:"column:id;primaryKey"` // svix-id, see [ValidWebhookID]
	Type        WebhookType  `gorm:"column:type"`          // never WebhookOther
	State       WebhookState `gorm:"column:state"`
	Reason      string       `gorm:"column:reason"`       // why it is in that state; safe for anyone to read
	Attempts    int          `gorm:"column:attempts"`     // that failed; waiting for what is away uses none
	SubjectHash *string      `gorm:"column:subject_hash"` // of the Clerk id; there exactly with the data, so that an erasure finds it
	SealedData  *string      `gorm:"column:sealed_data"`  // nil when there is nothing to apply
	ReceivedAt  time.Time    `gorm:"column:received_at"`  // when this data came; tells a repeat that revived it from what was there
	UpdatedAt   time.Time    `gorm:"column:updated_at;autoUpdateTime:false"`
	ExpiresAt   *time.Time   `gorm:"column:expires_at"` // when it may be forgotten; nil while something will happen by itself
}

// TableName tells GORM the table.
func (WebhookDelivery) TableName() string { return "webhook_deliveries" }

// NewWebhookDelivery seals what an event says. Of one that names nobody nothing is
// kept, because no erasure would find it, nor of one that is larger than any real
// one: it is dead from the start.
func NewWebhookDelivery(id string, e WebhookEvent, sealer Sealer, hashes Pseudonymizer, now time.Time) (WebhookDelivery, error) {
	now = storedTime(now)
	d := WebhookDelivery{ID: id, Type: e.Type, State: WebhookReceived, ReceivedAt: now, UpdatedAt: now}
	subject := e.Subject()
	if subject == "" {
		return d.Dead(webhookReasonNobody, false, now), nil
	}
	if len(e.Data) > maxKeptData {
		return d.Dead(webhookReasonLarge, false, now), nil
	}
	sealed, err := sealer.Seal(purposeWebhookData, e.Data)
	if err != nil {
		return WebhookDelivery{}, err
	}
	d.SubjectHash, d.SealedData = &WebhookSubjectHashes(hashes, subject)[0], &sealed
	return d, nil
}

// WebhookSubjectHashes are the hashes that deliveries about the person may be
// known by: that of the current key first.
func WebhookSubjectHashes(hashes Pseudonymizer, clerkUserID string) []string {
	return hashes.Candidates(purposeWebhookSubject, clerkUserID)
}

// Event opens the seal. The error is about a key that is in SECRET_KEY and
// SECRET_KEY_FALLBACKS no more, a row that was tampered with, or one whose data is gone.
func (d WebhookDelivery) Event(sealer Sealer) (WebhookEvent, error) {
	if d.SealedData == nil {
		return WebhookEvent{}, errNoDeliveryData
	}
	data, err := sealer.Open(purposeWebhookData, *d.SealedData)
	if err != nil {
		return WebhookEvent{}, errDeliveryUnderLostKey.WithCause(err)
	}
	return WebhookEvent{Type: d.Type, Data: data}, nil
}

// Settled is the delivery when it was applied or ignored: its data goes, and with
// it whom it was about.
func (d WebhookDelivery) Settled(state WebhookState, reason string, now time.Time) WebhookDelivery {
	d.SealedData, d.SubjectHash = nil, nil
	return d.turned(state, reason, now, WebhookRetention(state))
}

// Failed is the delivery after a run that failed; counted tells whether it used up an attempt.
func (d WebhookDelivery) Failed(reason string, counted bool, now time.Time) WebhookDelivery {
	if counted {
		d.Attempts++
	}
	return d.turned(WebhookFailed, reason, now, 0)
}

// Dead is the delivery when no run will come by itself any more; what data there is is kept for a replay.
func (d WebhookDelivery) Dead(reason string, counted bool, now time.Time) WebhookDelivery {
	d = d.Failed(reason, counted, now)
	return d.turned(WebhookDead, reason, now, WebhookRetention(WebhookDead))
}

// Dismissed is a dead delivery that somebody has looked at and given up: nothing
// of it is kept but what it died of and why it was given up, as long as a dead
// one is.
func (d WebhookDelivery) Dismissed(why Dismissal, now time.Time) WebhookDelivery {
	d.SealedData, d.SubjectHash = nil, nil
	return d.turned(WebhookIgnored, "dismissed as "+string(why)+"; dead of "+d.Reason, now, WebhookRetention(WebhookDead))
}

// Replayed is the delivery as if it had just come.
func (d WebhookDelivery) Replayed(now time.Time) WebhookDelivery {
	d.Attempts = 0
	return d.turned(WebhookReceived, "", now, 0)
}

func (d WebhookDelivery) turned(state WebhookState, reason string, now time.Time, keep time.Duration) WebhookDelivery {
	d.State, d.Reason, d.UpdatedAt, d.ExpiresAt = state, reason, storedTime(now), nil
	if keep > 0 {
		end := d.UpdatedAt.Add(keep)
		d.ExpiresAt = &end
	}
	return d
}

// WebhookRetention is how long a delivery is kept in that state; zero for ever.
func WebhookRetention(state WebhookState) time.Duration {
	switch state {
	case WebhookApplied, WebhookIgnored:
		return webhookDoneRetention
	case WebhookDead:
		return webhookDeadRetention
	case WebhookReceived, WebhookFailed:
	}
	return 0
}

// WebhookOutcome is what became of a delivery at one moment, for the metrics.
type WebhookOutcome string

// The outcomes. A delivery has several, one after the other.
const (
	OutcomeReceived WebhookOutcome = "received" // stored
	OutcomeKnown    WebhookOutcome = "known"    // a repeat; nothing changed
	OutcomeRejected WebhookOutcome = "rejected" // refused, and not stored
	OutcomeApplied  WebhookOutcome = "applied"
	OutcomeIgnored  WebhookOutcome = "ignored"
	OutcomeFailed   WebhookOutcome = "failed" // one run of its job
	OutcomeDead     WebhookOutcome = "dead"
)

// WebhookOutcomes lists every outcome.
func WebhookOutcomes() []WebhookOutcome {
	return []WebhookOutcome{
		OutcomeReceived, OutcomeKnown, OutcomeRejected, OutcomeApplied, OutcomeIgnored, OutcomeFailed, OutcomeDead,
	}
}

var (
	errNoDeliveryData       = NewError(Conflict, CodeConflict, "The data of this delivery is gone.")
	errDeliveryUnderLostKey = NewError(Internal, CodeInternal,
		"A delivery cannot be opened: the key it was sealed under is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS.")
)
