package rest

import (
	"cmp"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

const mimeProblem = "application/problem+json"

// Problem is a problem document (RFC 9457) with the members of the contract.
// All of it is safe for anyone to read.
type Problem struct {
	Type      string              `json:"type"` // relative reference to the page that explains the code
	Title     string              `json:"title"`
	Status    int                 `json:"status"`
	Detail    string              `json:"detail"`
	Instance  string              `json:"instance"` // path of the request
	Code      domain.Code         `json:"code"`
	RequestID string              `json:"request_id"`
	Errors    []domain.FieldError `json:"errors,omitempty"` // 422 only
}

// statusOf maps each kind of failure to its status; problem_test.go covers every kind.
var statusOf = map[domain.Kind]int{
	domain.Malformed:          http.StatusBadRequest,
	domain.Unauthenticated:    http.StatusUnauthorized,
	domain.Forbidden:          http.StatusForbidden,
	domain.NotFound:           http.StatusNotFound,
	domain.MethodNotAllowed:   http.StatusMethodNotAllowed,
	domain.NotAcceptable:      http.StatusNotAcceptable,
	domain.Conflict:           http.StatusConflict,
	domain.PreconditionFailed: http.StatusPreconditionFailed,
	domain.PayloadTooLarge:    http.StatusRequestEntityTooLarge,
	domain.UnsupportedMedia:   http.StatusUnsupportedMediaType,
	domain.Misdirected:        http.StatusMisdirectedRequest,
	domain.Invalid:            http.StatusUnprocessableEntity,
	domain.RateLimited:        http.StatusTooManyRequests,
	domain.Internal:           http.StatusInternalServerError,
	domain.Unavailable:        http.StatusServiceUnavailable,
	domain.Timeout:            http.StatusGatewayTimeout,
}

// defaultRetryAfter is told with a 503 or 429 whose cause gives no better number.
const defaultRetryAfter = time.Second

// problems turns errors into problem documents. It is the one place where a
// response is made of an error.
type problems struct{ log *slog.Logger }

// handle is Echo's error handler. It may run twice for one request: the second
// time the answer is on its way already.
func (p problems) handle(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	e := asDomainError(err)
	status, s := statusOf[e.Kind()], middleware.StateOf(c)
	if status >= http.StatusInternalServerError {
		p.log.LogAttrs(c.Request().Context(), slog.LevelError, "request failed",
			slog.String("request_id", s.RequestID), slog.String("trace_id", s.Trace.TraceID),
			slog.String("route", s.Route.Template), slog.String("code", string(e.Code())), slog.String("cause", middleware.CauseText(e)))
	}
	setErrorHeaders(c.Response().Header(), e, s)
	if c.Request().Method == http.MethodHead {
		c.Response().Header().Set(echo.HeaderContentType, mimeProblem)
		_ = c.NoContent(status)
		return
	}
	body := Problem{
		Type: "/problems/" + string(e.Code()), Title: catalogue[e.Code()].Title, Status: status, Detail: e.Message(),
		Instance: cmp.Or(c.Request().URL.EscapedPath(), "/"), Code: e.Code(), RequestID: s.RequestID, Errors: e.Fields(),
	}
	if err := writeJSON(c, status, mimeProblem, body); err != nil {
		p.log.LogAttrs(c.Request().Context(), slog.LevelDebug, "problem not written", slog.String("request_id", s.RequestID))
	}
}

func setErrorHeaders(h http.Header, e *domain.Error, s *middleware.State) {
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	switch e.Kind() {
	case domain.Unauthenticated:
		challenge := `Bearer realm="profile-api"`
		if s.AuthError != nil || s.Principal.SignedIn() { // RFC 6750, section 3.1: no error code without a token
			challenge += `, error="invalid_token"`
		}
		h.Set(echo.HeaderWWWAuthenticate, challenge)
	case domain.RateLimited, domain.Unavailable:
		wait := e.RetryAfter()
		if wait <= 0 {
			wait = defaultRetryAfter
		}
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	default: // the others need no header of their own; 405 has its Allow from the router
	}
}

// asDomainError knows our own errors and the router's; all else is an opaque
// internal fault with the cause for the log.
func asDomainError(err error) *domain.Error {
	var own *domain.Error
	if errors.As(err, &own) {
		if _, known := statusOf[own.Kind()]; known {
			return own
		}
	}
	var routed *echo.HTTPError
	if errors.As(err, &routed) {
		switch routed.Code {
		case http.StatusNotFound:
			return domain.NewError(domain.NotFound, domain.CodeNotFound, "There is nothing at this path.")
		case http.StatusMethodNotAllowed:
			return domain.NewError(domain.MethodNotAllowed, domain.CodeMethodNotAllowed, "This path does not take this method; see Allow.")
		}
		if routed.Code >= 400 && routed.Code < 500 {
			return domain.NewError(domain.Malformed, domain.CodeMalformedRequest, "The request cannot be read.").WithCause(err)
		}
	}
	return domain.NewError(domain.Internal, domain.CodeInternal,
		"Something went wrong on our side. The request id helps us find out what.").WithCause(err)
}
