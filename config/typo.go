package config

import (
	"maps"
	"slices"
	"strconv"
)

// checkTypos finds variables of the environment that nobody reads and whose
// name is one edit away from one that is read: most likely a slip that would
// otherwise leave a default in force unseen.
func checkTypos(env map[string]string, faults *Faults) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if knownVariables()[name] {
			continue
		}
		if near := nearest(name); near != "" {
			faults.add(printable(name), "is not a variable of profile-api; did you mean %s?", near)
		}
	}
}

// printable writes a name that somebody else chose so that it stays on its line.
func printable(name string) string {
	quoted := strconv.Quote(name)
	return quoted[1 : len(quoted)-1]
}

// nearest is the known variable one edit away from name, the first by
// alphabet, or empty.
func nearest(name string) string {
	for _, known := range slices.Sorted(maps.Keys(knownVariables())) {
		if oneEdit(name, known) {
			return known
		}
	}
	return ""
}

// oneEdit tells whether the Damerau-Levenshtein distance of two names is
// exactly 1: one byte inserted, deleted or replaced, or two neighbours swapped.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if a == b || len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
