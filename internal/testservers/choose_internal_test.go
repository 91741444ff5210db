package testservers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// fakeWay notes that it was tried.
func fakeWay(name string, err error, tried *[]string) way {
	return way{name, func(context.Context) (server, error) {
		*tried = append(*tried, name)
		return server{url: name}, err
	}}
}

func TestOrderOfTheWays(t *testing.T) {
	absent, broken := notHere(errors.New("absent")), errors.New("broken")
	tests := map[string]struct {
		forced                    string
		env, containers, programs error
		tried                     string // in order
		want                      string // the way that was chosen
		says                      []string
	}{
		"the variable comes first":             {tried: "env", want: "env"},
		"then containers":                      {env: absent, tried: "env containers", want: "containers"},
		"then programs":                        {env: absent, containers: absent, tried: "env containers programs", want: "programs"},
		"a broken server is not passed over":   {env: broken, tried: "env", says: []string{"PostgreSQL from env: broken"}},
		"broken programs are an error":         {env: absent, containers: absent, programs: broken, tried: "env containers programs", says: []string{"broken"}},
		"none at all":                          {env: absent, containers: absent, programs: absent, tried: "env containers programs", says: []string{"found no PostgreSQL", "env: not available: absent", "containers:", "programs:", "To get one"}},
		"programs forced":                      {forced: "programs", tried: "programs", want: "programs"},
		"containers forced and absent":         {forced: "containers", containers: absent, tried: "containers", says: []string{"containers: not available: absent", "To get one"}},
		"a forced way that is spelled wrongly": {forced: "docker", says: []string{`"docker"`, "env, containers and programs"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var tried []string
			ways := []way{
				fakeWay("env", test.env, &tried), fakeWay("containers", test.containers, &tried), fakeWay("programs", test.programs, &tried),
			}
			got, err := choose(t.Context(), "PostgreSQL", test.forced, "To get one: …", ways)
			if want := strings.Fields(test.tried); !slices.Equal(tried, want) {
				t.Errorf("tried %v, want %v", tried, want)
			}
			if got.url != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got.url, err, test.want)
			}
			for _, want := range test.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
		})
	}
}
