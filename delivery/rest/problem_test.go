package rest

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
)

// The contract's table of §4, written out once more on purpose.
var contractKinds = map[domain.Kind]int{
	domain.Malformed: 400, domain.Unauthenticated: 401, domain.Forbidden: 403, domain.NotFound: 404, domain.MethodNotAllowed: 405,
	domain.NotAcceptable: 406, domain.Conflict: 409, domain.PreconditionFailed: 412, domain.PayloadTooLarge: 413,
	domain.UnsupportedMedia: 415, domain.Misdirected: 421, domain.Invalid: 422, domain.RateLimited: 429, domain.Internal: 500,
	domain.Unavailable: 503, domain.Timeout: 504,
}

var contractCodes = map[domain.Code]int{
	"malformed-request": 400, "unauthenticated": 401, "token-expired": 401, "account-erased": 401, "forbidden": 403,
	"account-suspended": 403, "reauthentication-required": 403, "not-found": 404, "method-not-allowed": 405, "not-acceptable": 406,
	"handle-taken": 409, "conflict": 409, "request-in-progress": 409, "precondition-failed": 412, "payload-too-large": 413,
	"unsupported-media-type": 415, "misdirected-request": 421, "validation-failed": 422, "idempotency-key-reused": 422,
	"rate-limited": 429, "internal": 500, "unavailable": 503, "timeout": 504,
}

// constantsOf lists the values of the string constants of a type in domain/errors.go.
func constantsOf(t *testing.T, typeName string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../domain/errors.go", nil, parser.SkipObjectResolution)
	must(t, err)
	var values []string
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			v := spec.(*ast.ValueSpec)
			if name, ok := v.Type.(*ast.Ident); !ok || name.Name != typeName {
				continue
			}
			for _, value := range v.Values {
				s, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				must(t, err)
				values = append(values, s)
			}
		}
	}
	if len(values) == 0 {
		t.Fatalf("domain/errors.go has no constants of type %s", typeName)
	}
	return values
}

func TestEveryKindHasItsStatus(t *testing.T) {
	kinds := constantsOf(t, "Kind")
	for _, k := range kinds {
		want, ok := contractKinds[domain.Kind(k)]
		if !ok {
			t.Errorf("kind %q is not in this test's table", k)
		}
		if got := statusOf[domain.Kind(k)]; got != want {
			t.Errorf("kind %q has status %d, want %d", k, got, want)
		}
	}
	if len(kinds) != len(statusOf) || len(kinds) != len(contractKinds) {
		t.Errorf("%d kinds, %d with a status, %d in the table", len(kinds), len(statusOf), len(contractKinds))
	}
}

func TestEveryCodeIsInTheCatalogue(t *testing.T) {
	codes := constantsOf(t, "Code")
	for _, code := range codes {
		want, ok := contractCodes[domain.Code(code)]
		page := catalogue[domain.Code(code)]
		if !ok || page.Status != want || page.Code != domain.Code(code) || page.Title == "" || page.Advice == "" {
			t.Errorf("code %q: in the contract %v with %d, in the catalogue %+v", code, ok, want, page)
		}
	}
	if len(codes) != len(catalogue) || len(codes) != len(contractCodes) {
		t.Errorf("%d codes, %d in the catalogue, %d in the contract", len(codes), len(catalogue), len(contractCodes))
	}
	if listed := Codes(); len(listed) != len(codes) || !slices.IsSorted(listed) {
		t.Errorf("Codes gives %q", listed)
	}
}

func TestEveryCodeHasAPage(t *testing.T) {
	w := newWorld(t)
	for code, status := range contractCodes {
		got := w.do(t, "GET", "/problems/"+string(code), nil).want(t, 200)
		m := got.object(t)
		wantNames(t, m, "code", "title", "status", "advice")
		if m["code"] != string(code) || m["status"] != float64(status) {
			t.Errorf("%s: %v", code, m)
		}
		if got.header.Get("Cache-Control") != "public, max-age=3600" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: headers %v", code, got.header)
		}
	}
	w.do(t, "GET", "/problems/no-such", nil).problem(t, 404, domain.CodeNotFound)
	w.do(t, "GET", "/problems/", nil).problem(t, 404, domain.CodeNotFound)
	// A page is open: even with a bad token somebody can read why it is bad.
	w.do(t, "GET", "/problems/unauthenticated", nil, bearer("bad")).want(t, 200)
}

