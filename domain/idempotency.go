package domain

import (
	"maps"
	"time"
)

// IdempotencyKept is how long the response to a request with an Idempotency-Key
// is kept for repeats.
const IdempotencyKept = 24 * time.Hour

// MaxIdempotencyKey is the greatest length of an Idempotency-Key, in characters.
const MaxIdempotencyKey = 255

// The [Pseudonymizer] purposes of what is kept with a response: neither the
// caller and the key nor the request can be read from it.
const (
	PurposeIdempotencyKey    = "idempotency-key"
	PurposeIdempotentRequest = "idempotent-request"
)

// ValidIdempotencyKey tells whether the value of the header may be a key: 1 to
// 255 visible ASCII characters.
func ValidIdempotencyKey(key string) bool {
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return false
		}
	}
	return len(key) >= 1 && len(key) <= MaxIdempotencyKey
}

// KeptResponse is an answer as repeats get it again.
type KeptResponse struct {
	Status int               `gorm:"column:status"`
	Header map[string]string `gorm:"column:headers;serializer:json"` // Content-Type, ETag, Location, as far as they are there; never nil
	Body   []byte            `gorm:"column:body"`                    // never nil
	// SubjectProfileID is the profile that the answer tells of; its erasure takes
	// the answer along. Nil when there is no personal data in it.
	SubjectProfileID *string `gorm:"column:subject_profile_id"`
}

// IdempotencyRecord is the answer to one request of one caller under one key.
// Outside of the body nothing names anybody.
type IdempotencyRecord struct {
	KeyHash     string `gorm:"column:key_hash;primaryKey"` // of the caller's Clerk id and the key
	RequestHash string `gorm:"column:request_hash"`        // of what was asked, to tell a repeat from another request
	KeptResponse
	CreatedAt time.Time `gorm:"column:created_at"`
	ExpiresAt time.Time `gorm:"column:expires_at"` // from this moment on the key is as good as new
}

// TableName tells GORM the table.
func (IdempotencyRecord) TableName() string { return "idempotency_keys" }

// NewIdempotencyRecord keeps a response from now on.
func NewIdempotencyRecord(keyHash, requestHash string, r KeptResponse, now time.Time) IdempotencyRecord {
	now = storedTime(now)
	r.Body = append([]byte{}, r.Body...)
	if r.Header = maps.Clone(r.Header); r.Header == nil {
		r.Header = map[string]string{}
	}
	return IdempotencyRecord{
		KeyHash: keyHash, RequestHash: requestHash, KeptResponse: r, CreatedAt: now, ExpiresAt: now.Add(IdempotencyKept),
	}
}

// RequestInProgress is the error of a request whose key is being worked on.
func RequestInProgress() *Error {
	return NewError(Conflict, CodeRequestInProgress, "The first request with this Idempotency-Key is still running.")
}

// IdempotencyKeyReused is the error of another request under a used key. No
// member of the body is at fault, so it points to the whole (RFC 6901, section 5).
func IdempotencyKeyReused() *Error {
	return &Error{
		kind: Invalid, code: CodeIdempotencyKeyReused,
		message: "This Idempotency-Key was used for another request.",
		fields:  []FieldError{{Pointer: "", Code: FieldKeyReused, Detail: "The request differs from the first one under this Idempotency-Key."}},
	}
}
