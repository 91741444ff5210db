package config

import (
	"reflect"
	"strings"
	"sync"
)

// field is what the tags of one field of Settings say.
type field struct {
	index    int
	typ      reflect.Type
	name     string // the variable
	alias    string // another name for it, or empty
	def      string
	shown    string // default as documentation writes it
	need     string // "", "always" or "production"
	rule     string
	min, max string
	secret   bool
}

// key is the field's name in the YAML file and in viper.
func (f field) key() string { return strings.ToLower(f.name) }

// names lists the field's own name and its alias.
func (f field) names() []string {
	if f.alias == "" {
		return []string{f.name}
	}
	return []string{f.name, f.alias}
}

// fields is the one walk over Settings that everything else is made from.
var fields = sync.OnceValue(func() []field {
	t := reflect.TypeFor[Settings]()
	var all []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name, ok := tag.Lookup("env")
		if !ok {
			continue
		}
		f := field{
			index: i, typ: t.Field(i).Type, name: name, alias: tag.Get("alias"),
			def: tag.Get("default"), shown: tag.Get("shown"), need: tag.Get("need"),
			rule: tag.Get("rule"), min: tag.Get("min"), max: tag.Get("max"),
			secret: tag.Get("secret") == "true",
		}
		if f.shown == "" {
			f.shown = f.def
		}
		all = append(all, f)
	}
	return all
})

// fileSuffix makes the variable that names a file with a secret's value.
const fileSuffix = "_FILE"

// configFile names the YAML file; it is read before Settings exist and is none of its fields.
const configFile = "CONFIG_FILE"

// knownVariables is every name that somebody may set: the fields, their other
// names, the _FILE form of the secrets, and CONFIG_FILE.
var knownVariables = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{configFile: true}
	for _, f := range fields() {
		for _, name := range f.names() {
			known[name] = true
			if f.secret {
				known[name+fileSuffix] = true
			}
		}
	}
	return known
})
