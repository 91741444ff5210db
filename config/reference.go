package config

// Entry documents one variable.
type Entry struct {
	Variable string
	Alias    string // another name that is accepted, or empty
	Default  string // as documentation writes it; empty when there is none
	Required string // "", "always" or "production"
	Secret   bool   // masked
	File     bool   // Variable_FILE may name a file with the value
	Min, Max string // inclusive bounds of numbers and durations, or empty
	Rule     string // what is expected
}

// Reference lists every variable in the order of [Settings], so that a test
// can hold the documentation against it.
func Reference() []Entry {
	entries := make([]Entry, 0, len(fields()))
	for _, f := range fields() {
		entries = append(entries, Entry{
			Variable: f.name, Alias: f.alias, Default: f.shown, Required: f.need,
			Secret: f.secret, File: f.secret, Min: f.min, Max: f.max, Rule: f.rule,
		})
	}
	return entries
}
