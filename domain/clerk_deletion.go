package domain

import "time"

// PurposeClerkDeletion is the [Sealer] purpose of ClerkDeletion.SealedClerkID.
const PurposeClerkDeletion = "clerk-deletion"

// ClerkDeletion is a person who was erased here and must still be deleted at
// Clerk. Clerk knows people by their Clerk id alone, so it has to be kept until
// then: sealed, so that neither the table nor a dump of it names anybody. The
// row goes when Clerk has deleted the person.
type ClerkDeletion struct {
	ID            string    `gorm:"column:id;primaryKey"` // UUID v7
	SealedClerkID string    `gorm:"column:sealed_clerk_id"`
	RequestedAt   time.Time `gorm:"column:requested_at"`
}

// TableName tells GORM the table.
func (ClerkDeletion) TableName() string { return "clerk_deletions" }

// NewClerkDeletion seals the Clerk id.
func NewClerkDeletion(clerkUserID string, sealer Sealer, now time.Time) (ClerkDeletion, error) {
	sealed, err := sealer.Seal(PurposeClerkDeletion, []byte(clerkUserID))
	if err != nil {
		return ClerkDeletion{}, err
	}
	now = storedTime(now)
	return ClerkDeletion{ID: NewID(now), SealedClerkID: sealed, RequestedAt: now}, nil
}

// ClerkUserID opens the seal. The error is about a key that is in SECRET_KEY and
// SECRET_KEY_FALLBACKS no more, or a row that was tampered with.
func (d ClerkDeletion) ClerkUserID(sealer Sealer) (string, error) {
	id, err := sealer.Open(PurposeClerkDeletion, d.SealedClerkID)
	if err != nil {
		return "", errSealedUnderLostKey.WithCause(err)
	}
	return string(id), nil
}

var errSealedUnderLostKey = NewError(Internal, CodeInternal,
	"A pending deletion cannot be opened: the key it was sealed under is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS.")