// answerTo runs the error handler alone.
func answerTo(t *testing.T, method string, err error) (reply, string) {
	t.Helper()
	log := &logBuffer{}
	e := echo.New()
	rec := httptest.NewRecorder()
	c := e.NewContext(httptest.NewRequestWithContext(t.Context(), method, "/v1/some%20where?secret=query", nil), rec)
	middleware.StateOf(c).RequestID = "rid"
	c.Response().Header().Set("X-Request-Id", "rid")
	c.Response().Header().Set("ETag", `"of-the-resource"`)
	problems{slog.New(slog.NewJSONHandler(log, nil))}.handle(err, c)
	return reply{rec.Code, rec.Header(), rec.Body.String()}, log.String()
}

func TestErrorsBecomeProblems(t *testing.T) {
	own := func(k domain.Kind, c domain.Code) *domain.Error { return domain.NewError(k, c, "For anyone to read.") }
	inner := errors.New("inner-cause")
	cases := []struct {
		name   string
		err    error
		status int
		code   domain.Code
		detail string
		logged bool
	}{
		{"own", own(domain.NotFound, domain.CodeNotFound), 404, domain.CodeNotFound, "For anyone to read.", false},
		{"own with a cause", own(domain.Conflict, domain.CodeHandleTaken).WithCause(inner), 409, domain.CodeHandleTaken, "For anyone to read.", false},
		{"wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", own(domain.Forbidden, domain.CodeForbidden))), 403, domain.CodeForbidden, "For anyone to read.", false},
		{"joined", errors.Join(inner, own(domain.Malformed, domain.CodeMalformedRequest)), 400, domain.CodeMalformedRequest, "For anyone to read.", false},
		{"unknown", inner, 500, domain.CodeInternal, "Something went wrong", true},
		{"own internal", own(domain.Internal, domain.CodeInternal).WithCause(inner), 500, domain.CodeInternal, "For anyone to read.", true},
		{"of a kind that nobody knows", domain.NewError("inner-cause", "inner-code", "inner-cause message"), 500, domain.CodeInternal, "Something went wrong", true},
		{"timeout", domain.TimeoutError(inner), 504, domain.CodeTimeout, "took too long", true},
		{"router's 404", echo.ErrNotFound, 404, domain.CodeNotFound, "nothing at this path", false},
		{"router's 405", echo.ErrMethodNotAllowed, 405, domain.CodeMethodNotAllowed, "see Allow", false},
		{"router's, wrapped", fmt.Errorf("inner-cause: %w", echo.ErrNotFound), 404, domain.CodeNotFound, "nothing at this path", false},
		{"another 4xx of Echo's", echo.NewHTTPError(418, "inner-cause"), 400, domain.CodeMalformedRequest, "cannot be read", false},
		{"a 5xx of Echo's", echo.NewHTTPError(502, "inner-cause"), 500, domain.CodeInternal, "Something went wrong", true},
		{"context's deadline", context.DeadlineExceeded, 500, domain.CodeInternal, "Something went wrong", true}, // the deadline layer makes 504 of it
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, log := answerTo(t, "GET", c.err)
			got.problem(t, c.status, c.code)
			m := got.object(t)
			if !strings.Contains(m["detail"].(string), c.detail) || m["instance"] != "/v1/some%20where" {
				t.Errorf("body %s", got.body)
			}
			if got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
			}
			if strings.Contains(got.body, "inner-") || strings.Contains(got.body, "secret") {
				t.Errorf("internal text in the body: %s", got.body)
			}
			if (log != "") != c.logged {
				t.Errorf("log: %s", log)
			}
			if c.logged && !strings.Contains(log, `"request_id":"rid"`) || strings.Contains(log, "secret") {
				t.Errorf("log: %s", log)
			}
			if errors.Is(c.err, inner) && c.logged && !strings.Contains(log, "inner-cause") {
				t.Errorf("the cause is not in the log: %s", log)
			}
		})
	}
}

func TestValidationProblemListsItsFields(t *testing.T) {
	got, _ := answerTo(t, "PATCH", domain.ValidationFailed(
		domain.FieldError{Pointer: "/a", Code: "too_long", Detail: "d"}, domain.FieldError{Pointer: "/b/0", Code: "required", Detail: "e"}))
	if f := got.faults(t); !slices.Equal(f, []string{"/a too_long", "/b/0 required"}) {
		t.Errorf("faults %q", f)
	}
}

