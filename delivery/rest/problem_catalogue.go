package rest

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// ProblemType explains one code: what GET /problems/{code} answers.
type ProblemType struct {
	Code   domain.Code `json:"code"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Advice string      `json:"advice"` // what the client can do
}

// catalogue holds every code of the contract; problem_test.go checks that none is missing.
var catalogue = catalogueOf(
	ProblemType{domain.CodeMalformedRequest, "Malformed request", 400, "Send what the documentation of the route shows; do not repeat the request unchanged."},
	ProblemType{domain.CodeUnauthenticated, "Not signed in", 401, "Send a current Clerk session token as Authorization: Bearer."},
	ProblemType{domain.CodeTokenExpired, "Token expired", 401, "Get a fresh session token from Clerk and repeat the request."},
	ProblemType{domain.CodeAccountErased, "Account erased", 401, "This account was erased. Sign up anew."},
	ProblemType{domain.CodeForbidden, "Forbidden", 403, "Use an account with the right role, over https."},
	ProblemType{domain.CodeAccountSuspended, "Account suspended", 403, "Ask the support team."},
	ProblemType{domain.CodeReauthentication, "Recent sign-in required", 403, "Let the person prove who they are again, then repeat the request."},
	ProblemType{domain.CodeNotFound, "Not found", 404, "Check the path and the identifier."},
	ProblemType{domain.CodeMethodNotAllowed, "Method not allowed", 405, "Use one of the methods in Allow."},
	ProblemType{domain.CodeNotAcceptable, "Not acceptable", 406, "Accept application/json."},
	ProblemType{domain.CodeHandleTaken, "Handle taken", 409, "Choose another handle."},
	ProblemType{domain.CodeConflict, "Conflict", 409, "Read the resource again and repeat the change."},
	ProblemType{domain.CodeRequestInProgress, "Request in progress", 409, "Wait for the first request with this Idempotency-Key to end."},
	ProblemType{domain.CodePreconditionFailed, "Precondition failed", 412, "The resource has changed: read it again, then repeat with its new ETag."},
	ProblemType{domain.CodePayloadTooLarge, "Payload too large", 413, "Send a smaller body."},
	ProblemType{domain.CodeUnsupportedMediaType, "Unsupported media type", 415, "Send the body in the documented type, UTF-8 and not compressed."},
	ProblemType{domain.CodeMisdirectedRequest, "Misdirected request", 421, "Use the host name under which the service is published."},
	ProblemType{domain.CodeValidationFailed, "Validation failed", 422, "Correct the fields that errors points to."},
	ProblemType{domain.CodeIdempotencyKeyReused, "Idempotency key reused", 422, "Use a new Idempotency-Key for a new request."},
	ProblemType{domain.CodeRateLimited, "Too many requests", 429, "Wait as long as Retry-After says."},
	ProblemType{domain.CodeInternal, "Internal error", 500, "Tell the operators the request id."},
	ProblemType{domain.CodeUnavailable, "Temporarily unavailable", 503, "Repeat the request after Retry-After."},
	ProblemType{domain.CodeTimeout, "Timeout", 504, "Repeat the request later."},
)

func catalogueOf(types ...ProblemType) map[domain.Code]ProblemType {
	m := make(map[domain.Code]ProblemType, len(types))
	for _, t := range types {
		m[t.Code] = t
	}
	return m
}

// problemPage answers GET /problems/:code, where the type of every problem leads.
func problemPage(c echo.Context) error {
	t, ok := catalogue[domain.Code(c.Param("code"))]
	if !ok {
		return domain.NewError(domain.NotFound, domain.CodeNotFound, "There is no problem type of this name.")
	}
	c.Response().Header().Set("Cache-Control", "public, max-age=3600")
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, t)
}

// Codes lists every code that a client may see, sorted.
func Codes() []domain.Code {
	codes := make([]domain.Code, 0, len(catalogue))
	for code := range catalogue {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}
