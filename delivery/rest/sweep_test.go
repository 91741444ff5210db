package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testhooks"
	"github.com/profile-api/profile-api/usecase"
)

// needs says who may call an operation, as the document has it.
func (o operation) needs() middleware.Access {
	switch {
	case strings.HasPrefix(o.path, "/v1/admin/"):
		return middleware.AccessAdmin
	case strings.HasPrefix(o.path, "/v1/webhooks/"):
		return middleware.AccessClerk
	case o.Security == nil: // the document's own rule: bearerAuth
		return middleware.AccessAccount
	case len(*o.Security) == 0:
		return middleware.AccessOpen
	}
	return middleware.AccessPublic
}

func (o operation) documents(status int) bool { return o.Responses.Status(status) != nil }

// target is a path, with a query where one is needed, that leads to the operation.
func (o operation) target(handle, id string) string {
	path := strings.NewReplacer("{handle}", handle, "{id}", id, "{code}", "timeout", "{asset}", "swagger-ui.css").Replace(o.path)
	if o.OperationID == "listProfiles" { // the one operation that asks for a parameter
		path += "?handles=" + handle
	}
	return path
}

// example is the body of the document's own example with its media type; empty for an operation without.
func (o operation) example(t *testing.T) (body, media string) {
	t.Helper()
	if o.RequestBody == nil {
		return "", ""
	}
	content := o.RequestBody.Value.Content
	media = "application/json"
	if content[media] == nil || content[media].Example == nil {
		t.Fatalf("%s has no example of its body", o)
	}
	b, err := json.Marshal(content[media].Example)
	must(t, err)
	return string(b), media
}

// tooLarge is a body that the operation does not take.
func (o operation) tooLarge() string {
	if o.needs() == middleware.AccessClerk {
		return strings.Repeat(" ", middleware.MaxWebhookBytes+1)
	}
	return strings.Repeat(" ", 65537)
}

// send sends the operation as the document shows it, signed where that is what it takes.
func (w *world) send(t *testing.T, o operation, target string, changes ...with) reply {
	t.Helper()
	text, media := o.example(t)
	var body any
	if text != "" {
		body, changes = text, append([]with{mediaType(media)}, changes...)
	}
	if o.needs() == middleware.AccessClerk {
		changes = append([]with{w.signedBy(t, testhooks.Secret, "msg_sweep", []byte(text))}, changes...)
	}
	return w.do(t, o.method, target, body, changes...)
}

// sweep calls try for each operation that has a route and documents the status,
// with a target that exists. Operations without a route fail
// TestTheDocumentAndTheRoutesNameTheSameOperations.
func sweep(t *testing.T, w *world, status int, try func(t *testing.T, o operation, target string)) {
	t.Helper()
	own := w.me(t, w.person())
	swept := 0
	for _, o := range theDocument().operations {
		if !o.documents(status) || !theDocument().routed[o.String()] {
			continue
		}
		swept++
		t.Run(strconv.Itoa(status)+" "+o.String(), func(t *testing.T) { try(t, o, o.target(own["handle"].(string), own["id"].(string))) })
	}
	if swept == 0 {
		t.Errorf("no operation documents %d", status)
	}
}

// Each generic refusal, of each operation that documents it and of no other.
func TestSweepOfRefusals(t *testing.T) {
	w := newWorld(t, func(d *Deps) {
		d.AllowedHosts, d.RequireHTTPS = []string{"example.com"}, true
		d.TrustedProxies = middleware.Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	})
	admin, plain, suspended := w.person(adminRole), w.person(), w.person(adminRole)
	w.me(t, suspended)
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE clerk_user_id = $1", suspended.id)
	plainHTTP := func(r *http.Request) { r.RemoteAddr = "10.0.0.1:1"; r.Header.Set("X-Forwarded-Proto", "http") }

	sweep(t, w, 401, func(t *testing.T, o operation, target string) {
		w.send(t, o, target, bearer("bad")).problem(t, 401, domain.CodeUnauthenticated)
		expired := w.person(lifetime(time.Minute), adminRole)
		w.clock.Advance(2 * time.Minute)
		w.send(t, o, target, expired.is()).problem(t, 401, domain.CodeTokenExpired)
		w.clock.Advance(-2 * time.Minute)
		if o.needs() != middleware.AccessPublic {
			w.send(t, o, target).problem(t, 401, domain.CodeUnauthenticated)
		}
	})
	sweep(t, w, 403, func(t *testing.T, o operation, target string) {
		w.send(t, o, target, admin.is(), plainHTTP).problem(t, 403, domain.CodeForbidden)
		if o.needs() == middleware.AccessAdmin {
			w.send(t, o, target, plain.is()).problem(t, 403, domain.CodeForbidden)
		}
		if o.needs() == middleware.AccessAdmin || o.needs() == middleware.AccessAccount {
			w.send(t, o, target, suspended.is()).problem(t, 403, domain.CodeAccountSuspended)
		}
	})
	sweep(t, w, 406, func(t *testing.T, o operation, target string) {
		w.send(t, o, target, admin.is(), header("Accept", "text/html")).problem(t, 406, domain.CodeNotAcceptable)
	})
	sweep(t, w, 413, func(t *testing.T, o operation, target string) {
		w.do(t, o.method, target, o.tooLarge(), admin.is()).problem(t, 413, domain.CodePayloadTooLarge)
	})
	sweep(t, w, 415, func(t *testing.T, o operation, target string) {
		got := w.send(t, o, target, admin.is(), mediaType("text/plain")).problem(t, 415, domain.CodeUnsupportedMediaType)
		if patch := got.header.Get("Accept-Patch"); (patch != "") != (o.method == http.MethodPatch) {
			t.Errorf("Accept-Patch is %q", patch)
		}
		w.send(t, o, target, admin.is(), header("Content-Encoding", "gzip")).problem(t, 415, domain.CodeUnsupportedMediaType)
	})
	sweep(t, w, 421, func(t *testing.T, o operation, target string) {
		w.send(t, o, target, hostName("evil.example")).problem(t, 421, domain.CodeMisdirectedRequest)
	})
	w.limiter.script(refuse)
	defer w.limiter.script(nil)
	for _, o := range theDocument().operations {
		if o.documents(429) && theDocument().routed[o.String()] {
			w.send(t, o, o.target("ada_l", "1"), plain.is(), header("Svix-Signature")).problem(t, 429, domain.CodeRateLimited)
		}
	}
}

