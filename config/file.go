package config

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readConfigFile reads the YAML file into values by the variables' names (upper case). The
// file is read here and not by viper, which takes unknown, nested and
// case-variant keys; and YAML's own error text, which repeats the content, is never used.
func readConfigFile(path string, faults *Faults) map[string]any {
	if path == "" {
		return nil
	}
	content, problem := readRegular(path)
	if problem != "" {
		faults.add(configFile, "must name a readable YAML file: %s%s", problem, echoPath(path))
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil // nothing but comments
	case err != nil:
		faults.add(configFile, "must be a YAML file%s", yamlLine(err))
		return nil
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		faults.add(configFile, "must hold one YAML document, with nothing after it")
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		faults.add(configFile, "must be a flat list of name: value")
		return nil
	}
	return readMapping(root, faults)
}

func readMapping(root *yaml.Node, faults *Faults) map[string]any {
	values := make(map[string]any)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		name := strings.ToUpper(key.Value)
		if key.Kind != yaml.ScalarNode || !knownVariables()[name] || key.Value != strings.ToLower(name) || name == configFile {
			unknownKey(key, faults)
			continue
		}
		if _, twice := values[name]; twice {
			faults.add(name, "is in the file twice (line %d)", key.Line)
			continue
		}
		value, problem := readNode(name, node)
		if problem != "" {
			faults.add(name, "%s (line %d of the file)", problem, node.Line)
		}
		values[name] = value
	}
	return values
}

// readNode takes a value as the text that stands in the file, so that the
// variable's own type decides what it means and 1e3 or 0x10 is never a number by surprise.
func readNode(name string, node *yaml.Node) (value any, problem string) {
	switch {
	case node.Kind == yaml.ScalarNode && plainTag(node):
		if node.Tag == "!!null" {
			return nil, ""
		}
		return node.Value, ""
	case node.Kind == yaml.SequenceNode && !isList(name):
		return nil, "must be a single value, not a list"
	case node.Kind == yaml.SequenceNode:
		items := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode || !plainTag(item) || item.Tag == "!!null" {
				return nil, "must be a list of plain values"
			}
			items = append(items, item.Value)
		}
		return items, ""
	case node.Kind == yaml.MappingNode:
		return nil, "must not be a nested map"
	default:
		return nil, "must be a plain value, without YAML aliases or tags"
	}
}

// plainTag tells whether YAML found the type by itself or reads the text as it stands.
func plainTag(node *yaml.Node) bool {
	switch node.Tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		return node.Style&yaml.TaggedStyle == 0
	}
	return false
}

func isList(name string) bool {
	for _, f := range fields() {
		if f.name == name {
			return f.typ.Kind() == reflect.Slice
		}
	}
	return false
}

var keyShape = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,39}$`)

func unknownKey(key *yaml.Node, faults *Faults) {
	if key.Kind != yaml.ScalarNode || !keyShape.MatchString(key.Value) || looksLikeKey(key.Value) {
		faults.add(configFile, "has an unknown key on line %d", key.Line)
		return
	}
	name := strings.ToUpper(key.Value)
	if near := nearest(name); near != "" && near != configFile {
		faults.add(configFile, "has the unknown key %q on line %d; did you mean %s?", key.Value, key.Line, strings.ToLower(near))
		return
	}
	if knownVariables()[name] && name != configFile {
		faults.add(configFile, "has the unknown key %q on line %d; keys are in lower case: %s", key.Value, key.Line, strings.ToLower(name))
		return
	}
	faults.add(configFile, "has the unknown key %q on line %d", key.Value, key.Line)
}

// looksLikeKey tells a credential in the place of a YAML key from a name.
func looksLikeKey(s string) bool {
	return strings.HasPrefix(s, "sk_") || strings.HasPrefix(s, "whsec_") ||
		(len(s) > 16 && strings.ContainsAny(s, "0123456789"))
}

var lineNumber = regexp.MustCompile(`line [0-9]+`)

func yamlLine(err error) string {
	if line := lineNumber.FindString(err.Error()); line != "" {
		return "; it cannot be read at " + line
	}
	return ""
}
