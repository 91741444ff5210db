package middleware

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// Deadline gives each request its time: normal, or admin below /v1/admin/. What
// works for the request sees the context end, down to the statement in
// PostgreSQL; the answer is 504. The body must arrive within the same time.
func Deadline(normal, admin time.Duration, m *Metrics) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			limit := normal
			if isAdminPath(c.Request().URL.Path) {
				limit = admin
			}
			ctx, cancel := context.WithTimeout(c.Request().Context(), limit)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
			boundBody(ctx, c)
			err := next(c)
			if err == nil || !timedOut(ctx, err) {
				return err
			}
			m.timeouts.Inc()
			if errors.Is(err, domain.Timeout) {
				return err
			}
			return domain.TimeoutError(err)
		}
	}
}

// timedOut tells whether slowness is the reason of the failure: the error says
// so, or it is a server fault that came after the request's time was over.
func timedOut(ctx context.Context, err error) bool {
	if errors.Is(err, domain.Timeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	return late && serverFault(err)
}

// serverFault tells whether the error handler would make a 500 or 503 of it: what
// is neither ours nor the router's is an internal fault too.
func serverFault(err error) bool {
	var own *domain.Error
	var routed *echo.HTTPError
	if errors.As(err, &own) {
		return own.Kind() == domain.Unavailable || own.Kind() == domain.Internal
	}
	return !errors.As(err, &routed)
}

// boundBody lets the connection's reads fail when the request's time is over. A
// read deadline that stayed on after the body would end the connection's watch
// for a client that leaves, so it goes with the body's end.
func boundBody(ctx context.Context, c echo.Context) {
	r := c.Request()
	deadline, ok := ctx.Deadline()
	if !ok || r.Body == nil || r.Body == http.NoBody {
		return
	}
	conn := http.NewResponseController(c.Response())
	if err := conn.SetReadDeadline(deadline); err != nil {
		return // a recorder in a test; the server's own ReadTimeout bounds real connections too
	}
	r.Body = &timedBody{ReadCloser: r.Body, release: func() { _ = conn.SetReadDeadline(time.Time{}) }, slow: func() {
		c.Response().Header().Set("Connection", "close")
	}}
}

type timedBody struct {
	io.ReadCloser
	release func()
	slow    func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.release()
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.slow()
	}
	return n, err
}
