package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// statusClientGone is what the log and the metrics say of a request whose
// client went away before the answer; it is never sent.
const statusClientGone = 499

// PurposeLogUser is the pseudonymizer purpose of the user in the log.
const PurposeLogUser = "log-user"

// Observe writes one access-log line and one measurement for each request. It
// stands outside of recovery, so that panics are seen too, and turns a returned
// error into its response here, so that the status it logs is the one sent. The
// log's duration is in seconds, as the metric's is.
func Observe(log *slog.Logger, m *Metrics, hashes domain.Pseudonymizer, clock usecase.Clock) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start, client := clock.Now(), c.Request().Context()
			err := next(c)
			// The context from before the deadline layer, which ends its own when it returns. It alone does not tell:
			// net/http ends it for a body that came too slowly as well, and that client waits for its answer.
			gone := errors.Is(err, context.Canceled) && errors.Is(client.Err(), context.Canceled)
			cutOff := err != nil && c.Response().Committed // a stream that failed under way
			if err != nil && !gone {
				c.Error(err)
			}
			status := c.Response().Status
			if gone && !c.Response().Committed {
				status = statusClientGone
			}
			s, elapsed := StateOf(c), clock.Now().Sub(start)
			s.Status = status
			method := MethodLabel(c.Request().Method)
			m.observe(method, s.Route.Template, strconv.Itoa(status), elapsed)
			if s.Route.Refused != nil && status >= 400 && status < statusClientGone {
				s.Route.Refused(client)
			}
			attrs := []slog.Attr{
				slog.String("request_id", s.RequestID), slog.String("trace_id", s.Trace.TraceID),
				slog.String("method", method), slog.String("route", s.Route.Template), slog.Int("status", status),
				slog.Float64("duration", elapsed.Seconds()),
				slog.String("client_network", Network(s.ClientIP)),
			}
			if s.Principal.SignedIn() {
				attrs = append(attrs, slog.String("user", hashes.Hash(PurposeLogUser, s.Principal.UserID)))
			}
			if cutOff {
				attrs = append(attrs, slog.Bool("cut_off", true), slog.String("cause", CauseText(err)))
			}
			level := levelFor(status, s.Route.Health)
			if isFault(err, status, cutOff) {
				level = slog.LevelError // of a probe too
				attrs = append(attrs, domain.FaultAttr(err))
			}
			log.LogAttrs(c.Request().Context(), level, "request", attrs...)
			if cutOff || gone {
				// net/http would end the answer as if it were whole, or answer an empty 200 for us, and a client
				// that closed only its sending half would take it for success: drop the connection instead.
				panic(http.ErrAbortHandler)
			}
			return err
		}
	}
}

// isFault tells whether the request failed of what nobody expected. An answer that
// was cut off has a status of before: there the error decides, and that a client
// went away or came too late is none of ours.
func isFault(err error, status int, cutOff bool) bool {
	var thrown *domain.Panic
	var own *domain.Error
	var network *net.OpError
	switch {
	case errors.As(err, &thrown), domain.IsUnexpected(err):
		return true
	case !cutOff:
		return status == http.StatusInternalServerError
	case errors.As(err, &own):
		return errors.Is(err, domain.Internal)
	}
	return !errors.As(err, &network) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// CauseText is an error's text for the log, without the addresses that net puts
// into what it says of a connection: the whole address of a client is personal data.
func CauseText(err error) string {
	text := err.Error()
	var network *net.OpError
	if errors.As(err, &network) && network.Op != "dial" { // where we dialled to is no client's
		text = strings.ReplaceAll(text, network.Error(), network.Op+": "+network.Err.Error())
	}
	return text
}

// levelFor keeps probes out of a quiet log and server faults in every one.
func levelFor(status int, health bool) slog.Level {
	switch {
	case health:
		return slog.LevelDebug
	case status >= http.StatusInternalServerError:
		return slog.LevelError
	}
	return slog.LevelInfo
}
