package promfiles_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/profile-api/profile-api/internal/promfiles"
)

func TestReads(t *testing.T) {
	type list = []promfiles.Matcher
	for _, c := range []struct {
		expr      string
		selectors []promfiles.Selector
		groupings []string
	}{
		{`up`, []promfiles.Selector{{Metric: "up"}}, nil},
		{`1 - sum by (job, le) (rate(a_bucket{job="x", status!~"5..|429", le!="1"}[5m])) / ignoring (le) group_left (who) b{c=~"d|e"} offset 5m`,
			[]promfiles.Selector{
				{Metric: "a_bucket", Matchers: list{{"job", "=", "x"}, {"status", "!~", "5..|429"}, {"le", "!=", "1"}}},
				{Metric: "b", Matchers: list{{"c", "=~", "d|e"}}},
			}, []string{"job", "le", "le", "who"}},
		{`job:x:rate5m > 14.4 * 0.001 and on (job) absent(y)`,
			[]promfiles.Selector{{Metric: "job:x:rate5m"}, {Metric: "y"}}, []string{"job"}},
	} {
		selectors, groupings, err := promfiles.Reads(c.expr)
		slices.Sort(groupings)
		slices.Sort(c.groupings)
		if err != nil || !reflect.DeepEqual(selectors, c.selectors) || !slices.Equal(groupings, c.groupings) {
			t.Errorf("%s reads %v by %v, %v", c.expr, selectors, groupings, err)
		}
	}
	for _, broken := range []string{`sum(`, `a{b=}`, `rate(a[5m)`} {
		if _, _, err := promfiles.Reads(broken); err == nil {
			t.Errorf("%s is taken", broken)
		}
	}
}
