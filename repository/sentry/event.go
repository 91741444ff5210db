package sentry

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/getsentry/sentry-go"

	"github.com/profile-api/profile-api/domain"
)

const (
	module        = "github.com/profile-api/profile-api"
	groupedFrames = 3 // of our own, from the place of a panic outwards, tell one panic from another
)

// tags are the circumstances that an event shows, and no others: names from our
// tables, numbers, and ids that lead to the log. trace_id and span_id are shown as
// the event's trace as well.
var tags = []string{"attempt", "event_id", "job_id", "kind", "method", "request_id", "route", "sink", "status", "trace_id"}

// event describes a fault. Of the error it holds types and codes alone; its text
// is in the log, under the same request id.
func (r *Reporter) event(f domain.Fault, fields map[string]string) *sentry.Event {
	place := placeOf(fields)
	e := &sentry.Event{
		EventID: newEventID(), Timestamp: r.opts.Clock.Now().UTC(), Platform: "go", Level: sentry.LevelError, Logger: "profile-api",
		Release: r.opts.Release, Environment: r.opts.Environment, Transaction: place,
		Sdk:  sentry.SdkInfo{Name: "sentry.go", Version: sentry.SDKVersion},
		Tags: map[string]string{}, Fingerprint: append([]string{place, f.Type()}, f.Details()...),
	}
	for _, name := range tags {
		if v := fields[name]; v != "" {
			e.Tags[name] = v
		}
	}
	if fields["trace_id"] != "" && fields["span_id"] != "" {
		e.Contexts = map[string]sentry.Context{"trace": {"trace_id": fields["trace_id"], "span_id": fields["span_id"]}}
	}
	exception := sentry.Exception{Type: f.Type(), Value: strings.Join(f.Details(), ", "), Mechanism: &sentry.Mechanism{Type: "generic"}}
	if p, ok := f.Panic(); ok {
		exception.Type, exception.Value = "panic", p.Value()
		exception.Mechanism.SetUnhandled()
		if frames := p.Frames(); len(frames) > 0 {
			exception.Stacktrace = stacktrace(frames)
			e.Fingerprint = panicFingerprint(p.Value(), exception.Stacktrace)
		}
	}
	e.Exception = []sentry.Exception{exception}
	return e
}

// placeOf is where it happened: the route, the kind of job, the sink of events, or
// failing these what the log said, which is a constant of ours.
func placeOf(fields map[string]string) string {
	switch {
	case fields["route"] != "":
		return strings.TrimSpace(fields["method"] + " " + fields["route"])
	case fields["kind"] != "":
		return "job " + fields["kind"]
	case fields["sink"] != "":
		return "events to " + fields["sink"]
	}
	return cmp.Or(fields["message"], "unknown")
}

// anyNumber is what one fault has another of each time, such as an index out of range.
var anyNumber = regexp.MustCompile(`-?\b[0-9]+\b`)

// panicFingerprint is of what was thrown and of places in the code without their
// lines: one fault stays one issue whichever route it is met on, and when lines
// move in the next release.
func panicFingerprint(value string, s *sentry.Stacktrace) []string {
	list := []string{"panic", anyNumber.ReplaceAllString(value, "#")}
	kind := len(list)
	for _, f := range slices.Backward(s.Frames) {
		if f.InApp && len(list) < kind+groupedFrames {
			list = append(list, f.Module+"."+f.Function)
		}
	}
	if len(list) == kind { // none of ours: where it was thrown
		top := s.Frames[len(s.Frames)-1]
		list = append(list, top.Module+"."+top.Function)
	}
	return list
}

// limitKey tells events apart that are counted apart: two panics of one function
// on different lines are one issue, and yet one must not silence the other.
func limitKey(e *sentry.Event) []string {
	s := e.Exception[0].Stacktrace
	if s == nil {
		return e.Fingerprint
	}
	line := s.Frames[len(s.Frames)-1].Lineno
	for _, f := range slices.Backward(s.Frames) {
		if f.InApp {
			line = f.Lineno
			break
		}
	}
	return append(slices.Clip(e.Fingerprint), strconv.Itoa(line))
}

// stacktrace has the outermost call first, as Sentry wants it. A file is named by
// its package: the path may be one of the machine that built the program.
func stacktrace(frames []runtime.Frame) *sentry.Stacktrace {
	s := &sentry.Stacktrace{}
	for _, f := range slices.Backward(frames) {
		pkg, function := splitFunction(f.Function)
		s.Frames = append(s.Frames, sentry.Frame{
			Function: function, Module: pkg, Filename: pkg + "/" + path.Base(f.File), Lineno: f.Line,
			InApp: pkg == "main" || pkg == module || strings.HasPrefix(pkg, module+"/"),
		})
	}
	return s
}

// splitFunction parts a package's import path from the function's name.
func splitFunction(name string) (pkg, function string) {
	start := strings.LastIndexByte(name, '/') + 1
	dot := strings.IndexByte(name[start:], '.')
	if dot < 0 {
		return "", name
	}
	return name[:start+dot], name[start+dot+1:]
}

func noteHeldBack(e *sentry.Event, n int) {
	if n > 0 {
		e.Tags["held_back"] = strconv.Itoa(n)
	}
}

// newEventID has the form that Sentry wants, a UUID v4 without dashes.
func newEventID() sentry.EventID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return sentry.EventID(hex.EncodeToString(b[:]))
}
