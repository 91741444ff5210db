package rest

import (
	"net/http"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
)

// routes is the whole table: path, who may, handler. HEAD follows each GET.
func routes(d Deps) []middleware.Route {
	health := healthHandlers{d.Health}
	profiles := profileHandlers{d.Profiles, d.Clock}
	preferences := preferencesHandlers{d.Preferences}
	activity := activityHandlers{d.Activity}
	export := exportHandlers{d.Export, d.Clock}
	erasure := erasureHandlers{d.Erasure}
	admin := adminHandlers{d.Admin, d.Erasure, d.Clock}
	table := []middleware.Route{
		{Method: http.MethodGet, Template: "/health", Access: middleware.AccessOpen, Health: true, Handler: health.report},
		{Method: http.MethodGet, Template: "/health/ready", Access: middleware.AccessOpen, Health: true, Handler: health.ready},
		{Method: http.MethodGet, Template: "/health/live", Access: middleware.AccessOpen, Health: true, Handler: health.live},

		{Method: http.MethodGet, Template: "/v1/profiles/me", Access: middleware.AccessAccount, Handler: profiles.me},
		{Method: http.MethodPatch, Template: "/v1/profiles/me", Access: middleware.AccessAccount, Handler: profiles.updateMe},
		{Method: http.MethodDelete, Template: "/v1/profiles/me", Access: middleware.AccessAccount, Idempotent: true, ErasesCaller: true, Handler: erasure.own},
		{Method: http.MethodGet, Template: "/v1/profiles/me/preferences", Access: middleware.AccessAccount, Handler: preferences.own},
		{Method: http.MethodPatch, Template: "/v1/profiles/me/preferences", Access: middleware.AccessAccount, Handler: preferences.update},
		{Method: http.MethodGet, Template: "/v1/profiles/me/activity", Access: middleware.AccessAccount, Handler: activity.own},
		{Method: http.MethodGet, Template: "/v1/profiles/me/export", Access: middleware.AccessAccount, Handler: export.own},

		{Method: http.MethodGet, Template: "/v1/profiles", Access: middleware.AccessPublic, Handler: profiles.batch},
		{Method: http.MethodGet, Template: "/v1/profiles/:handle", Access: middleware.AccessPublic, Handler: profiles.byHandle},
		{Method: http.MethodGet, Template: "/v1/handles/:handle", Access: middleware.AccessPublic, Handler: profiles.handleAvailable},

		{Method: http.MethodGet, Template: "/v1/admin/profiles", Access: middleware.AccessAdmin, Handler: admin.search},
		{Method: http.MethodGet, Template: "/v1/admin/profiles/:id", Access: middleware.AccessAdmin, Handler: admin.byID},
		{Method: http.MethodPatch, Template: "/v1/admin/profiles/:id", Access: middleware.AccessAdmin, Handler: admin.update},
		{Method: http.MethodDelete, Template: "/v1/admin/profiles/:id", Access: middleware.AccessAdmin, Idempotent: true, Handler: admin.erase},
		{Method: http.MethodPost, Template: "/v1/admin/profiles/:id/suspend", Access: middleware.AccessAdmin, Idempotent: true, Handler: admin.suspend},
		{Method: http.MethodPost, Template: "/v1/admin/profiles/:id/reactivate", Access: middleware.AccessAdmin, Idempotent: true, Handler: admin.reactivate},
		{Method: http.MethodGet, Template: "/v1/admin/audit-events", Access: middleware.AccessAdmin, Handler: admin.auditEvents},

		{Method: http.MethodGet, Template: "/problems/:code", Access: middleware.AccessOpen, Handler: problemPage},
		{Method: http.MethodGet, Template: "/.well-known/security.txt", Access: middleware.AccessOpen, Handler: securityText{d.SecurityContact, d.Clock}.get},
	}
	if d.WebhookSecrets.Any() {
		table = append(table, middleware.Route{
			Method: http.MethodPost, Template: "/v1/webhooks/clerk", Access: middleware.AccessClerk,
			MaxBodyBytes: middleware.MaxWebhookBytes, Refused: d.Inbox.Rejected, Handler: webhookHandlers{d.Inbox}.clerk,
		})
	}
	if d.DocsEnabled {
		table = append(table, theReference().routes()...)
	}
	return table
}
