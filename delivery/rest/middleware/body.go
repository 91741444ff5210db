package middleware

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// BodyLimit refuses bodies over maxBytes, or over the route's own limit, with 413:
// at once when the length is declared, else while reading. The connection ends
// with such an answer: the rest of the body is not worth reading.
func BodyLimit(maxBytes int64) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r, most := c.Request(), maxBytes
			if own := StateOf(c).Route.MaxBodyBytes; own > 0 {
				most = own
			}
			if r.ContentLength > most {
				return tooLarge(c)
			}
			if r.Body != nil && r.Body != http.NoBody {
				r.Body = &limitedBody{ReadCloser: r.Body, left: most, refuse: func() error { return tooLarge(c) }}
			}
			return next(c)
		}
	}
}

// SpareBody reads the body of a method that gives it no meaning (RFC 9110,
// sections 9.3.1 and 9.3.5), so that one over the limit is refused before anything
// happens, also when its length was not declared.
func SpareBody() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			switch r.Method {
			case http.MethodGet, http.MethodHead, http.MethodDelete:
				if r.Body == nil || r.Body == http.NoBody {
					break
				}
				body, err := ReadBody(r)
				if err != nil {
					return err
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			return next(c)
		}
	}
}

// ReadBody reads a request's body whole. Errors: 413, and the deadline's own, which
// the deadline layer makes a 504 of, as they are; 400 for a body that breaks off.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	var own *domain.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, os.ErrDeadlineExceeded) {
		return body, err
	}
	return nil, domain.NewError(domain.Malformed, domain.CodeMalformedRequest, "The body ended before it was complete.").WithCause(err)
}

func tooLarge(c echo.Context) error {
	c.Response().Header().Set("Connection", "close")
	return domain.NewError(domain.PayloadTooLarge, domain.CodePayloadTooLarge, "The request's body is larger than this service accepts.")
}

type limitedBody struct {
	io.ReadCloser
	left   int64
	refuse func() error
}

// Read asks for one byte more than is left, to tell a body that fits exactly
// from one that does not.
func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), b.refuse()
	}
	b.left -= int64(n)
	return n, err
}
