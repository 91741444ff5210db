package promfiles

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Dashboard is what tests look at in a dashboard of Grafana's.
type Dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Panels []Panel `json:"panels"`
}

// Variable is one that the viewer chooses.
type Variable struct {
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Query      any        `json:"query"`
	Definition string     `json:"definition"`
	Datasource Datasource `json:"datasource"`
}

// Datasource names where an answer comes from.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Panel is a row or a picture.
type Panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  Datasource `json:"datasource"`
	GridPos     struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Targets []struct {
		RefID      string     `json:"refId"`
		Expr       string     `json:"expr"`
		Legend     string     `json:"legendFormat"`
		Datasource Datasource `json:"datasource"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

// ReadDashboard reads one.
func ReadDashboard(path string) (*Dashboard, error) {
	raw, err := os.ReadFile(path) // #nosec G304 -- a file of the repository, named by a test
	if err != nil {
		return nil, err
	}
	var d Dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &d, nil
}

// Query is an expression with the place that it stands in.
type Query struct{ Where, Expr string }

// Queries lists what the panels ask, with Grafana's own interval filled in.
func (d *Dashboard) Queries() (list []Query) {
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			list = append(list, Query{p.Title, strings.ReplaceAll(t.Expr, "$__rate_interval", "5m")})
		}
	}
	return list
}
