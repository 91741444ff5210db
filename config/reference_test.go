package config

import (
	"reflect"
	"strings"
	"testing"
)

// Every field is a variable whose Go name follows from the variable's, has a
// rule, a parser for its type, and a default that its own rules accept.
func TestTheReferenceIsComplete(t *testing.T) {
	t.Parallel()
	settings := reflect.TypeFor[Settings]()
	seen := map[string]bool{}
	for _, f := range fields() {
		goName := settings.Field(f.index).Name
		if !strings.EqualFold(goName, strings.ReplaceAll(f.name, "_", "")) {
			t.Errorf("%s is the field %s", f.name, goName)
		}
		typ := f.typ
		if typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if parsers[typ] == nil {
			t.Errorf("%s has a type without parser: %v", f.name, f.typ)
		}
		if isSecretType := typ == reflect.TypeFor[Secret](); isSecretType && !f.secret {
			t.Errorf("%s is a Secret without the tag", f.name)
		}
		if f.rule == "" || seen[f.name] || (f.min == "") != (f.max == "") {
			t.Errorf("%s: rule %q, bounds %q to %q, twice %v", f.name, f.rule, f.min, f.max, seen[f.name])
		}
		seen[f.name] = true
	}
	exported := 0
	for i := range settings.NumField() {
		if settings.Field(i).IsExported() {
			exported++
		}
	}
	if len(Reference()) != exported {
		t.Errorf("%d variables for %d fields", len(Reference()), exported)
	}
	for _, entry := range Reference() {
		if entry.Variable == "VALKEY_URL" && (entry.Alias != "REDIS_URL" || !entry.File || entry.Required != "always") {
			t.Errorf("entry %+v", entry)
		}
	}
}
