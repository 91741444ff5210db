package domain

// PurposeErasedIdentity is the [Pseudonymizer] purpose of the hash of a Clerk
// id that an erasure leaves, so that neither a late webhook nor a token that
// lives on can revive the person.
const PurposeErasedIdentity = "erased-identity"
