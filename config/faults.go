package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with the settings.
type Fault struct {
	Variable string `json:"variable"` // the variable, CONFIG_FILE for the file as a whole
	Message  string `json:"message"`  // what is expected; never the value of a secret
}

// Faults is the error of [Load]: everything that is wrong, sorted by variable.
type Faults []Fault

// Error lists all faults, one per line.
func (f Faults) Error() string {
	var b strings.Builder
	if len(f) == 1 {
		b.WriteString("the settings have 1 fault:")
	} else {
		fmt.Fprintf(&b, "the settings have %d faults:", len(f))
	}
	for _, fault := range f {
		b.WriteString("\n  " + fault.Variable + " " + fault.Message)
	}
	return b.String()
}

// Has tells whether a variable is at fault.
func (f Faults) Has(variable string) bool {
	return slices.ContainsFunc(f, func(x Fault) bool { return x.Variable == variable })
}

// add is the only way in. The format must name no secret: it takes what is
// expected, and of what was found only the output of echo.
func (f *Faults) add(variable, format string, args ...any) {
	fault := Fault{Variable: variable, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(*f, fault) {
		*f = append(*f, fault)
	}
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return cmp.Compare(a.Variable, b.Variable) })
	return f
}

// echo quotes a value that is no secret for a fault, as ", not \"value\"". It
// says nothing of a value that is long, that looks as if a secret landed in the
// wrong variable, or that has a URL's query or fragment, where keys are put.
func echo(value string) string {
	const longest = 80
	if value == "" || len(value) > longest || strings.ContainsAny(value, "?#") || looksSecret(value) {
		return ""
	}
	return ", not " + strconv.Quote(value)
}

// looksSecret guesses whether a value, wherever it was found, is a credential:
// a key of Clerk's or Svix's, PEM, a URL with a user, or a long run of letters
// and digits of the kind that generators make.
func looksSecret(value string) bool {
	lower := strings.ToLower(value)
	for _, mark := range []string{"sk_", "whsec_", "-----", "@", "secret", "passw", "token"} {
		if strings.Contains(lower, mark) {
			return true
		}
	}
	const longestWord = 24 // longer than any word of a rule, shorter than any sound key
	word := 0
	for _, r := range value {
		if strings.ContainsRune(" .,:/[]", r) {
			word = 0
		} else if word++; word > longestWord {
			return true
		}
	}
	return false
}
