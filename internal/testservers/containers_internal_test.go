package testservers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeEngine does what its fields say and notes what it was asked.
type fakeEngine struct {
	silent                        bool // never answers
	answer, inspect, fetch, start error
	has                           bool
	addresses                     []string
	asked                         []string
}

func (f *fakeEngine) note(what string) { f.asked = append(f.asked, what) }

func (f *fakeEngine) answers(ctx context.Context) error {
	f.note("answers")
	if f.silent {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.answer
}

func (f *fakeEngine) hasImage(context.Context, string) (bool, error) {
	f.note("has")
	return f.has, f.inspect
}

func (f *fakeEngine) pull(context.Context, string) error {
	f.note("pull")
	return f.fetch
}

func (f *fakeEngine) run(context.Context, container) ([]string, func(context.Context) error, error) {
	f.note("run")
	return f.addresses, func(context.Context) error { f.note("remove"); return nil }, f.start
}

var errRefused = errors.New("refused")

func TestContainersAreChosenOnlyWhenEngineAndImageAreThere(t *testing.T) {
	good := []string{"good:1"}
	tests := map[string]struct {
		engine fakeEngine
		asked  string
		url    string // empty: go on to the next way
		says   string
	}{
		"no engine":                       {fakeEngine{answer: errRefused}, "answers", "", "no Docker engine answers"},
		"an engine that hangs":            {fakeEngine{silent: true}, "answers", "", "no Docker engine answers"},
		"the image is there":              {fakeEngine{has: true, addresses: good}, "answers has run", "url://good:1", ""},
		"it can be pulled":                {fakeEngine{addresses: good}, "answers has pull run", "url://good:1", ""},
		"it cannot be pulled":             {fakeEngine{fetch: errRefused}, "answers has pull", "", "refused"},
		"images cannot be looked up":      {fakeEngine{inspect: errRefused}, "answers has", "", "refused"},
		"the container does not start":    {fakeEngine{has: true, start: errRefused}, "answers has run", "", "refused"},
		"it has no address":               {fakeEngine{has: true}, "answers has run remove", "", "no address"},
		"the right one of many addresses": {fakeEngine{has: true, addresses: []string{"bad:1", "good:1", "mute:1"}}, "answers has run", "url://good:1", ""},
		"it never answers":                {fakeEngine{has: true, addresses: []string{"bad:1", "mute:1"}}, "answers has run remove", "", "refused"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if test.url == "" {
				// The limits are far longer than a test should take; an earlier end of the context has the same effect.
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				ctx = short
			}
			closers.Lock()
			before := len(closers.run)
			closers.Unlock()
			got, err := fromContainer(ctx, &test.engine, fakeContainer())
			if got.url != test.url {
				t.Errorf("got %q, want %q", got.url, test.url)
			}
			if test.url == "" && (!errors.Is(err, errNotHere) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("got %v, want errNotHere with %q", err, test.says)
			}
			if want := strings.Fields(test.asked); !slices.Equal(test.engine.asked, want) {
				t.Errorf("asked %v, want %v", test.engine.asked, want)
			}
			closers.Lock()
			defer closers.Unlock()
			if registered := len(closers.run) > before; registered != (test.url != "") {
				t.Errorf("removal at the end is registered: %v", registered)
			}
		})
	}
}

func fakeContainer() container {
	return container{
		image: "image:tag",
		url:   func(address string) string { return "url://" + address },
		ping: func(ctx context.Context, url string) error {
			switch url {
			case "url://good:1":
				return nil
			case "url://mute:1":
				<-ctx.Done()
				return ctx.Err()
			}
			return errRefused
		},
	}
}
