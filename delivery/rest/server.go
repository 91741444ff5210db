// Package rest is the HTTP edge: Echo handlers, the chain of layers in front of
// them, and the translation of errors into problem documents.
package rest

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Deps is what the edge needs. Every field is required unless it says otherwise.
type Deps struct {
	Profiles    *usecase.Profiles
	Preferences *usecase.Preferences
	Activity    *usecase.Activity
	Export      *usecase.Export
	Admin       *usecase.Admin
	Erasure     *usecase.Erasure
	Idempotency *usecase.Idempotency
	Inbox       *usecase.Inbox // needed with WebhookSecrets
	Health      *usecase.Health
	Verifier    usecase.TokenVerifier
	Limiter     usecase.Limiter
	Clock       usecase.Clock
	Hashes      domain.Pseudonymizer
	Metrics     *middleware.Metrics
	Log         *slog.Logger
	Tracer      trace.Tracer // nil: no spans

	WebhookSecrets       domain.WebhookSecrets // none: there is no route for Clerk's webhooks
	RequireHTTPS         bool                  // refuse what a trusted proxy calls http
	AllowedHosts         []string              // empty: every host
	CORSAllowedOrigins   []string              // empty: none
	TrustedProxies       middleware.Proxies
	MaxBodyBytes         int64
	RequestTimeout       time.Duration
	AdminRequestTimeout  time.Duration
	RateLimitAdminBypass bool
	DocsEnabled          bool   // serve /docs and /openapi.*
	SecurityContact      string // mailto: or https: URI of security.txt
}

// New builds the server's handler: the routes behind the whole chain.
func New(d Deps) *echo.Echo { return serverOf(d, routes(d)) }

// serverOf is New with a table of one's own.
func serverOf(d Deps, table []middleware.Route) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = d.TrustedProxies.ClientIP // Echo's default believes any X-Forwarded-For
	e.HTTPErrorHandler = problems{d.Log}.handle

	for _, l := range chain(d, middleware.NewRoutes(table)) {
		e.Use(l.handler)
	}
	once := middleware.Idempotent(d.Idempotency)
	for _, r := range table {
		if r.Idempotent { // innermost of all: with access granted, around the handler alone
			r.Handler = once(r.Handler)
		}
		e.Add(r.Method, r.Template, r.Handler)
		if r.Method == http.MethodGet { // RFC 9110, section 9.1: HEAD works wherever GET does
			e.Add(http.MethodHead, r.Template, r.Handler)
		}
	}
	return e
}

// layer is one step of the chain, by its name in the contract.
type layer struct {
	name    string
	handler echo.MiddlewareFunc
}

// chain is every layer, outermost first. The order is part of the contract, and
// server_test.go asserts it; docs/adr/0003 gives the reasons at length.
func chain(d Deps, table middleware.Routes) []layer {
	return []layer{
		// Locating the route and the client decides nothing: the layers below need the names.
		{"route", middleware.Locate(table)},
		{"client", middleware.Client(d.TrustedProxies)},
		// First of all, so that every answer and every log line has the id.
		{"request-id", middleware.RequestID()},
		{"trace", middleware.Trace(d.Tracer)},
		// Outside of recover, so that a panic is logged and counted as the 500 it becomes.
		{"observe", middleware.Observe(d.Log, d.Metrics, d.Hashes, d.Clock)},
		{"recover", middleware.Recover(d.Log)},
		// Before anything can refuse, so that refusals have the headers too.
		{"security-headers", middleware.SecurityHeaders(d.TrustedProxies, d.RequireHTTPS)},
		// Before CORS and limits: a request for another host deserves no work.
		{"host", middleware.Hosts(d.AllowedHosts)},
		// Before authentication: a preflight carries no token and must not be counted.
		{"cors", middleware.CORS(d.CORSAllowedOrigins)},
		// Before anyone reads a body.
		{"body-limit", middleware.BodyLimit(d.MaxBodyBytes)},
		// Before the first layer that waits for somebody else.
		{"deadline", middleware.Deadline(d.RequestTimeout, d.AdminRequestTimeout, d.Metrics)},
		// Only finds out who calls: refusing here would let guessers around the limit.
		{"authenticate", middleware.Authenticate(d.Verifier, middleware.NewWebhookReader(d.WebhookSecrets, d.Clock), d.Metrics)},
		// Knows the caller, and comes before the first statement in the database.
		{"rate-limit", middleware.RateLimit(d.Limiter, d.RateLimitAdminBypass, d.Hashes, d.Clock, d.Metrics)},
		{"accept", middleware.AcceptJSON()},
		// Counted already, and before anything is done: a body that nobody reads has a limit too.
		{"spare-body", middleware.SpareBody()},
		// Last: 401 and 403, and the caller's own profile.
		{"access", middleware.Enforce(d.Profiles, d.Idempotency)},
	}
}
