package config

// Examine is [Load] for `profile-api doctor`: the settings come with their
// faults. The value of a variable that is at fault must not be used: it broke a
// rule, and may send a secret to where it does not belong.
func Examine(opts Options) (*Settings, Faults) { return load(opts) }
