package domain

import (
	"errors"
	"time"
)

// Kind classifies an [Error] by what the caller can do about it. It is itself
// an error, so errors.Is(err, domain.NotFound) holds however deep err is wrapped.
type Kind string

// The kinds; the edge maps each to one HTTP status.
const (
	Malformed          Kind = "malformed"              // 400: not readable as a request at all
	Unauthenticated    Kind = "unauthenticated"        // 401
	Forbidden          Kind = "forbidden"              // 403
	NotFound           Kind = "not found"              // 404
	MethodNotAllowed   Kind = "method not allowed"     // 405
	NotAcceptable      Kind = "not acceptable"         // 406
	Conflict           Kind = "conflict"               // 409
	PreconditionFailed Kind = "precondition failed"    // 412
	PayloadTooLarge    Kind = "payload too large"      // 413
	UnsupportedMedia   Kind = "unsupported media type" // 415
	Misdirected        Kind = "misdirected"            // 421
	Invalid            Kind = "invalid"                // 422: readable, but breaks a rule
	RateLimited        Kind = "rate limited"           // 429
	Internal           Kind = "internal"               // 500
	Unavailable        Kind = "unavailable"            // 503: try again later
	Timeout            Kind = "timeout"                // 504
)

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return string(k) }

// Code is the stable, machine-readable name of a failure. Clients branch on it;
// it never changes once published.
type Code string

// The codes of the contract, one problem type each.
const (
	CodeMalformedRequest     Code = "malformed-request"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeTokenExpired         Code = "token-expired"
	CodeAccountErased        Code = "account-erased"
	CodeForbidden            Code = "forbidden"
	CodeAccountSuspended     Code = "account-suspended"
	CodeReauthentication     Code = "reauthentication-required"
	CodeNotFound             Code = "not-found"
	CodeMethodNotAllowed     Code = "method-not-allowed"
	CodeNotAcceptable        Code = "not-acceptable"
	CodeHandleTaken          Code = "handle-taken"
	CodeConflict             Code = "conflict"
	CodeRequestInProgress    Code = "request-in-progress"
	CodePreconditionFailed   Code = "precondition-failed"
	CodePayloadTooLarge      Code = "payload-too-large"
	CodeUnsupportedMediaType Code = "unsupported-media-type"
	CodeMisdirectedRequest   Code = "misdirected-request"
	CodeValidationFailed     Code = "validation-failed"
	CodeIdempotencyKeyReused Code = "idempotency-key-reused"
	CodeRateLimited          Code = "rate-limited"
	CodeInternal             Code = "internal"
	CodeUnavailable          Code = "unavailable"
	CodeTimeout              Code = "timeout"
)

// FieldError is one fault of a request body.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901 JSON Pointer into the body, such as /links/0/url
	Code    string `json:"code"`    // stable, such as too_long
	Detail  string `json:"detail"`  // a sentence that never repeats the value
}

// Error is a failure that the outside may hear of. It is immutable: the With
// methods return copies. Message and fields are safe for anyone to read; the
// cause is for the log alone.
type Error struct {
	kind       Kind
	code       Code
	message    string
	fields     []FieldError
	cause      error
	retryAfter time.Duration
}

// NewError makes an error of a kind under a stable code with a safe message.
func NewError(kind Kind, code Code, message string) *Error {
	return &Error{kind: kind, code: code, message: message}
}

// ValidationFailed is the error of a body that breaks the rules of its fields.
func ValidationFailed(fields ...FieldError) *Error {
	return &Error{
		kind: Invalid, code: CodeValidationFailed,
		message: "The request has fields that break their rules.",
		fields:  append([]FieldError(nil), fields...),
	}
}

// UnavailableError says that something we depend on is away for now; a client
// may repeat the request after retryAfter.
func UnavailableError(cause error, retryAfter time.Duration) *Error {
	return &Error{
		kind: Unavailable, code: CodeUnavailable,
		message:    "The service cannot answer this right now. Please try again shortly.",
		cause:      cause,
		retryAfter: retryAfter,
	}
}

// TimeoutError says that the request or its database work took too long and was given up.
func TimeoutError(cause error) *Error {
	return &Error{
		kind: Timeout, code: CodeTimeout,
		message: "The request took too long and was given up.",
		cause:   cause,
	}
}

// WithCause returns a copy that carries the cause for the log.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// WithRetryAfter returns a copy that tells the client when to come back.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.retryAfter = d
	return &c
}

// Error is for logs: it may hold internal text by way of the cause.
func (e *Error) Error() string {
	s := string(e.code) + ": " + e.message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives errors.Is and errors.As both the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// Kind says what sort of failure this is.
func (e *Error) Kind() Kind { return e.kind }

// Code is the stable name of the failure.
func (e *Error) Code() Code { return e.code }

// Message is a sentence that is safe to show to anyone.
func (e *Error) Message() string { return e.message }

// Fields lists the faults of the body; empty for every kind but Invalid.
func (e *Error) Fields() []FieldError { return append([]FieldError(nil), e.fields...) }

// RetryAfter is how long the client should wait; zero when nothing is known.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// HasCode tells whether err is, or wraps, an [Error] with the code.
func HasCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.code == code
}
