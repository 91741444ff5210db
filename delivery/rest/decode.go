package rest

import (
	"bytes"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

// member is one name with its value as sent.
type member struct {
	name  string
	value jsontext.Value
}

// readObject reads the request's body strictly: one of the media types, not
// compressed, UTF-8, one JSON object, no name twice at any depth, nothing after
// it. Echo's own Bind would let a body override the path and take duplicates.
// Errors: 413, 415, 400.
func readObject(c echo.Context, mediaTypes ...string) (jsontext.Value, error) {
	if err := checkMediaType(c.Request().Header, mediaTypes); err != nil {
		return nil, err
	}
	body, err := middleware.ReadBody(c.Request())
	if err != nil {
		return nil, err
	}
	return objectIn(body)
}

// readOptionalObject is readObject for a body that may as well be missing: then
// it gives an empty object, whatever the media type.
func readOptionalObject(c echo.Context, mediaTypes ...string) (jsontext.Value, error) {
	body, err := middleware.ReadBody(c.Request())
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return jsontext.Value(`{}`), nil
	}
	if err := checkMediaType(c.Request().Header, mediaTypes); err != nil {
		return nil, err
	}
	return objectIn(body)
}

func objectIn(body []byte) (jsontext.Value, error) {
	value := jsontext.Value(body)
	if value.Kind() != '{' || !value.IsValid() { // IsValid refuses duplicates, bad UTF-8, lone surrogates and trailing data
		return nil, malformed("The body must be one JSON object in UTF-8, no name twice, with nothing after it.")
	}
	return value, nil
}

func checkMediaType(h http.Header, allowed []string) error {
	for _, enc := range h.Values(echo.HeaderContentEncoding) {
		if enc != "" && !strings.EqualFold(enc, "identity") {
			return unsupported("The body must not be compressed.")
		}
	}
	media, params, err := mime.ParseMediaType(h.Get(echo.HeaderContentType))
	if err != nil || len(h.Values(echo.HeaderContentType)) != 1 || !slices.Contains(allowed, media) {
		return unsupported("The body must be " + strings.Join(allowed, " or ") + ".")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return unsupported("The body must be in UTF-8.")
	}
	return nil
}

// members lists the members of a valid object in their order. A name that
// differs from a known one, or from another, by case alone is refused: readers
// that fold case would take it for that one.
func members(object jsontext.Value, known []string) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(object))
	if _, err := dec.ReadToken(); err != nil {
		return nil, malformed("The body must be one JSON object.").WithCause(err)
	}
	names := make(map[string]string, len(known)) // by folded form; comparing each with each would cost seconds
	for _, k := range known {
		names[fold(k)] = k
	}
	var list []member
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, malformed("The body cannot be read.").WithCause(err)
		}
		name := token.String() // before ReadValue: the token's memory is reused
		value, err := dec.ReadValue()
		if err != nil {
			return nil, malformed("The body cannot be read.").WithCause(err)
		}
		if other, ok := names[fold(name)]; ok && other != name {
			return nil, malformed("The body has a name that differs by its case alone from a known field or from another name.")
		}
		names[fold(name)] = name
		list = append(list, member{name, value.Clone()})
	}
	return list, nil
}

// fold gives names that strings.EqualFold holds equal, and no others, one form:
// each character becomes the smallest of those that differ from it by case alone.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

func malformed(message string) *domain.Error {
	return domain.NewError(domain.Malformed, domain.CodeMalformedRequest, message)
}

func unsupported(message string) *domain.Error {
	return domain.NewError(domain.UnsupportedMedia, domain.CodeUnsupportedMediaType, message)
}
