package middleware

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// Recover turns a panic into an opaque 500 and logs the goroutine's own stack.
// The panic's value is logged by its type unless it is an error of the runtime:
// a value may hold what a client sent.
func Recover(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				r := recover()
				if r == nil {
					return
				}
				if e, ok := r.(error); ok && errors.Is(e, http.ErrAbortHandler) {
					panic(r) // net/http's own way to drop a connection
				}
				fault := domain.NewPanic(r) // the access log carries it, which knows how the request ended
				log.LogAttrs(c.Request().Context(), slog.LevelError, "panic",
					slog.String("request_id", StateOf(c).RequestID), slog.String("trace_id", StateOf(c).Trace.TraceID), slog.String("route", StateOf(c).Route.Template),
					slog.String("cause", fault.Value()), slog.String("stack", string(debug.Stack())))
				err = domain.NewError(domain.Internal, domain.CodeInternal, internalMessage).WithCause(fault)
			}()
			return next(c)
		}
	}
}

const internalMessage = "Something went wrong on our side. The request id helps us find out what."
