// Package promfiles reads the files of deploy/monitoring for the tests that hold
// them against the program: rules, their cases, the dashboard and its queries.
package promfiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Rule is one of a file of rules: it either records or alerts.
type Rule struct {
	File        string            `yaml:"-"`
	Group       string            `yaml:"-"`
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"` // a duration of Prometheus, such as 5m; empty for at once
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Name is what the rule records or alerts, with the window where alerts share a name.
func (r Rule) Name() string {
	name := r.Record + r.Alert
	if w := r.Labels["window"]; w != "" {
		name += " over " + w
	}
	return name
}

// Rules reads every rule of the folder's *.yml, in order.
func Rules(dir string) (list []Rule, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yml"))
	if err == nil && len(paths) == 0 {
		err = errors.New("there are none")
	}
	if err != nil {
		return nil, fmt.Errorf("rules in %s: %w", dir, err)
	}
	for _, path := range paths {
		var file struct {
			Groups []struct {
				Name  string `yaml:"name"`
				Rules []Rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := decode(path, &file); err != nil {
			return nil, err
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				r.File, r.Group = path, g.Name
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// Case is one group of a file for `promtool test rules`.
type Case struct {
	File   string  `yaml:"-"`
	Name   string  `yaml:"name"`
	Checks []Check `yaml:"promql_expr_test"`
}

// Check is what an expression must be at a time, counted from the case's beginning.
type Check struct {
	Expr string   `yaml:"expr"`
	At   string   `yaml:"eval_time"`
	Want []Sample `yaml:"exp_samples"`
}

// Sample is one that a check wants, by its labels as PromQL writes them.
type Sample struct {
	Labels string `yaml:"labels"`
}

// Cases reads every case of the folder's *.yml.
func Cases(dir string) (list []Case, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yml"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		var file struct {
			Tests []Case `yaml:"tests"`
		}
		if err := decode(path, &file); err != nil {
			return nil, err
		}
		for _, c := range file.Tests {
			c.File = path
			list = append(list, c)
		}
	}
	return list, nil
}

func decode(path string, into any) error {
	raw, err := os.ReadFile(path) // #nosec G304 -- a file of the repository, named by a test
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
