package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
)

// writeJSON encodes before it commits, so that a value that cannot be encoded
// becomes a 500 and not half an answer.
func writeJSON(c echo.Context, status int, mediaType string, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	return c.Blob(status, mediaType, body)
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // URLs stay readable; nosniff and the media type keep browsers from taking it for HTML
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return b.Bytes(), nil
}

// writeConditional answers a read of one resource: 304 when the client has this
// representation already (RFC 9110, section 13.1.2), else 200 with the body.
func writeConditional(c echo.Context, etag string, v any) error {
	c.Response().Header().Set("ETag", etag)
	if noneMatch(c.Request().Header.Values("If-None-Match"), etag) {
		return c.NoContent(http.StatusNotModified)
	}
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, v)
}

// publicCache lets browsers and proxies spare a few requests without showing a
// profile long after it was hidden.
const publicCache = "public, max-age=5"

// writePublic answers a public read. What is not the same for anyone stays no-store.
func writePublic(c echo.Context, sameForAnyone bool, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	if sameForAnyone {
		c.Response().Header().Set("Cache-Control", publicCache)
	}
	return writeConditional(c, contentTag(body), v)
}

// pathParam is a decoded parameter of the path: %61da names the same resource as
// ada (RFC 3986, section 6.2.2.2). Echo routes by the path as sent when that is
// not its usual spelling, and only then gives parameters undecoded.
func pathParam(c echo.Context, name string) string {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}
