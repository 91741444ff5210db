package domain

// The stable codes of [FieldError].
const (
	FieldRequired          = "required"           // cannot be removed
	FieldInvalidType       = "invalid_type"       // another JSON type is expected
	FieldInvalidFormat     = "invalid_format"     // not written the way such a value is
	FieldTooShort          = "too_short"          //
	FieldTooLong           = "too_long"           //
	FieldTooMany           = "too_many"           // items
	FieldTooDeep           = "too_deep"           // nesting
	FieldOutOfRange        = "out_of_range"       // a number
	FieldReserved          = "reserved"           // a handle nobody may take
	FieldControlCharacters = "control_characters" // Unicode category Cc
	FieldInvalidUTF8       = "invalid_utf8"       //
	FieldNotHTTPS          = "not_https"          // a URL of another scheme
	FieldUnknown           = "unknown"            // not one of the known values
	FieldKeyReused         = "key_reused"         // the whole request, under an Idempotency-Key of another
)
