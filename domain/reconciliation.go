package domain

import "time"

// ReconcilePhase is what a run does next.
type ReconcilePhase string

// The phases, in their order.
const (
	ReconcileWalking  ReconcilePhase = "walking"  // page by page through Clerk's users
	ReconcileVanished ReconcilePhase = "vanished" // asks Clerk about each profile that was not met
	ReconcileDone     ReconcilePhase = "done"
)

// reconcileKeptFor is the age at which an unfinished run is begun anew instead of gone on with.
const reconcileKeptFor = 24 * time.Hour

// ReconcileOutcome is how a run ended.
type ReconcileOutcome string

// The outcomes of a finished run. A run that broke off has none: it can be gone on with.
const (
	ReconcileCompleted ReconcileOutcome = "completed"
	ReconcileRefused   ReconcileOutcome = "refused"   // more had vanished than may be erased at once
	ReconcileAbandoned ReconcileOutcome = "abandoned" // too old to go on with
)

// ReconcileCounts tell of the people of one run.
type ReconcileCounts struct {
	Seen       int `gorm:"column:seen"`       // listed by Clerk, or confirmed by it
	Created    int `gorm:"column:created"`    // had no profile here
	Updated    int `gorm:"column:updated"`    // were not as at Clerk
	Unchanged  int `gorm:"column:unchanged"`  //
	Stale      int `gorm:"column:stale"`      // are known here by something later than Clerk's answer
	Skipped    int `gorm:"column:skipped"`    // were erased here, and stay so
	Unreadable int `gorm:"column:unreadable"` // what Clerk says of them cannot be read
	Failed     int `gorm:"column:failed"`     // could not be repaired
	Candidates int `gorm:"column:candidates"` // have a profile and were not met on the walk
	Erased     int `gorm:"column:erased"`     // are gone at Clerk: erased here, or would be in a dry run
	Refused    int `gorm:"column:refused"`    // candidates that were left alone because they were too many
}

// Repaired tells whether everybody is as at Clerk now.
func (c ReconcileCounts) Repaired() bool { return c.Unreadable == 0 && c.Failed == 0 && c.Refused == 0 }

// Since is what was added to the earlier counts.
func (c ReconcileCounts) Since(before ReconcileCounts) ReconcileCounts {
	return ReconcileCounts{
		Seen: c.Seen - before.Seen, Created: c.Created - before.Created, Updated: c.Updated - before.Updated,
		Unchanged: c.Unchanged - before.Unchanged, Stale: c.Stale - before.Stale, Skipped: c.Skipped - before.Skipped,
		Unreadable: c.Unreadable - before.Unreadable, Failed: c.Failed - before.Failed, Candidates: c.Candidates - before.Candidates,
		Erased: c.Erased - before.Erased, Refused: c.Refused - before.Refused,
	}
}

// Reconciliation is one run over all of Clerk's users, and its row. It names
// nobody.
type Reconciliation struct {
	ID       string    `gorm:"column:id;primaryKey"` // UUID v7
	Periodic bool      `gorm:"column:periodic"`      // begun by the periodic job, not by the command
	BegunAt  time.Time `gorm:"column:begun_at"`
	// JudgedBefore says of which profiles the candidates are a share: of those that are older.
	// See [Reconciliation.Follow].
	JudgedBefore time.Time       `gorm:"column:judged_before"`
	Phase        ReconcilePhase  `gorm:"column:phase"`
	NextOffset   int             `gorm:"column:next_offset"` // of the next page, in people
	Pages        int             `gorm:"column:pages"`       // asked for so far
	Counts       ReconcileCounts `gorm:"embedded"`
	Profiles     int             `gorm:"column:profiles"` // of those from before JudgedBefore, when the walk was over
	// CheckedThrough is the last candidate that Clerk was asked about, by profile; [NobodysID]: none was.
	// They are asked about in the order of these ids.
	CheckedThrough string     `gorm:"column:checked_through"`
	Outcome        *string    `gorm:"column:outcome"` // a [ReconcileOutcome]; nil while the run is unfinished
	FinishedAt     *time.Time `gorm:"column:finished_at"`
}

// TableName tells GORM the table.
func (Reconciliation) TableName() string { return "reconciliation_runs" }

