package rest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/profile-api/profile-api/docs"
	"github.com/profile-api/profile-api/domain"
)

func TestTheDocumentIsValid(t *testing.T) {
	must(t, theDocument().spec.Validate(t.Context()))
	if strings.Contains(string(docs.OpenAPI), "default:\n") {
		t.Error("a default response would let any status pass")
	}
}

// A route without a description, or the other way round.
func TestTheDocumentAndTheRoutesNameTheSameOperations(t *testing.T) {
	d := theDocument()
	documented := map[string]bool{}
	for _, o := range d.operations {
		documented[o.String()] = true
		if !d.routed[o.String()] {
			t.Errorf("%s is in the document, but no route", o)
		}
	}
	for route := range d.routed {
		if !documented[route] {
			t.Errorf("%s is a route, but not in the document", route)
		}
	}
}

func TestEveryProblemCodeIsDocumented(t *testing.T) {
	d := theDocument()
	var listed, shown []string
	for _, code := range d.spec.Components.Schemas["ProblemCode"].Value.Enum {
		listed = append(listed, code.(string))
	}
	for _, res := range d.spec.Components.Responses {
		for name := range res.Value.Content["application/problem+json"].Examples {
			shown = append(shown, name)
		}
	}
	if len(listed) != len(catalogue) {
		t.Errorf("%d codes in the document, %d in the catalogue", len(listed), len(catalogue))
	}
	for _, code := range Codes() {
		if !slices.Contains(listed, string(code)) || !slices.Contains(shown, string(code)) {
			t.Errorf("%s is not in the document, or no answer shows it", code)
		}
	}
}

func TestEveryAuditActionIsDocumented(t *testing.T) {
	listed := theDocument().spec.Components.Schemas["AuditAction"].Value.Enum
	if len(listed) != len(domain.AuditActions()) {
		t.Errorf("%v in the document", listed)
	}
	for _, action := range domain.AuditActions() {
		if !slices.Contains(listed, any(string(action))) {
			t.Errorf("%s is not in the document", action)
		}
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	w := newWorld(t)
	asYAML := w.do(t, "GET", "/openapi.yaml", nil).want(t, 200)
	if asYAML.body != string(docs.OpenAPI) || asYAML.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("YAML: %s, %.80s", asYAML.header.Get("Content-Type"), asYAML.body)
	}
	asJSON := w.do(t, "GET", "/openapi.json", nil).want(t, 200)
	var fromYAML any
	must(t, yaml.Unmarshal(docs.OpenAPI, &fromYAML))
	same, err := json.Marshal(fromYAML)
	must(t, err)
	again, err := json.Marshal(asJSON.object(t))
	must(t, err)
	if string(same) != string(again) || asJSON.header.Get("Content-Type") != "application/json" {
		t.Errorf("JSON and YAML differ")
	}
	for _, path := range []string{"/docs", "/docs/swagger-ui.css", "/openapi.yaml", "/openapi.json"} {
		got := w.do(t, "GET", path, nil, bearer("bad")).want(t, 200)
		if got.header.Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("%s: Cache-Control %q", path, got.header.Get("Cache-Control"))
		}
		if same := w.do(t, "GET", path, nil, header("If-None-Match", got.header.Get("ETag"))).want(t, 304); same.body != "" {
			t.Errorf("%s: 304 with a body", path)
		}
	}
}

func TestThePageOfTheDocs(t *testing.T) {
	w := newWorld(t)
	page := w.do(t, "GET", "/docs", nil).want(t, 200)
	policy := page.header.Get("Content-Security-Policy")
	scripts, styles := len(inlineScript.FindAllString(page.body, -1)), len(inlineStyle.FindAllString(page.body, -1))
	if scripts != 2 || styles != 1 || strings.Count(policy, "'sha256-") != scripts+styles {
		t.Errorf("%d scripts and %d styles, policy %s", scripts, styles, policy)
	}
	for _, lax := range []string{"unsafe", "http:", "https:", "*"} {
		if strings.Contains(policy, lax) {
			t.Errorf("the policy has %q: %s", lax, policy)
		}
	}
	for _, setting := range []string{"persistAuthorization: true", `"swaggerJsonUrl":"/openapi.json"`} {
		if !strings.Contains(page.body, setting) {
			t.Errorf("the page has no %s", setting)
		}
	}
	named := regexp.MustCompile(`(?:src|href)="/docs/([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(named) != len(docsAssets) {
		t.Errorf("the page names %d files, %d are served", len(named), len(docsAssets))
	}
	for _, m := range named {
		got := w.do(t, "GET", "/docs/"+m[1], nil).want(t, 200)
		if got.body == "" || !strings.HasPrefix(got.header.Get("Content-Type"), map[string]string{"css": "text/css", ".js": "text/javascript", "png": "image/png"}[m[1][len(m[1])-3:]]) {
			t.Errorf("%s: %s with %d bytes", m[1], got.header.Get("Content-Type"), len(got.body))
		}
	}
	for _, path := range []string{"/docs/", "/docs/none.js", "/docs/oauth2-redirect.html", "/docs/%2e%2e"} {
		w.do(t, "GET", path, nil).problem(t, 404, domain.CodeNotFound)
	}
}

func TestTheDocsAreNotThereUnlessEnabled(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.DocsEnabled = false })
	for _, path := range []string{"/docs", "/docs/swagger-ui.css", "/openapi.yaml", "/openapi.json"} {
		w.do(t, "GET", path, nil).problem(t, 404, domain.CodeNotFound)
	}
	w.do(t, "GET", "/.well-known/security.txt", nil).want(t, 200)
}

func TestSecurityText(t *testing.T) {
	w := newWorld(t, func(d *Deps) { d.SecurityContact = "https://example.com/report" })
	w.clock.Advance(90 * time.Minute)
	got := w.do(t, "GET", "/.well-known/security.txt", nil).want(t, 200)
	if got.body != "Contact: https://example.com/report\nExpires: 2026-08-28T00:00:00Z\nPreferred-Languages: en\n" {
		t.Errorf("%q", got.body)
	}
	if got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
	}
	w.clock.Advance(400 * 24 * time.Hour) // a program that runs on does not let it expire
	if later := w.do(t, "GET", "/.well-known/security.txt", nil).want(t, 200); later.body == got.body {
		t.Error("it expires for good")
	}
}
