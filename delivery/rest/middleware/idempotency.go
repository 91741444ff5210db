package middleware

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	// headerReplayed marks the answer of an earlier request.
	headerReplayed = "Idempotency-Replayed"
)

// keptHeaders are what a repeat gets again of the first answer's headers. The
// others belong to the request at hand.
var keptHeaders = []string{echo.HeaderContentType, "ETag", echo.HeaderLocation}

// Idempotent lets a handler take an Idempotency-Key: the repeat of a request by
// the same caller gets the first one's answer, and its effect happens once. It
// belongs around the handlers of routes that are marked, inside of the access
// rules: who may not call a route may not hear its old answers either.
//
// With a key the handler runs in one transaction with the storing of its answer,
// and what it writes is sent after the commit. It may run more than once (see
// [usecase.Idempotency.Run]), each time with the body from its start and with
// nothing written. Without a key it runs as ever. Errors: malformed-request (400) for what is no
// key, request-in-progress (409), idempotency-key-reused (422).
func Idempotent(keys *usecase.Idempotency) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			key, err := idempotencyKey(c.Request().Header)
			if err != nil {
				return err
			}
			if key == "" || !StateOf(c).Principal.SignedIn() {
				return next(c)
			}
			request, err := idempotentRequest(c, key)
			if err != nil {
				return err
			}
			var last *attempt
			kept, replayed, err := keys.Run(c.Request().Context(), request, func(ctx context.Context) (domain.KeptResponse, error) {
				last = newAttempt(c)
				last.err = last.run(ctx, c, next, request.Body)
				return last.response(c), last.err
			})
			switch {
			case err != nil:
				if last != nil && errors.Is(err, last.err) { // the handler's own, and not of a run before
					last.handHeaders(c)
				}
				return err
			case replayed:
				return replay(c, kept)
			}
			last.handHeaders(c)
			return send(c, kept)
		}
	}
}

// idempotencyKey reads the header; empty when there is none.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(headerIdempotencyKey)
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || !domain.ValidIdempotencyKey(values[0]):
		return "", domain.NewError(domain.Malformed, domain.CodeMalformedRequest,
			"Idempotency-Key must be given once, with 1 to 255 visible ASCII characters.")
	}
	return values[0], nil
}

// idempotentRequest reads the body whole, before any connection to the database is held.
func idempotentRequest(c echo.Context, key string) (usecase.IdempotentRequest, error) {
	r := c.Request()
	body, err := ReadBody(r)
	if err != nil {
		return usecase.IdempotentRequest{}, err
	}
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	return usecase.IdempotentRequest{
		CallerID: StateOf(c).Principal.UserID, Key: key, Method: r.Method, Target: target, Body: body,
	}, nil
}

// replayErased gives a caller whose account is erased the answer again to the
// request that erased it: the network may have lost it. Anything else is refused
// as ever.
func replayErased(c echo.Context, keys *usecase.Idempotency, refusal error) error {
	key, err := idempotencyKey(c.Request().Header)
	if err != nil || key == "" {
		return refusal
	}
	request, err := idempotentRequest(c, key)
	if err != nil {
		return err
	}
	kept, ok, err := keys.Replay(c.Request().Context(), request)
	if err != nil {
		return err
	}
	if !ok {
		return refusal
	}
	return replay(c, kept)
}

func replay(c echo.Context, kept domain.KeptResponse) error {
	h := c.Response().Header()
	for name, value := range kept.Header {
		h.Set(name, value)
	}
	h.Set(headerReplayed, "true")
	return send(c, kept)
}

func send(c echo.Context, kept domain.KeptResponse) error {
	c.Response().WriteHeader(kept.Status)
	if len(kept.Body) == 0 {
		return nil
	}
	_, err := c.Response().Write(kept.Body)
	return err
}

// attempt is one run of a handler: what it writes stays in memory, so that
// nothing of it is seen before the commit, or at all when the transaction is rolled back.
type attempt struct {
	header http.Header
	status int // 0 until the handler says one
	body   bytes.Buffer
	err    error // what the handler returned
}

// newAttempt begins with the headers that the layers outside have set.
func newAttempt(c echo.Context) *attempt { return &attempt{header: c.Response().Header().Clone()} }

// Header is what the handler sees and sets.
func (a *attempt) Header() http.Header { return a.header }

// WriteHeader takes the first status, as net/http does.
func (a *attempt) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write takes a part of the body.
func (a *attempt) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// run gives the handler a request of the transaction's, and takes its answer.
// Afterwards, or after a panic, the outer layers find their own again.
func (a *attempt) run(ctx context.Context, c echo.Context, next echo.HandlerFunc, body []byte) error {
	request, response := c.Request(), c.Response()
	defer func() {
		c.SetRequest(request)
		c.SetResponse(response)
	}()
	inner := request.WithContext(ctx)
	inner.Body = io.NopCloser(bytes.NewReader(body))
	c.SetRequest(inner)
	c.SetResponse(echo.NewResponse(a, c.Echo()))
	StateOf(c).SubjectProfileID = ""
	return next(c)
}

// response is the answer as it would be kept.
func (a *attempt) response(c echo.Context) domain.KeptResponse {
	a.WriteHeader(http.StatusOK) // what net/http answers for a handler that says nothing
	kept := domain.KeptResponse{Status: a.status, Header: map[string]string{}, Body: a.body.Bytes()}
	for _, name := range keptHeaders {
		if value := a.header.Get(name); value != "" {
			kept.Header[name] = value
		}
	}
	if id := StateOf(c).SubjectProfileID; id != "" {
		kept.SubjectProfileID = &id
	}
	return kept
}

// handHeaders gives the answer on its way the headers as the handler left them.
func (a *attempt) handHeaders(c echo.Context) {
	h := c.Response().Header()
	clear(h)
	for name, values := range a.header {
		h[name] = values
	}
}
