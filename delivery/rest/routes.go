package rest

import (
	"net/http"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
)

// routes is the whole table: path, who may, handler. HEAD follows each GET.
func routes(d Deps) []middleware.Route {
	health := healthHandlers{d.Health}
	profiles := profileHandlers{d.Profiles, d.Clock}
	table := []middleware.Route{
		{Method: http.MethodGet, Template: "/health", Access: middleware.AccessOpen, Health: true, Handler: health.report},
		{Method: http.MethodGet, Template: "/health/ready", Access: middleware.AccessOpen, Health: true, Handler: health.ready},
		{Method: http.MethodGet, Template: "/health/live", Access: middleware.AccessOpen, Health: true, Handler: health.live},

		{Method: http.MethodGet, Template: "/v1/profiles/me", Access: middleware.AccessAccount, Handler: profiles.me},
		{Method: http.MethodPatch, Template: "/v1/profiles/me", Access: middleware.AccessAccount, Handler: profiles.updateMe},
		{Method: http.MethodGet, Template: "/v1/profiles/:handle", Access: middleware.AccessPublic, Handler: profiles.byHandle},

		{Method: http.MethodGet, Template: "/problems/:code", Access: middleware.AccessOpen, Handler: problemPage},
		{Method: http.MethodGet, Template: "/.well-known/security.txt", Access: middleware.AccessOpen, Handler: securityText{d.SecurityContact, d.Clock}.get},
	}
	if d.DocsEnabled {
		table = append(table, theReference().routes()...)
	}
	return table
}
