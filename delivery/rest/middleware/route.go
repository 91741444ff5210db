package middleware

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
)

const unmatched = "unmatched"

// Access says who may use a route. The zero value is nobody's: a route without
// a rule is refused, so that a forgotten rule cannot open one.
type Access int

// The access rules.
const (
	AccessUndeclared Access = iota
	AccessPublic            // anyone, but a bad token is still 401
	AccessAccount           // a signed-in person whose account is in order
	AccessAdmin             // a signed-in person with the admin role
	AccessOpen              // anyone, the Authorization header is not looked at (health, reference)
	AccessClerk             // Clerk, by a signed delivery; the Authorization header is not looked at
)

// Route is one row of the route table.
type Route struct {
	Method   string
	Template string // as Echo writes it, such as /v1/profiles/:handle
	Access   Access
	// Health marks the routes that probes call: exempt from host check, limits and transport rule.
	Health bool
	// Idempotent marks the routes that take an Idempotency-Key: every POST and DELETE that changes something.
	Idempotent bool
	// ErasesCaller marks the one route after which its caller exists no more.
	ErasesCaller bool
	// MaxBodyBytes replaces the limit on bodies where it is not zero.
	MaxBodyBytes int64
	// Refused, when set, hears of each request that is answered 4xx, whichever layer refused it.
	Refused func(ctx context.Context)
	Handler echo.HandlerFunc
}

// Routes finds the row of a request. Its keys come from the table alone, so
// nothing that a client sends becomes a metric's label.
type Routes map[string]Route

var parameter = regexp.MustCompile(`:(\w+)`)

// NewRoutes indexes the table. HEAD follows GET.
func NewRoutes(table []Route) Routes {
	m := make(Routes, 2*len(table))
	for _, r := range table {
		template := r.Template
		r.Template = parameter.ReplaceAllString(template, "{$1}") // as the contract writes it, for logs and metrics
		m[r.Method+" "+template] = r
		if r.Method == http.MethodGet {
			m[http.MethodHead+" "+template] = r
		}
	}
	return m
}

// Locate is the innermost part of routing: it notes the matched row in the state.
func Locate(routes Routes) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if r, ok := routes[c.Request().Method+" "+c.Path()]; ok {
				StateOf(c).Route = r
			} else {
				StateOf(c).Route = Route{Template: unmatched, Access: AccessOpen}
			}
			return next(c)
		}
	}
}

// MethodLabel keeps invented methods out of logs and metrics.
func MethodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "OTHER"
}

func isAdminPath(path string) bool { return strings.HasPrefix(path, "/v1/admin/") }
