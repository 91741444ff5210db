package firewall

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/corazawaf/coraza/v3/types"
)

// Verdict is what the rules say of one request.
type Verdict struct {
	// Stop tells that it has as many points as stop a request, or broke a rule that
	// stops by itself. In detection-only mode it is to be let through all the same.
	Stop  bool
	Rules []int // numbers of the rules that matched, in order and none twice
}

// Groups are the kinds of rules that Group tells apart: a fixed set.
var Groups = []string{
	"method", "scanner", "protocol", "protocol-attack", "multipart", "lfi", "rfi", "rce", "php", "generic", "xss", "sqli",
	"session-fixation", "java", "other",
}

var groupOf = map[int]string{
	911: "method", 913: "scanner", 920: "protocol", 921: "protocol-attack", 922: "multipart", 930: "lfi", 931: "rfi", 932: "rce",
	933: "php", 934: "generic", 941: "xss", 942: "sqli", 943: "session-fixation", 944: "java",
}

// Group names the kind of a rule, by the Core Rule Set's numbering.
func Group(rule int) string {
	if g, ok := groupOf[rule/1000]; ok {
		return g
	}
	return "other"
}

// The rules by which the Core Rule Set stops a request that has too many points.
// In detection-only mode, that they match is the only sign of it.
const tooManyPoints, tooManyPointsEarly = 949110, 949111

// finding tells of the rules that judge. Those of 901 prepare, those of 949 add up.
func finding(rule int) bool { return rule/1000 != 901 && rule/1000 != 949 }

// stopsAlone tells of the rules of engine.conf: one of them is enough.
func stopsAlone(rule int) bool { return rule/1000 == 200 }

// Inspect judges one request with its whole body, which may have at most
// Options.MaxBodyBytes. The request's own Body is not read.
func (e *Engine) Inspect(r *http.Request, body []byte) (v Verdict, err error) {
	defer func() {
		if recover() != nil { // its text may quote the request
			v, err = Verdict{}, errors.New("inspect a request: the engine panicked")
		}
	}()
	tx := e.waf.NewTransaction()
	defer func() {
		if closed := tx.Close(); err == nil && closed != nil {
			err = fmt.Errorf("end the inspection: %w", closed)
		}
	}()
	stopped, err := process(tx, r, body)
	if err != nil {
		return Verdict{}, fmt.Errorf("inspect a request: %w", err)
	}
	v.Stop = stopped != nil
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		if m.Message() == "" { // a rule that only sets a variable
			continue
		}
		v.Stop = v.Stop || id == tooManyPoints || id == tooManyPointsEarly || stopsAlone(id)
		if finding(id) {
			v.Rules = append(v.Rules, id)
		}
	}
	slices.Sort(v.Rules)
	v.Rules = slices.Compact(v.Rules)
	return v, nil
}

func process(tx types.Transaction, r *http.Request, body []byte) (*types.Interruption, error) {
	client, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client, port = r.RemoteAddr, ""
	}
	number, _ := strconv.Atoi(port) // 0 when there is none
	tx.ProcessConnection(client, number, "", 0)
	// As it came over the wire.
	uri := r.RequestURI
	if uri == "" {
		uri = r.URL.RequestURI()
	}
	tx.ProcessURI(uri, r.Method, r.Proto)
	addHeaders(tx, r)
	if it := tx.ProcessRequestHeaders(); it != nil {
		return it, nil
	}
	if len(body) > 0 && isJSON(r.Header.Get("Content-Type")) {
		addJSON(tx, body)
	} else if it, _, err := tx.WriteRequestBody(body); it != nil || err != nil {
		return it, err
	}
	return tx.ProcessRequestBody()
}

// addHeaders gives back what net/http takes out of the headers.
func addHeaders(tx types.Transaction, r *http.Request) {
	for name, values := range r.Header {
		for _, value := range values {
			tx.AddRequestHeader(name, value)
		}
	}
	if r.Host != "" {
		tx.AddRequestHeader("Host", r.Host)
		tx.SetServerName(r.Host)
	}
	for _, coding := range r.TransferEncoding {
		tx.AddRequestHeader("Transfer-Encoding", coding)
	}
	if r.ContentLength > 0 && r.Header.Get("Content-Length") == "" {
		tx.AddRequestHeader("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
}
