package rest

import (
	"cmp"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// effectWorld is a world with routes of the test's own, whose handlers each
// leave one audit event behind.
type effectWorld struct {
	*world
	audit *postgres.AuditLog
	runs  atomic.Int32
	// before and after run in the handler, around its effect; set them before a request.
	before, after func(c echo.Context, run int32) error
}

func newEffectWorld(t *testing.T, change ...func(*Deps)) *effectWorld {
	t.Helper()
	w := &effectWorld{world: newWorld(t, change...)}
	w.audit = postgres.NewAuditLog(w.db)
	account, admin := middleware.AccessAccount, middleware.AccessAdmin
	w.api = serverOf(w.deps, append(routes(w.deps),
		w.route(),
		middleware.Route{Method: http.MethodDelete, Template: "/v1/test/effects/:name", Access: account, Idempotent: true, Handler: w.effect},
		middleware.Route{Method: http.MethodGet, Template: "/v1/test/effects/:name", Access: account, Handler: w.effect},
		middleware.Route{Method: http.MethodPatch, Template: "/v1/test/effects/:name", Access: account, Handler: w.effect},
		middleware.Route{Method: http.MethodPost, Template: "/v1/test/admin", Access: admin, Idempotent: true, Handler: w.effect},
		middleware.Route{Method: http.MethodPost, Template: "/v1/test/anyone", Access: middleware.AccessPublic, Idempotent: true, Handler: w.anyone},
		middleware.Route{Method: http.MethodDelete, Template: "/v1/test/me", Access: account, Idempotent: true, ErasesCaller: true, Handler: w.eraseMe},
	))
	return w
}

// route is the one that [effectWorld.post] asks.
func (w *effectWorld) route() middleware.Route {
	return middleware.Route{
		Method: http.MethodPost, Template: "/v1/test/effects/:name", Access: middleware.AccessAccount, Idempotent: true, Handler: w.effect,
	}
}

// effect answers 201 with an id that no other run has, and with the body as it read it.
func (w *effectWorld) effect(c echo.Context) error {
	run := w.runs.Add(1)
	s := middleware.StateOf(c)
	if w.before != nil {
		if err := w.before(c, run); err != nil {
			return err
		}
	}
	e := domain.OwnAuditEvent("test.effect", s.Profile.ID, s.Caller(), testHashes, nil, w.clock.Now())
	if err := w.audit.Append(c.Request().Context(), e); err != nil {
		return err
	}
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("ETag", `"`+e.ID+`"`)
	h.Set("Location", "/v1/test/effects/"+e.ID)
	h.Set("X-Of-The-Run", e.ID)
	s.SubjectProfileID = s.Profile.ID
	if w.after != nil {
		if err := w.after(c, run); err != nil {
			return err
		}
	}
	return writeJSON(c, http.StatusCreated, echo.MIMEApplicationJSON, map[string]string{"effect": e.ID, "read": string(body)})
}

func (w *effectWorld) anyone(c echo.Context) error {
	w.runs.Add(1)
	return c.NoContent(http.StatusNoContent)
}

// eraseMe erases the caller as far as this test needs it.
func (w *effectWorld) eraseMe(c echo.Context) error {
	w.runs.Add(1)
	s, ctx := middleware.StateOf(c), c.Request().Context()
	if err := postgres.NewIdentities(w.db).MarkErased(ctx, testHashes.Hash(domain.PurposeErasedIdentity, s.Principal.UserID), w.clock.Now()); err != nil {
		return err
	}
	if err := postgres.NewProfiles(w.db).Delete(ctx, s.Profile.ID); err != nil {
		return err
	}
	return writeJSON(c, http.StatusAccepted, echo.MIMEApplicationJSON, map[string]string{"id": s.Profile.ID})
}

const effects = "/v1/test/effects/a"

func idempotencyKeyed(key string) with { return header("Idempotency-Key", key) }

// post asks for an effect under a key; none when it is empty.
func (w *effectWorld) post(t *testing.T, p person, key string, changes ...with) reply {
	t.Helper()
	changes = append([]with{p.is()}, changes...)
	if key != "" {
		changes = append(changes, idempotencyKeyed(key))
	}
	return w.do(t, http.MethodPost, effects, `{"a":1}`, changes...)
}

func (w *effectWorld) wantEffects(t *testing.T, n int64) {
	t.Helper()
	if got := w.count(t, "SELECT count(*) FROM audit_events WHERE action = 'test.effect'"); got != n {
		t.Errorf("%d effects, want %d", got, n)
	}
}

func (w *effectWorld) wantRecords(t *testing.T, n int64) {
	t.Helper()
	if got := w.count(t, "SELECT count(*) FROM idempotency_keys"); got != n {
		t.Errorf("%d responses are kept, want %d", got, n)
	}
}

// whole fails unless every part of the answer is of one and the same run.
func (r reply) whole(t *testing.T, replayed bool) string {
	t.Helper()
	m := r.want(t, http.StatusCreated).object(t)
	id, _ := m["effect"].(string)
	if wantNames(t, m, "effect", "read"); id == "" || m["read"] != `{"a":1}` {
		t.Errorf("body %s", r.body)
	}
	want := map[string]string{"ETag": `"` + id + `"`, "Location": "/v1/test/effects/" + id, "Content-Type": "application/json"}
	if want["X-Of-The-Run"] = id; replayed {
		want["X-Of-The-Run"], want["Idempotency-Replayed"] = "", "true"
	}
	want["Idempotency-Replayed"] = cmp.Or(want["Idempotency-Replayed"], "")
	for name, value := range want {
		if got := r.header.Get(name); got != value || len(r.header.Values(name)) > 1 {
			t.Errorf("%s is %q, want %q", name, r.header.Values(name), value)
		}
	}
	return id
}

// idempotencyOver is the use case over the database with another port in between.
func idempotencyOver(tx usecase.UnitOfWork, store usecase.IdempotencyStore, clock usecase.Clock) *usecase.Idempotency {
	return usecase.NewIdempotency(usecase.IdempotencyDeps{Tx: tx, Store: store, Clock: clock, Hashes: testHashes})
}
