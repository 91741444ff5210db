package promfiles

import (
	"fmt"

	"github.com/VictoriaMetrics/metricsql"
)

// Selector is a metric that an expression reads.
type Selector struct {
	Metric   string
	Matchers []Matcher
}

// Matcher is a condition on a label: Op is =, !=, =~ or !~.
type Matcher struct{ Label, Op, Value string }

// Reads are the metrics that an expression reads and the labels that it groups or
// joins by. The parser knows more than Prometheus does, so that a valid
// expression is not yet PromQL: promtool has to say that.
func Reads(expr string) (selectors []Selector, groupings []string, err error) {
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", expr, err)
	}
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			for _, filters := range e.LabelFilterss {
				selectors = append(selectors, selector(filters))
			}
		case *metricsql.AggrFuncExpr:
			groupings = append(groupings, e.Modifier.Args...)
		case *metricsql.BinaryOpExpr:
			groupings = append(groupings, e.GroupModifier.Args...)
			groupings = append(groupings, e.JoinModifier.Args...)
		}
	})
	return selectors, groupings, nil
}

func selector(filters []metricsql.LabelFilter) (s Selector) {
	for _, f := range filters {
		if f.Label == "__name__" && !f.IsNegative && !f.IsRegexp {
			s.Metric = f.Value
			continue
		}
		op := "="
		switch {
		case f.IsNegative && f.IsRegexp:
			op = "!~"
		case f.IsNegative:
			op = "!="
		case f.IsRegexp:
			op = "=~"
		}
		s.Matchers = append(s.Matchers, Matcher{f.Label, op, f.Value})
	}
	return s
}
