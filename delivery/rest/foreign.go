package rest

import (
	"cmp"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

// What a program in front of the API needs to answer as the API would: the
// firewall (cmd/waf), so that its clients have one shape of errors to know.

// WriteProblem answers with the problem document of an error, under the id.
func WriteProblem(w http.ResponseWriter, r *http.Request, e *domain.Error, requestID string) {
	h := w.Header()
	middleware.SetSecurityHeaders(h)
	setErrorHeaders(h, e, &middleware.State{})
	h.Set(echo.HeaderContentType, mimeProblem)
	h.Set(echo.HeaderXRequestID, requestID)
	status := statusOf[e.Kind()]
	body, err := encodeJSON(Problem{
		Type: "/problems/" + string(e.Code()), Title: catalogue[e.Code()].Title, Status: status, Detail: e.Message(),
		Instance: cmp.Or(r.URL.EscapedPath(), "/"), Code: e.Code(), RequestID: requestID,
	})
	if err != nil { // of plain text: cannot fail
		status, body = http.StatusInternalServerError, nil
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone is not told
	}
}

// Templates finds the template of a path, such as /v1/profiles/{handle}.
type Templates struct {
	router *echo.Echo
	routes middleware.Routes
}

// NewTemplates knows every route, those included that settings may switch off.
func NewTemplates() Templates {
	table := append(routes(Deps{DocsEnabled: true}), middleware.Route{Method: http.MethodPost, Template: WebhookPath})
	e := echo.New()
	for _, r := range table {
		e.Add(r.Method, r.Template, echo.NotFoundHandler)
	}
	return Templates{e, middleware.NewRoutes(table)}
}

// WebhookPath is where Clerk's deliveries come in, with bodies of up to
// [middleware.MaxWebhookBytes].
const WebhookPath = "/v1/webhooks/clerk"

// Of gives the template, a member of a fixed set: "unmatched" for what has no route.
func (t Templates) Of(r *http.Request) string {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	c := t.router.NewContext(r, nil)
	t.router.Router().Find(method, r.URL.EscapedPath(), c)
	if route, ok := t.routes[method+" "+c.Path()]; ok {
		return route.Template
	}
	return "unmatched"
}
