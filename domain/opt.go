package domain

// Opt is one member of a JSON merge patch (RFC 7396), which tells three things
// apart: absent (the zero value: leave it), null (clear it) and a value (set it).
type Opt[T any] struct {
	Set   bool // the member was named
	Null  bool // it was null; Value is then the zero value
	Value T
}

// Some is a member with a value.
func Some[T any](v T) Opt[T] { return Opt[T]{Set: true, Value: v} }

// Null is a member that is null.
func Null[T any]() Opt[T] { return Opt[T]{Set: true, Null: true} }