// NewReconciliation makes a run that has done nothing yet.
func NewReconciliation(periodic bool, now time.Time) Reconciliation {
	now = storedTime(now)
	return Reconciliation{ID: NewID(now), Periodic: periodic, BegunAt: now, JudgedBefore: now, Phase: ReconcileWalking, CheckedThrough: NobodysID}
}

// Follow has the run judged by the profiles that counted in the run before it,
// unless that one was completed. With the key of another instance each run
// creates profiles of strangers, which must make the share of the real ones no
// smaller: neither in that run nor in the one that comes after its refusal.
func (r *Reconciliation) Follow(before Reconciliation) {
	if !before.EndedAs(ReconcileCompleted) {
		r.JudgedBefore = before.JudgedBefore
	}
}

// ResumableAt tells whether the run may be gone on with at that moment. What was
// met a day ago says little of who is at Clerk now.
func (r *Reconciliation) ResumableAt(now time.Time) bool {
	return r.FinishedAt == nil && now.Sub(r.BegunAt) < reconcileKeptFor
}

// Finish ends the run.
func (r *Reconciliation) Finish(o ReconcileOutcome, now time.Time) {
	now, text := storedTime(now), string(o)
	r.Phase, r.Outcome, r.FinishedAt = ReconcileDone, &text, &now
}

// EndedAs tells whether the run is finished with that outcome.
func (r *Reconciliation) EndedAs(o ReconcileOutcome) bool {
	return r.Outcome != nil && *r.Outcome == string(o)
}

// fewVanished is how many may vanish at once where a share says little: of five
// people one is a fifth. But never more than a third, so that no wrong answer
// empties a small table.
const fewVanished = 10

// MayErase tells, once the walk is over, whether so many may vanish at once: no
// more than percent of a hundred of the profiles, or the few of [fewVanished]
// unless percent is 0; and never anybody when Clerk showed nobody at all.
func (r *Reconciliation) MayErase(percent int) bool {
	candidates := r.Counts.Candidates
	switch {
	case candidates == 0:
		return true
	case r.NextOffset == 0 || percent == 0:
		return false
	}
	return candidates*100 <= percent*r.Profiles || candidates <= min(fewVanished, r.Profiles/3)
}

// ListedClerkUser is one place of a page of Clerk's users.
type ListedClerkUser struct {
	ID   string // of a user; empty when not even that could be read
	User ClerkUser
	Err  error // why User cannot be used; it holds no value of Clerk's
}

// MirroredProfile is of a profile what tells whether it is as at Clerk.
type MirroredProfile struct {
	ID             string     `gorm:"column:id"`
	ClerkUserID    string     `gorm:"column:clerk_user_id"`
	Email          *string    `gorm:"column:email"`
	AvatarURL      *string    `gorm:"column:avatar_url"`
	Status         Status     `gorm:"column:status"`
	SuspendedUntil *time.Time `gorm:"column:suspended_until"`
	ClerkUpdatedAt *time.Time `gorm:"column:clerk_updated_at"` // nil: nothing was ever mirrored
}

// SuspendedAt is [Profile.SuspendedAt].
func (m *MirroredProfile) SuspendedAt(now time.Time) bool {
	p := Profile{Status: m.Status, SuspendedUntil: m.SuspendedUntil}
	return p.SuspendedAt(now)
}

// StaleFor tells whether what is mirrored is later than u.
func (m *MirroredProfile) StaleFor(u ClerkUser) bool {
	return m.ClerkUpdatedAt != nil && m.ClerkUpdatedAt.After(u.UpdatedAt)
}

// Shows tells whether the profile has of u what can be compared. A suspension of
// somebody who is not suspended at Clerk may be an admin's, and counts as nothing.
func (m *MirroredProfile) Shows(u ClerkUser, now time.Time) bool {
	return m.ClerkUpdatedAt != nil && sameText(m.Email, u.Email) && sameText(m.AvatarURL, u.AvatarURL) &&
		(!u.Suspended || m.SuspendedAt(now))
}

// InStep tells whether nothing at all has to be done about the person, beyond
// doubt. Suspensions are a matter for the mirror's rules.
func (m *MirroredProfile) InStep(u ClerkUser, now time.Time) bool {
	return m.Shows(u, now) && m.ClerkUpdatedAt.Equal(u.UpdatedAt) && !u.Suspended && m.Status == StatusActive
}

func sameText(a, b *string) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}
