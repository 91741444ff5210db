package main_test

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client keeps its connections, takes no proxy and follows nothing.
var client = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 128, IdleConnTimeout: 10 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// get asks the API; a token is sent when there is one.
func (p *program) get(t *testing.T, path, token string, headers ...string) reply {
	t.Helper()
	return p.call(t, http.MethodGet, path, token, "", headers...)
}

// patch sends a merge patch.
func (p *program) patch(t *testing.T, path, token, body string) reply {
	t.Helper()
	return p.call(t, http.MethodPatch, path, token, body, "Content-Type", "application/merge-patch+json")
}

func (p *program) call(t *testing.T, method, path, token, body string, headers ...string) reply {
	t.Helper()
	r, err := p.try(method, path, token, body, headers...)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return r
}

// try is call for goroutines and for requests that may fail.
func (p *program) try(method, path, token, body string, headers ...string) (reply, error) {
	req, err := http.NewRequest(method, "http://"+p.api+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return send(req)
}

func send(req *http.Request) (reply, error) {
	res, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, body}, err
}

// problem is the document of contract §4.
type problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`
	Instance  *string `json:"instance"` // empty for a request target without a path, such as *
	Code      string  `json:"code"`
	RequestID string  `json:"request_id"`
	Errors    []struct {
		Pointer string `json:"pointer"`
		Code    string `json:"code"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

// fault says what is wrong with a reply as a problem document; empty when nothing is.
func (r reply) fault() string {
	var p problem
	switch err := json.Unmarshal(r.body, &p); {
	case r.header.Get("Content-Type") != "application/problem+json":
		return "its type is " + strconv.Quote(r.header.Get("Content-Type"))
	case err != nil:
		return "it does not parse: " + err.Error()
	case p.Status != r.status:
		return "its status member is " + strconv.Itoa(p.Status)
	case p.Code == "" || !strings.HasSuffix(p.Type, "/problems/"+p.Code):
		return "its type " + p.Type + " does not end in its code " + p.Code
	case p.Title == "" || p.Detail == "":
		return "it has no title or no detail"
	case p.Instance == nil:
		return "it has no instance"
	case p.RequestID == "" || p.RequestID != r.header.Get("X-Request-ID"):
		return "its request id is " + strconv.Quote(p.RequestID) + ", the header's " + strconv.Quote(r.header.Get("X-Request-ID"))
	case (r.status == 429 || r.status == 503) && r.header.Get("Retry-After") == "":
		return "it has no Retry-After"
	case r.status == 401 && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer"):
		return "it has no WWW-Authenticate"
	case r.status == 405 && r.header.Get("Allow") == "":
		return "it has no Allow"
	}
	return ""
}

// wantProblem checks that the reply is this very problem.
func (r reply) wantProblem(t *testing.T, status int, code string) {
	t.Helper()
	if fault := r.fault(); r.status != status || fault != "" {
		t.Errorf("got %d, want %d %s; %s\n%s", r.status, status, code, fault, r.body)
		return
	}
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil || p.Code != code {
		t.Errorf("got the code %q, want %q (%v)", p.Code, code, err)
	}
}

// field reads one member of a JSON object.
func (r reply) field(t *testing.T, name string) any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Errorf("the body is no JSON object: %s", r.body)
	}
	return m[name]
}

// samples are the lines of /metrics: name with labels → value.
type samples map[string]float64

// metrics asks the operators' listener.
func (p *program) metrics(t *testing.T) samples {
	t.Helper()
	return parseMetrics(string(p.rawMetrics(t)))
}

func (p *program) rawMetrics(t *testing.T) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+p.ops+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r, err := send(req)
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("metrics: %d, %v", r.status, err)
	}
	return r.body
}

func parseMetrics(all string) samples {
	s := samples{}
	for line := range strings.Lines(all) {
		at := strings.LastIndexByte(line, ' ')
		if line[0] == '#' || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
			s[line[:at]] = v
		}
	}
	return s
}

// value is one series' value; 0 when there is none.
func (s samples) value(series string) float64 { return s[series] }

// sum adds the series whose name with labels holds all of the parts.
func (s samples) sum(parts ...string) float64 {
	total := 0.0
	for series, v := range s {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(series, part) }) {
			total += v
		}
	}
	return total
}

// newUserID is a Clerk id that no other test uses.
func newUserID() string { return "user_2" + rand.Text() }
