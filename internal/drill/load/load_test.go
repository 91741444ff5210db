package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// summary is what the tests read of k6's.
type summary struct {
	Metrics map[string]struct {
		Values     map[string]float64           `json:"values"`
		Thresholds map[string]struct{ OK bool } `json:"thresholds"`
	} `json:"metrics"`
}

// A short load on the real program: every call is answered as it should be. How
// long answers take is not judged here: this machine may be busy.
func TestSmokeOnTheRealProgram(t *testing.T) {
	t.Chdir("../../..")
	t.Setenv("LATENCY", "off")
	report := t.TempDir()
	if err := run(t.Context(), options{shapes: []string{"smoke"}, duration: "5s", replicas: 1, people: 20, report: report}); err != nil {
		t.Fatal(err)
	}
	var s summary
	text := readFile(t, filepath.Join(report, "smoke.json"))
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	judged := 0
	for name, m := range s.Metrics {
		for rule, result := range m.Thresholds {
			judged++
			if !result.OK {
				t.Errorf("%s %s is broken", name, rule)
			}
		}
	}
	if judged < 10 || s.Metrics["checks"].Values["passes"] < 50 || s.Metrics["http_req_duration{name:change}"].Values["count"] < 1 {
		t.Errorf("too little was judged: %d limits; %s", judged, text)
	}
	for _, name := range []string{"smoke.txt", "smoke.html"} {
		page := readFile(t, filepath.Join(report, name))
		if !strings.Contains(page, "own profile") || !strings.Contains(page, "p95 ms") || !strings.Contains(page, "all limits kept") || strings.Contains(page, "eyJ") {
			t.Errorf("%s is no report, or has a token in it: %s", name, page)
		}
	}
}

// The limits can be broken: by a program that fails, and by one that answers well and is slow.
func TestLimitsCanBeBroken(t *testing.T) {
	t.Chdir("../../..")
	k6, err := findTool(t.Context(), "k6")
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	if err := os.WriteFile(tokens, []byte(`{"people":["a"],"admin":"b"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		handler     http.HandlerFunc
		env, broken string
	}{
		"failing": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "", "http_req_failed rate"},
		"strict":  {good, "FAIL", "iterations count"},
	} {
		server := httptest.NewServer(c.handler)
		t.Setenv("FAIL", "")
		if c.env != "" {
			t.Setenv(c.env, "on")
		}
		report := t.TempDir()
		err := command(t.Context(), k6, server.URL, tokens, "smoke", options{duration: "1s", report: report}).Run()
		server.Close()
		if text := readFile(t, filepath.Join(report, "smoke.txt")); err == nil || !strings.Contains(text, "limits broken: ") || !strings.Contains(text, c.broken) {
			t.Errorf("%s: %v; %s", name, err, text)
		}
	}
}

// good answers as the program would, as far as the script looks.
func good(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-None-Match") != "" {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("ETag", `"1"`)
	_, _ = w.Write([]byte(`{"handle":"a","location":"b"}`)) // a client that left is no matter here
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
