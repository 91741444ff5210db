package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
	"go.yaml.in/yaml/v3"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/docs"
	"github.com/profile-api/profile-api/domain"
)

const (
	docsBase       = "/docs/"
	referenceCache = "public, max-age=300" // a new version shows within five minutes
)

// docsAssets are the files that the page of Swagger UI names.
var docsAssets = []string{
	"favicon-16x16.png", "favicon-32x32.png", "swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js",
}

// representation is a body that does not change while the program runs.
type representation struct {
	mediaType, etag string
	body            []byte
}

func newRepresentation(mediaType string, body []byte) representation {
	return representation{mediaType, contentTag(body), body}
}

// write answers 304 when the client has it already, else 200.
func (r representation) write(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Cache-Control", referenceCache)
	h.Set("ETag", r.etag)
	if noneMatch(c.Request().Header.Values("If-None-Match"), r.etag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, r.mediaType, r.body)
}

// reference is the description of the API in all its forms.
type reference struct {
	yaml, json, page representation
	pagePolicy       string // the Content-Security-Policy of page
	assets           map[string]representation
}

// theReference is built once, by whoever needs it first: nothing of it varies.
// What it is made of is compiled in and tried by the tests, so a fault in it
// ends the program at its start.
var theReference = sync.OnceValue(func() *reference {
	r, err := newReference()
	if err != nil {
		panic(err)
	}
	return r
})

func newReference() (*reference, error) {
	var document map[string]any
	if err := yaml.Unmarshal(docs.OpenAPI, &document); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	asJSON, err := encodeJSON(document)
	if err != nil {
		return nil, fmt.Errorf("convert openapi.yaml: %w", err)
	}
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "profile-api", SwaggerJSON: "/openapi.json", BasePath: docsBase,
		SettingsUI: map[string]string{"persistAuthorization": "true", "displayRequestDuration": "true"},
	})
	page := fetch(ui, docsBase)
	r := &reference{
		yaml:       newRepresentation("application/yaml", docs.OpenAPI),
		json:       newRepresentation(echo.MIMEApplicationJSON, asJSON),
		page:       newRepresentation(echo.MIMETextHTMLCharsetUTF8, page),
		pagePolicy: pagePolicy(page),
		assets:     make(map[string]representation, len(docsAssets)),
	}
	for _, name := range docsAssets {
		body := fetch(ui, docsBase+name)
		if len(body) == 0 {
			return nil, fmt.Errorf("swagger UI has no %s", name)
		}
		r.assets[name] = newRepresentation(assetType(name), body)
	}
	return r, nil
}

func assetType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return "image/png"
}

func (r *reference) openAPIYAML(c echo.Context) error { return r.yaml.write(c) }
func (r *reference) openAPIJSON(c echo.Context) error { return r.json.write(c) }

// ui answers GET /docs. The strict policy of every other route would leave the page blank.
func (r *reference) ui(c echo.Context) error {
	c.Response().Header().Set("Content-Security-Policy", r.pagePolicy)
	return r.page.write(c)
}

// asset answers GET /docs/:asset.
func (r *reference) asset(c echo.Context) error {
	file, ok := r.assets[pathParam(c, "asset")]
	if !ok {
		return domain.NewError(domain.NotFound, domain.CodeNotFound, "There is no such file.")
	}
	return file.write(c)
}

func (r *reference) routes() []middleware.Route {
	return []middleware.Route{
		{Method: http.MethodGet, Template: "/docs", Access: middleware.AccessOpen, Handler: r.ui},
		{Method: http.MethodGet, Template: "/docs/:asset", Access: middleware.AccessOpen, Handler: r.asset},
		{Method: http.MethodGet, Template: "/openapi.yaml", Access: middleware.AccessOpen, Handler: r.openAPIYAML},
		{Method: http.MethodGet, Template: "/openapi.json", Access: middleware.AccessOpen, Handler: r.openAPIJSON},
	}
}

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	inlineStyle  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
)

// pagePolicy lets the page run its own inline blocks, known by their hashes
// (CSP3, section 2.3.1), load what lies beside it and call this API, and no more.
func pagePolicy(page []byte) string {
	return "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; img-src 'self' data:; " +
		"script-src 'self'" + hashes(inlineScript, page) + "; style-src 'self'" + hashes(inlineStyle, page)
}

func hashes(block *regexp.Regexp, page []byte) string {
	var b strings.Builder
	for _, m := range block.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		b.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	return b.String()
}

// fetch gives what the handler answers to a GET, empty unless it is 200. The
// answers are kept because the handler's own have tags without quotes and errors in plain text.
func fetch(h http.Handler, target string) []byte {
	w := memoryWriter{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(&w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: target}, Header: http.Header{}})
	if w.status != http.StatusOK {
		return nil
	}
	return w.body.Bytes()
}

type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header         { return w.header }
func (w *memoryWriter) WriteHeader(status int)      { w.status = status }
func (w *memoryWriter) Write(p []byte) (int, error) { return w.body.Write(p) }
