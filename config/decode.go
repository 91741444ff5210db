package config

import (
	"errors"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// layered puts the sources over each other in viper, weakest first. The
// environment goes in by Set, viper's strongest layer, rather than by BindEnv:
// viper would read the environment of the process, and a test could not bring its own.
func layered(file, env layer) *viper.Viper {
	v := viper.New()
	values := make(map[string]any, len(file))
	for _, f := range fields() {
		if f.def != "" {
			v.SetDefault(f.key(), f.def)
		}
		if e, ok := file[f.name]; ok {
			values[f.key()] = e.value
		}
		if e, ok := env[f.name]; ok {
			v.Set(f.key(), e.value)
		}
	}
	if err := v.MergeConfigMap(values); err != nil {
		panic(err) // a flat map of strings has nothing that could clash
	}
	return v
}

// decode fills the settings from viper, one variable at a time, so that each
// failure belongs to a variable. The error text of mapstructure repeats the
// value and is never used; parseError does not.
func decode(v *viper.Viper, s *Settings, faults *Faults) {
	hook := viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(splitHook, listHook, valueHook))
	target := reflect.ValueOf(s).Elem()
	for _, f := range fields() {
		if !v.IsSet(f.key()) {
			continue
		}
		err := v.UnmarshalKey(f.key(), target.Field(f.index).Addr().Interface(), hook)
		if err == nil {
			continue
		}
		target.Field(f.index).SetZero()
		var expected parseError
		if !errors.As(err, &expected) {
			expected = parseError("must be: " + f.rule)
		}
		found := ""
		if text, ok := v.Get(f.key()).(string); ok && !f.secret {
			found = echo(text)
		}
		faults.add(f.name, "%s%s", expected, found)
	}
}

// splitHook turns comma-separated text into the items of a list.
func splitHook(from, to reflect.Type, data any) (any, error) {
	if text, ok := data.(string); ok && from.Kind() == reflect.String && to.Kind() == reflect.Slice {
		return strings.Split(text, ","), nil
	}
	return data, nil
}

// listHook parses the items of a list into the element's type.
func listHook(_, to reflect.Type, data any) (any, error) {
	if items, ok := data.([]string); ok && to.Kind() == reflect.Slice {
		return parseList(to, items)
	}
	return data, nil
}

// valueHook parses text into any other type of Settings.
func valueHook(_, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if parse := parsers[to]; ok && parse != nil {
		return parse(text)
	}
	return data, nil
}
