package config

import (
	"fmt"
	"log/slog"
)

// mask stands for a secret wherever one would be printed.
const mask = "[redacted]"

// Secret holds a value that must not be printed. Every way of formatting or
// encoding it gives a mask; [Secret.Reveal] alone gives the value. The zero
// value is not set. Compare the revealed values, not the secrets.
//
// It is a struct around a pointer and not a string, because fmt reaches past
// the methods of what sits in an unexported field (and for the verbs %p and %w), and would
// print a string there; of a pointer it prints the address.
type Secret struct{ value *string }

// NewSecret wraps a value; the empty string gives a secret that is not set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value, empty when none is set. Never log or store the result.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// String is the mask, or empty when no value is set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return mask
}

// GoString is the mask.
func (s Secret) GoString() string { return s.String() }

// Format writes the mask whatever the verb and its flags.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(s.String())) }

// MarshalText is the mask, for every encoder that knows text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is the mask as a string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue is the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
