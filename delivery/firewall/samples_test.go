package firewall

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/profile-api/profile-api/deploy/waf"
)

// sample is one request of the rule set's own regression tests (go-ftw's format,
// https://github.com/coreruleset/go-ftw), with the rules that it must trigger.
type sample struct {
	name  string // rule and number, such as 942100-1
	rule  int
	wants []int
	raw   []byte // as it goes over the wire
}

// ftwFile is what is read of a test file.
type ftwFile struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		TestID int `yaml:"test_id"`
		Stages []struct {
			Input  ftwInput `yaml:"input"`
			Output struct {
				Log struct {
					ExpectIDs []int `yaml:"expect_ids"`
				} `yaml:"log"`
			} `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

type ftwInput struct {
	Method         string    `yaml:"method"`
	URI            string    `yaml:"uri"`
	Version        *string   `yaml:"version"`
	Headers        yaml.Node `yaml:"headers"` // a mapping whose order counts
	Data           string    `yaml:"data"`
	EncodedRequest string    `yaml:"encoded_request"`
	Autocomplete   *bool     `yaml:"autocomplete_headers"`
}

// wire writes the request as go-ftw does: it completes Content-Type and
// Content-Length of a body unless told otherwise, and encodes form data that is not.
func (in ftwInput) wire(t *testing.T) []byte {
	t.Helper()
	if in.EncodedRequest != "" {
		raw, err := base64.StdEncoding.DecodeString(in.EncodedRequest)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	version := "HTTP/1.1"
	if in.Version != nil {
		version = *in.Version
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", cmp.Or(in.Method, "GET"), cmp.Or(in.URI, "/"), version)
	has := map[string]string{}
	for i := 0; i+1 < len(in.Headers.Content); i += 2 {
		name, value := in.Headers.Content[i].Value, in.Headers.Content[i+1].Value
		has[strings.ToLower(name)] = value
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	body := in.Data
	if in.Autocomplete == nil || *in.Autocomplete {
		if _, ok := has["connection"]; !ok {
			b.WriteString("Connection: close\r\n")
		}
		if body != "" {
			if _, ok := has["content-type"]; !ok {
				has["content-type"] = "application/x-www-form-urlencoded"
				b.WriteString("Content-Type: application/x-www-form-urlencoded\r\n")
			}
			if strings.Contains(has["content-type"], "application/x-www-form-urlencoded") && needsEncoding(body) {
				body = encodeForm(body)
			}
			if _, ok := has["content-length"]; !ok && has["transfer-encoding"] == "" {
				fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
			}
		}
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// needsEncoding tells of form data that has no escapes yet.
func needsEncoding(body string) bool {
	plain, err := url.QueryUnescape(body)
	return err != nil || plain == body
}

func encodeForm(body string) string {
	var pairs []string
	for pair := range strings.SplitSeq(body, "&") {
		name, value, has := strings.Cut(pair, "=")
		if has {
			pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value))
		} else {
			pairs = append(pairs, url.QueryEscape(name))
		}
	}
	return strings.Join(pairs, "&")
}

// samplesOf reads the samples that must trigger rules of the engine's level.
func samplesOf(t *testing.T, e *Engine) []sample {
	t.Helper()
	var list []sample
	err := fs.WalkDir(tests.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yaml" || !strings.HasPrefix(name, "REQUEST-") {
			return err
		}
		text, err := fs.ReadFile(tests.FS, name)
		if err != nil {
			return err
		}
		var file ftwFile
		if err := yaml.Unmarshal(text, &file); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rule := file.RuleID
		if rule == 0 {
			rule, _ = strconv.Atoi(strings.TrimSuffix(path.Base(name), ".yaml"))
		}
		for _, test := range file.Tests {
			for _, stage := range test.Stages {
				wants := stage.Output.Log.ExpectIDs
				above := func(rule int) bool { return e.levels[rule] > e.paranoia }
				if len(wants) > 0 && !slices.ContainsFunc(wants, above) {
					list = append(list, sample{fmt.Sprintf("%d-%d", rule, test.TestID), rule, wants, stage.Input.wire(t)})
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// notTriggered are the samples whose rule does not match here, each with the
// reason. Every other one must trigger its rule.
var notTriggered = map[string]string{
	"911100-6": "DELETE is a method of this API",
	"920250-1": noUTF8Rule, "920250-2": noUTF8Rule, "920250-3": noUTF8Rule, "920250-4": noUTF8Rule,
	"920290-4": "net/http makes no difference between an empty Host and none: rule 920280 matches instead",
	"920350-1": addressAsHost, "920350-3": addressAsHost, "920350-4": addressAsHost, "920350-5": addressAsHost, "920350-6": addressAsHost,
	"920360-1": noLengthRule, "920370-1": noLengthRule, "920380-1": noLengthRule, "920390-1": noLengthRule, "920400-1": noLengthRule, "920410-1": noLengthRule,
	"920430-5": "net/http refuses a request line without a version",
}

const (
	noUTF8Rule    = "the check of UTF-8 is optional; the API itself refuses what is not UTF-8"
	noLengthRule  = "lengths and numbers of arguments are optional rules; the size of body and headers and SecArgumentsLimit bound them"
	addressAsHost = "excluded, see after.conf: ALLOWED_HOSTS decides on hosts"
)

// typeNotAllowed is the rule about media types.
const typeNotAllowed = 920420

// weak are the families with rules that alone do not make up the points that
// stop a request: oddities of the protocol. In all others every sample is stopped.
var weak = map[string]bool{"protocol": true, "method": true}

// Each of the rule set's own attacks at this paranoia level triggers its rule, and
// in the families of attacks is stopped.
func TestTheRuleSetsOwnAttacksAreStopped(t *testing.T) {
	t.Parallel()
	if raceDetector {
		withoutTheRaceDetector(t)
		return
	}
	whole := engine(t, Options{})
	// Most samples are forms, which this API refuses for their type alone. So they
	// are sent to a firewall that takes forms: it is the attack that must stop them.
	before, err := fs.ReadFile(waf.Files, waf.Before)
	if err != nil {
		t.Fatal(err)
	}
	taking := strings.Replace(string(before), "|application/json|", "|application/json| |application/x-www-form-urlencoded| |multipart/form-data| |text/xml| |application/xml|", 1)
	e := engine(t, Options{Overrides: fstest.MapFS{waf.Before: {Data: []byte(taking)}}})
	list := samplesOf(t, e)
	results := make([]string, len(list)) // what is wrong
	stopped := make([]bool, len(list))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range list {
		group.Go(func() error {
			if s.rule == typeNotAllowed {
				results[i], stopped[i] = s.try(whole)
			} else {
				results[i], stopped[i] = s.try(e)
			}
			return nil
		})
	}
	_ = group.Wait() // none fails
	total, stops, found := map[string]int{}, map[string]int{}, 0
	for i, s := range list {
		family := Group(s.rule)
		total[family]++
		if stopped[i] {
			stops[family]++
		} else if !weak[family] {
			t.Errorf("%s is not stopped", s.name)
		}
		_, excepted := notTriggered[s.name]
		switch {
		case excepted && results[i] == "":
			t.Errorf("%s triggers its rule, and is listed as one that does not", s.name)
		case excepted:
			found++
		case results[i] != "":
			t.Errorf("%s: %s", s.name, results[i])
		}
	}
	if found != len(notTriggered) {
		t.Errorf("%d of %d exceptions were seen", found, len(notTriggered))
	}
	for _, family := range []string{"sqli", "xss", "rce", "lfi", "rfi", "php", "generic", "java", "protocol", "protocol-attack", "multipart", "session-fixation", "scanner"} {
		if total[family] < 5 {
			t.Errorf("only %d samples of %s", total[family], family)
		}
		t.Logf("%s: %d of %d stopped", family, stops[family], total[family])
	}
	t.Logf("%d samples, %d exceptions", len(list), len(notTriggered))
}

// withoutTheRaceDetector runs the test in a program of its own. The detector makes
// regular expressions twenty times as slow, and has little to find in them;
// TestVerdictsDoNotMix is there for it.
func withoutTheRaceDetector(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "^"+t.Name()+"$", ".").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
}

// try gives what is wrong with the verdict, and whether the sample was stopped.
func (s sample) try(e *Engine) (string, bool) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(s.raw)))
	if err != nil {
		return "net/http refuses it: " + err.Error(), true // with 400
	}
	r.RemoteAddr = "192.0.2.1:1234"
	body, _ := io.ReadAll(r.Body) // what there is of it: some lie about the length
	v, err := e.Inspect(r, body)
	if err != nil {
		return err.Error(), false
	}
	for _, rule := range s.wants {
		if rule == tooManyPoints && v.Stop {
			continue
		}
		if !slices.Contains(v.Rules, rule) {
			return fmt.Sprintf("wants %d, got %v", rule, v.Rules), v.Stop
		}
	}
	return "", v.Stop
}
