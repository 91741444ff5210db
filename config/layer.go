package config

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Source is where the value of a variable comes from.
type Source string

// The sources of values.
const (
	SourceUnset       Source = "unset"       // nothing given, and no default
	SourceDefault     Source = "default"     //
	SourceFile        Source = "file"        // the YAML file
	SourceEnvironment Source = "environment" //
	SourceSecretFile  Source = "secret file" // the file that NAME_FILE names
	SourceDerived     Source = "derived"     // computed from other variables
)

// Origin is a source and, when the value came by way of another variable (REDIS_URL,
// NAME_FILE), that variable's name.
type Origin struct {
	Source Source
	Via    string
}

// layer is what one source says, by variable: strings, and []string for lists of the YAML file.
type layer map[string]layerValue

type layerValue struct {
	value  any
	origin Origin
}

// resolve makes a layer of what one source gave under known names: it reads
// the _FILE variables, brings other names home and refuses what contradicts
// itself. What is set to nothing is left out.
func resolve(given map[string]any, source Source, faults *Faults) layer {
	out := layer{}
	for _, f := range fields() {
		for _, name := range f.names() {
			v, ok := resolveName(f, name, given, source, faults)
			if !ok {
				continue
			}
			if first, twice := out[f.name]; twice && !reflect.DeepEqual(first.value, v.value) {
				faults.add(f.name, "and %s are two names of one variable and are set to different values; set one of them", name)
				continue
			}
			if _, twice := out[f.name]; !twice {
				out[f.name] = v
			}
		}
	}
	return out
}

// resolveName reads a variable under one of its names, directly or from its _FILE.
func resolveName(f field, name string, given map[string]any, source Source, faults *Faults) (layerValue, bool) {
	direct := clean(given[name], f.secret)
	path, _ := clean(given[name+fileSuffix], false).(string)
	if !f.secret || path == "" {
		if direct == nil || !sound(f, direct, faults) {
			return layerValue{}, false
		}
		origin := Origin{Source: source}
		if name != f.name {
			origin.Via = name
		}
		return layerValue{direct, origin}, true
	}
	if direct != nil {
		faults.add(f.name, "must not be set together with %s; set one of %s and %s", name+fileSuffix, name, name+fileSuffix)
		return layerValue{}, false
	}
	text, problem := readSecretFile(path)
	if problem != "" {
		faults.add(f.name, "cannot be had from the file that %s names: %s%s", name+fileSuffix, problem, echoPath(path))
		return layerValue{}, false
	}
	if !sound(f, text, faults) {
		return layerValue{}, false
	}
	return layerValue{text, Origin{Source: SourceSecretFile, Via: name + fileSuffix}}, true
}

// clean trims what is no secret and gives nil for what is set to nothing.
func clean(value any, secret bool) any {
	switch v := value.(type) {
	case string:
		if !secret {
			v = strings.TrimSpace(v)
		}
		if v == "" {
			return nil
		}
		return v
	case []string:
		if len(v) == 0 {
			return nil
		}
		return v
	default:
		return nil
	}
}

// sound refuses bytes that no variable may have. A line break is part of PEM;
// anywhere else it is a slip, such as the end of a line pasted with a key.
func sound(f field, value any, faults *Faults) bool {
	items, ok := value.([]string)
	if !ok {
		items = []string{value.(string)} //nolint:forcetypeassert // a layer holds strings and []string alone
	}
	for _, item := range items {
		if !utf8.ValidString(item) {
			faults.add(f.name, "must be UTF-8 text")
			return false
		}
		if f.name != "CLERK_JWT_KEY" && strings.ContainsFunc(item, unicode.IsControl) {
			faults.add(f.name, "must not hold control characters or line breaks")
			return false
		}
		if f.secret && f.name != "CLERK_JWT_KEY" && strings.TrimSpace(item) != item {
			faults.add(f.name, "must not begin or end with white space")
			return false
		}
	}
	return true
}
