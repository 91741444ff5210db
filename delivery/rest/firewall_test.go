package rest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/profile-api/profile-api/delivery/firewall"
)

// Each request of the scenarios goes past the firewall too (deploy/waf), as its
// proxy would ask it, and must not be stopped: but for those of these tests, by
// these rules. They are what a firewall is for; the API refuses most of them itself.
var stoppedByTheFirewall = map[string]struct {
	why   string
	rules []int
}{
	"TestAccept":                              {"an Accept that is none (;;;)", []int{920600}},
	"TestAdminReadsAndCorrects":               {"NUL, and a path out of the id; bodies of GET without a media type", []int{920170, 920180, 920270, 920340, 920640, 930100, 930110}},
	"TestAdminRoutesAreForAdmins":             {"bodies of GET and DELETE", []int{920170, 920340, 920640}},
	"TestBatch":                               {"SQL among the handles", []int{942100}},
	"TestBodiesThatAreNoRequest":              {"NUL in JSON", []int{920270}},
	"TestBodiesThatNobodyReadsHaveALimit":     {"a body of GET without a media type", []int{920640}},
	"TestBodySize":                            {"bodies of GET and of nothing without a media type", []int{920170, 920340, 920640}},
	"TestFaultsAreBounded":                    {"thousands of unknown members", []int{200007}},
	"TestFieldsThatCannotBeWritten":           {"__proto__", []int{934130}},
	"TestHandleAvailability":                  nul,
	"TestHosts":                               {"no Host", []int{920280}},
	"TestListsRefuseWhatIsOutOfBounds":        nul,
	"TestMediaTypes":                          {"media types and codings that the API refuses, or that are none", []int{920340, 920420, 920450, 920470, 920620, 920640}},
	"TestOuterLayersRefuseFirst":              {"bodies without a media type, or of text", []int{920340, 920420, 920640}},
	"TestPatchedFieldsKeepTheirRules":         {"NUL, javascript: and a path to passwd", []int{920270, 930100, 930110, 930120, 932160, 941170, 941210, 941390}},
	"TestPathsAndMethodsThatAreNotThere":      {"PUT, TRACE, BREW", []int{911100}},
	"TestPreferencesThatAreNone":              {"a body of text", []int{920420}},
	"TestPublicViewShowsTheAllowedFieldsOnly": nul,
	"TestRequestIDs":                          {"line breaks and a script in X-Request-ID", []int{921140, 941110}},
	"TestSuspensionsThatAreNone":              {"bodies of text", []int{920420}},
	"TestSweepOfMethods":                      {"PUT", []int{911100}},
	"TestSweepOfRefusals":                     {"bodies of text, compressed, or without a media type", []int{920340, 920420, 920450}},
	"TestTraceContext":                        {"a line break in traceparent", []int{921140}},
}

var (
	nul = struct {
		why   string
		rules []int
	}{"NUL in the URL", []int{920270}}
)

// The generator of hostile requests is left out: it makes attacks on purpose.
const hostileGenerator = "TestGeneratedRequests"

var theFirewall = sync.OnceValue(func() *firewallWatch {
	e, err := firewall.New(firewall.Options{ParanoiaLevel: 1, AnomalyThreshold: 5, MaxBodyBytes: firewallBody})
	if err != nil {
		panic(err)
	}
	return &firewallWatch{engine: e, seen: map[string]map[int]bool{}}
})

const firewallBody = 65536 // larger ones are refused before they are judged

// firewallWatch remembers what was judged, since most requests come many times
// over, and what was stopped.
type firewallWatch struct {
	engine *firewall.Engine
	judged sync.Map // of a request without what is random in it

	mu   sync.Mutex
	seen map[string]map[int]bool // rules by test
	n    int                     // judged
}

// random is what differs between two runs of one request: ids, handles, cursors.
var random = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|h_[a-z0-9]{16}|cursor=[A-Za-z0-9_%-]+|user_[A-Z0-9]{26}`)

// passing is a request on its way past the firewall.
type passing struct {
	request *http.Request
	body    *bytes.Buffer
}

// pastTheFirewall notes the request before the API has it.
func pastTheFirewall(r *http.Request, body any) passing {
	p := passing{r.Clone(r.Context()), &bytes.Buffer{}}
	switch b := body.(type) {
	case string:
		p.body.WriteString(b)
	case io.Reader: // as much as the API reads of it
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, p.body), r.Body}
	}
	return p
}

// check fails when the firewall would stop the request and that is not listed.
func (p passing) check(t *testing.T) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	body := p.body.Bytes()
	if p.request.URL.Path == webhookPath {
		body = nil // the proxy does not give it those
	}
	// Routes that the tests themselves add are none of the API's.
	if test == hostileGenerator || len(body) > firewallBody || strings.HasPrefix(p.request.URL.Path, "/v1/test/") {
		return
	}
	f := theFirewall()
	if _, done := f.judged.LoadOrStore(test+" "+p.key(), true); done { // by test: which one is the first to ask changes from run to run
		return
	}
	v, err := f.engine.Inspect(p.request, body)
	must(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if !v.Stop {
		return
	}
	if f.seen[test] == nil {
		f.seen[test] = map[int]bool{}
	}
	for _, rule := range v.Rules {
		f.seen[test][rule] = true
		if !slices.Contains(stoppedByTheFirewall[test].rules, rule) {
			t.Errorf("%s %s %.200s: the firewall would stop it by %v", p.request.Method, p.request.RequestURI, body, v.Rules)
		}
	}
}

func (p passing) key() string {
	var b strings.Builder
	fmt.Fprint(&b, p.request.Method, " ", p.request.RequestURI, " ", p.request.Host, "\n")
	for _, name := range slices.Sorted(maps.Keys(p.request.Header)) {
		if name != "Authorization" && name != "Svix-Signature" && name != "Idempotency-Key" {
			fmt.Fprint(&b, name, p.request.Header[name], "\n")
		}
	}
	b.Write(p.body.Bytes())
	return random.ReplaceAllString(b.String(), "*")
}

// firewallListSeen fails a full run in which a listed rule stopped nothing: what
// is listed and not there would hide the next false alarm.
func firewallListSeen() error {
	f := theFirewall()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n < 1000 {
		return fmt.Errorf("the firewall judged %d different requests only", f.n)
	}
	var list []string
	for test, listed := range stoppedByTheFirewall {
		for _, rule := range listed.rules {
			if !f.seen[test][rule] {
				list = append(list, fmt.Sprintf("%s %d", test, rule))
			}
		}
	}
	if len(list) > 0 {
		slices.Sort(list)
		return fmt.Errorf("listed as stopped by the firewall and never seen: %s", strings.Join(list, ", "))
	}
	return nil
}
