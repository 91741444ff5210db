package firewall

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// values are the texts of a sample: the values of its query and of its form.
func (s sample) values() []string {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(s.raw)))
	if err != nil {
		return nil
	}
	raw := r.URL.RawQuery
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		body, _ := io.ReadAll(r.Body)
		raw += "&" + string(body)
	}
	var list []string
	for pair := range strings.SplitSeq(raw, "&") {
		_, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		if value != "" {
			list = append(list, value)
		}
	}
	return list
}

// wordsOfJavaScript are the rules against scripts that texts are not judged by.
var wordsOfJavaScript = []int{941170, 941180, 941210, 941360, 941370, 941390, 941400}

// bareNames are names of elements without attributes, with something between their letters.
var bareNames = map[string]bool{"941160-6": true, "941160-7": true, "941160-13": true, "941160-16": true}

// Of the rule set's own scripts, those alone pass in a text that are words of JavaScript or bare names; JNDI does not.
func TestTheRuleSetsOwnScriptsAreStoppedInTexts(t *testing.T) {
	t.Parallel()
	if raceDetector {
		withoutTheRaceDetector(t)
		return
	}
	e := engine(t, Options{})
	list := slices.DeleteFunc(samplesOf(t, e), func(s sample) bool { return Group(s.rule) != "xss" && s.rule != 944150 })
	strict, text := make([]bool, len(list)), make([]bool, len(list))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range list {
		group.Go(func() error {
			for _, value := range s.values() {
				stops := func(c harmless) bool {
					v, err := e.Inspect(request(c.method, c.uri, c.contentType), []byte(c.body))
					return err == nil && v.Stop
				}
				strict[i] = strict[i] || stops(patched(`{"handle":`+quoted(value)+`}`))
				text[i] = text[i] || stops(free["json_bio"](value))
			}
			return nil
		})
	}
	_ = group.Wait() // none fails
	total, passed, jndis, seen := 0, 0, 0, 0
	for i, s := range list {
		if !strict[i] { // it comes in a header, or as XML
			continue
		}
		total++
		if s.rule == 944150 {
			jndis++
		}
		if text[i] {
			continue
		}
		passed++
		if bareNames[s.name] {
			seen++
		} else if !slices.Contains(wordsOfJavaScript, s.rule) {
			t.Errorf("%s passes in a text", s.name)
		}
	}
	if seen != len(bareNames) || total < 100 || jndis < 5 {
		t.Errorf("of %d samples, %d of JNDI, %d of %d bare names pass", total, jndis, seen, len(bareNames))
	}
	t.Logf("%d of %d samples that are stopped in a handle pass in a text", passed, total)
}