func TestErrorHandlerMayRunTwice(t *testing.T) {
	e := echo.New()
	rec := httptest.NewRecorder()
	c := e.NewContext(httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), rec)
	p := problems{slog.New(slog.DiscardHandler)}
	p.handle(echo.ErrNotFound, c)
	first := rec.Body.String()
	p.handle(errors.New("other"), c)
	if rec.Code != 404 || rec.Body.String() != first || first == "" {
		t.Errorf("%d %q after %q", rec.Code, rec.Body.String(), first)
	}
}

func TestHeadGetsTheHeadersOfAProblemAlone(t *testing.T) {
	got, _ := answerTo(t, "HEAD", domain.NewError(domain.RateLimited, domain.CodeRateLimited, "m").WithRetryAfter(time.Minute))
	if got.status != 429 || got.body != "" || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Retry-After") != "60" {
		t.Errorf("%+v", got)
	}
}

func TestRetryAfterIsWholeSecondsRoundedUp(t *testing.T) {
	cases := []struct {
		wait time.Duration
		want string
	}{
		{0, "1"}, {-time.Second, "1"}, {time.Nanosecond, "1"}, {time.Second, "1"}, {time.Second + 1, "2"}, {1500 * time.Millisecond, "2"},
		{time.Minute, "60"},
	}
	for _, c := range cases {
		limited, _ := answerTo(t, "GET", domain.NewError(domain.RateLimited, domain.CodeRateLimited, "m").WithRetryAfter(c.wait))
		away, _ := answerTo(t, "GET", fmt.Errorf("wrapped: %w", domain.UnavailableError(io.EOF, c.wait)))
		for _, got := range []reply{limited, away} {
			if h := got.header.Values("Retry-After"); len(h) != 1 || h[0] != c.want {
				t.Errorf("%s: Retry-After %q, want %s", c.wait, h, c.want)
			}
		}
	}
	for kind := range statusOf {
		got, _ := answerTo(t, "GET", domain.NewError(kind, domain.CodeInternal, "m"))
		if has := got.header.Get("Retry-After") != ""; has != (kind == domain.RateLimited || kind == domain.Unavailable) {
			t.Errorf("kind %s: Retry-After %v", kind, has)
		}
		if has := got.header.Get("WWW-Authenticate") != ""; has != (kind == domain.Unauthenticated) {
			t.Errorf("kind %s: WWW-Authenticate %v", kind, has)
		}
	}
}

func TestChallengeNamesAnErrorOnlyWhenThereWasAToken(t *testing.T) {
	w := newWorld(t)
	erased := w.person()
	w.sql(t, "INSERT INTO erased_identities VALUES ($1, now())", testHashes.Hash(domain.PurposeErasedIdentity, erased.id))
	plain, invalid := `Bearer realm="profile-api"`, `Bearer realm="profile-api", error="invalid_token"`
	cases := []struct {
		name, want string
		code       domain.Code
		change     with
	}{
		{"none", plain, domain.CodeUnauthenticated, func(*http.Request) {}},
		{"bad", invalid, domain.CodeUnauthenticated, bearer("bad")},
		{"other scheme", invalid, domain.CodeUnauthenticated, header("Authorization", "Basic YTpi")},
		{"two headers", invalid, domain.CodeUnauthenticated, header("Authorization", "Bearer a", "Bearer b")},
		{"empty", invalid, domain.CodeUnauthenticated, header("Authorization", "")},
		{"scheme alone", invalid, domain.CodeUnauthenticated, header("Authorization", "Bearer ")},
		{"erased", invalid, domain.CodeAccountErased, erased.is()},
	}
	for _, c := range cases {
		got := w.do(t, "GET", "/v1/profiles/me", nil, c.change).problem(t, 401, c.code)
		if h := got.header.Values("WWW-Authenticate"); len(h) != 1 || h[0] != c.want {
			t.Errorf("%s: WWW-Authenticate %q", c.name, h)
		}
	}
}

func TestAnAnswerThatCannotBeEncodedIsAnOpaque500(t *testing.T) {
	w := newWorld(t)
	w.api.GET("/test/unencodable", func(c echo.Context) error {
		return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, map[string]any{"half": "an answer", "f": func() {}})
	})
	got := w.do(t, "GET", "/test/unencodable", nil).problem(t, 500, domain.CodeInternal)
	if strings.Contains(got.body, "half") || strings.Contains(got.body, "func") {
		t.Errorf("body %s", got.body)
	}
	if lines := w.log.lines(t, "request failed"); len(lines) != 1 || !strings.Contains(lines[0]["cause"].(string), "unsupported type") {
		t.Errorf("log %v", lines)
	}
}