// panickingVerifier is a bug in the middle of the chain.
type panickingVerifier struct{}

func (panickingVerifier) Verify(context.Context, string) (domain.Principal, error) { panic("a bug") }

func TestSweepOfFaults(t *testing.T) {
	worlds := map[int]*world{
		500: newWorld(t, func(d *Deps) { d.Verifier, d.Inbox = panickingVerifier{}, usecase.NewInbox(usecase.InboxDeps{}) }),
		503: newWorld(t, func(d *Deps) { d.Verifier = awayVerifier{} }),
		504: newWorld(t, func(d *Deps) {
			d.Verifier, d.RequestTimeout, d.AdminRequestTimeout = stuckVerifier{}, 20*time.Millisecond, 20*time.Millisecond
		}),
	}
	codes := map[int]domain.Code{500: domain.CodeInternal, 503: domain.CodeUnavailable, 504: domain.CodeTimeout}
	for status, w := range worlds {
		for _, o := range theDocument().operations {
			if !o.documents(status) || !theDocument().routed[o.String()] || status == 503 && o.needs() == middleware.AccessOpen ||
				status != 500 && o.needs() == middleware.AccessClerk {
				continue // what is open asks no verifier; its 503 is about the database, as are those of Clerk's route
			}
			t.Run(strconv.Itoa(status)+" "+o.String(), func(t *testing.T) {
				w.send(t, o, o.target("ada_l", "019c0b1e-4f6a-7c3d-8e21-5b7f9a0c1d2e"), bearer("any")).problem(t, status, codes[status])
			})
		}
	}
}

// Without its database every operation that documents a 503 answers one, and no other fails.
func TestSweepWithoutTheDatabase(t *testing.T) {
	w := newWorld(t)
	admin := w.person(adminRole)
	own := w.me(t, admin)
	w.takeDatabaseAway(t)
	w.clock.Advance(2 * time.Second) // what the health checks remember is over
	for _, o := range theDocument().operations {
		if !theDocument().routed[o.String()] {
			continue
		}
		t.Run(o.String(), func(t *testing.T) {
			got := w.send(t, o, o.target(own["handle"].(string), own["id"].(string)), admin.is())
			if want := o.documents(503); want != (got.status == 503) || !want && got.status != 200 {
				t.Errorf("%d, and 503 is documented: %v", got.status, want)
			}
		})
	}
}

// takeDatabaseAway lets the database refuse and end every connection.
func (w *world) takeDatabaseAway(t *testing.T) {
	t.Helper()
	config, err := pgx.ParseConfig(w.url)
	must(t, err)
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" ALLOW_CONNECTIONS false")
	must(t, err)
	_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
	must(t, err)
}

// What has an ETag answers 304 to it, and the document tells of both.
func TestSweepOfConditionalReads(t *testing.T) {
	w := newWorld(t)
	admin := w.person(adminRole)
	sweep(t, w, 304, func(t *testing.T, o operation, target string) {
		first := w.send(t, o, target, admin.is()).want(t, 200)
		w.send(t, o, target, admin.is(), header("If-None-Match", first.header.Get("ETag"))).want(t, 304)
		w.send(t, o, target, admin.is(), header("If-None-Match", `"other"`)).want(t, 200)
	})
}

// HEAD is not written per path, and works wherever GET does.
func TestSweepOfHead(t *testing.T) {
	w := newWorld(t)
	admin := w.person(adminRole)
	sweep(t, w, 200, func(t *testing.T, o operation, target string) {
		if o.method != http.MethodGet {
			return
		}
		get, head := w.send(t, o, target, admin.is()).want(t, 200), w.do(t, "HEAD", target, nil, admin.is()).want(t, 200)
		for _, name := range []string{"Content-Type", "ETag", "Cache-Control"} {
			if get.header.Get(name) != head.header.Get(name) {
				t.Errorf("%s is %q for GET and %q for HEAD", name, get.header.Get(name), head.header.Get(name))
			}
		}
	})
}

// A method that the document does not have for a path is 405, with those that it has.
func TestSweepOfMethods(t *testing.T) {
	w := newWorld(t)
	d := theDocument()
	for path, item := range d.spec.Paths.Map() {
		var known []string
		for method := range item.Operations() {
			if d.routed[method+" "+path] {
				known = append(known, method)
			}
		}
		if len(known) == 0 {
			continue
		}
		allow := w.do(t, "PUT", operation{path: path, Operation: &openapi3.Operation{}}.target("ada_l", "1"), nil).problem(t, 405, domain.CodeMethodNotAllowed).header.Get("Allow")
		for _, method := range known {
			if !slices.Contains(strings.Split(allow, ", "), method) {
				t.Errorf("%s: Allow is %q, without %s", path, allow, method)
			}
		}
	}
}
