package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// killWorkers ends every connection that is within a transaction, as a crash of
// the process would, and waits until the server has noticed.
func (w *world) killWorkers(t *testing.T) {
	t.Helper()
	w.sql(t, `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'`)
}

// retry is what a client does after a failure: the same once more, with success.
// Exactly one effect and one kept answer must be there afterwards.
func (w *effectWorld) retry(t *testing.T, p person) {
	t.Helper()
	w.wantEffects(t, 0)
	w.wantRecords(t, 0)
	w.before, w.after = nil, nil
	id := w.post(t, p, "k").whole(t, false)
	if again := w.post(t, p, "k").whole(t, true); again != id {
		t.Errorf("%s after %s", again, id)
	}
	w.wantEffects(t, 1)
	w.wantRecords(t, 1)
}

// half writes a part of an answer that must never be seen.
func half(c echo.Context) error {
	h := c.Response().Header()
	h.Set("X-Half", "done")
	h.Set("Cache-Control", "public, max-age=1")
	c.Response().WriteHeader(http.StatusAccepted)
	_, err := io.WriteString(c.Response(), `{"half":`)
	return err
}

func (r reply) wantNothingOfHalf(t *testing.T) {
	t.Helper()
	if r.header.Get("X-Half") != "" || strings.Contains(r.body, "half") || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("two answers are mixed: %v %s", r.header, r.body)
	}
}

// An error of the handler undoes its work, goes on as without a key, and frees the key.
func TestAFailedRequestMayBeSentAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   domain.Code
	}{
		{"conflict", domain.NewError(domain.Conflict, domain.CodeConflict, "m"), 409, domain.CodeConflict},
		{"precondition", domain.NewError(domain.PreconditionFailed, domain.CodePreconditionFailed, "m"), 412, domain.CodePreconditionFailed},
		{"unknown", errors.New("a fault"), 500, domain.CodeInternal},
		{"router's", echo.ErrNotFound, 404, domain.CodeNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newEffectWorld(t)
			p := w.person()
			w.after = func(c2 echo.Context, _ int32) error {
				must(t, half(c2))
				c2.Response().Header().Set("Accept-Post", "application/json")
				return c.err
			}
			got := w.post(t, p, "k").problem(t, c.status, c.code)
			if strings.Contains(got.body, "half") || got.header.Get("Accept-Post") != "application/json" {
				t.Errorf("%v %s", got.header, got.body)
			}
			if lines := w.log.lines(t, "request"); len(lines) != 1 || lines[0]["status"] != float64(c.status) {
				t.Errorf("access log: %v", lines)
			}
			w.retry(t, p)
		})
	}
}

func TestAPanicLeavesNothing(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	w.after = func(c echo.Context, _ int32) error {
		must(t, half(c))
		panic("a bug")
	}
	w.post(t, p, "k").problem(t, 500, domain.CodeInternal).wantNothingOfHalf(t)
	w.retry(t, p)
}

// What ends with the request's deadline is 504, rolled back and not kept, even
// when the handler itself noticed nothing.
func TestADeadlineLeavesNothing(t *testing.T) {
	w := newEffectWorld(t)
	short := w.deps
	p := w.person()
	w.me(t, p)
	w.after = func(c echo.Context, _ int32) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), time.Millisecond)
		defer cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	w.post(t, p, "k").problem(t, 504, domain.CodeTimeout)
	w.wantEffects(t, 0)

	// The whole request's deadline, which comes when the work is done and the commit is not.
	short.RequestTimeout = time.Second
	slow := &effectWorld{world: w.world, audit: w.audit}
	slow.after = func(c echo.Context, _ int32) error {
		<-c.Request().Context().Done()
		return nil
	}
	long := w.api
	w.api = serverOf(short, append(routes(short), slow.route()))
	for slow.runs.Load() == 0 { // a machine under load may not come as far as the handler
		w.post(t, p, "k").problem(t, 504, domain.CodeTimeout)
	}
	w.api = long
	w.retry(t, p)
}

// A request that cannot be read is refused before anything is locked, and a
// body of the largest size comes through whole.
func TestBodiesUnderAKey(t *testing.T) {
	w := newEffectWorld(t, func(d *Deps) { d.MaxBodyBytes = 10 })
	p := w.person()
	send := func(body any) reply { return w.do(t, "POST", effects, body, p.is(), idempotencyKeyed("k")) }
	send(strings.Repeat("x", 11)).problem(t, 413, domain.CodePayloadTooLarge)
	send(io.MultiReader(strings.NewReader(strings.Repeat("x", 11)))).problem(t, 413, domain.CodePayloadTooLarge) // of no declared length
	send(io.MultiReader(strings.NewReader("x"), brokenReader{})).problem(t, 400, domain.CodeMalformedRequest)
	if w.runs.Load() != 0 {
		t.Errorf("%d runs", w.runs.Load())
	}
	for range 2 {
		if got := send(strings.Repeat("x", 10)).want(t, 201).object(t); got["read"] != strings.Repeat("x", 10) {
			t.Errorf("read %v", got["read"])
		}
	}
	w.wantEffects(t, 1)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A handler may answer without success and without an error. That is sent, not kept.
func TestOnlySuccessIsKept(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	route := w.route()
	route.Handler = func(c echo.Context) error {
		c.Response().Header().Set("Content-Type", mimeProblem) // what every answer from 400 on is checked for
		return c.NoContent([]int{303, 404, 204, 500}[w.runs.Add(1)-1])
	}
	w.api = serverOf(w.deps, append(routes(w.deps), route))
	for _, want := range []int{303, 404, 204, 204} { // the last is a repeat
		w.post(t, p, "k").want(t, want)
	}
	w.wantRecords(t, 1)
}

// A deadlock repeats the handler: from the start of the body, with nothing of
// the first run in the answer, and with one effect.
func TestARepeatedTransactionGivesOneAnswer(t *testing.T) {
	for name, lose := range map[string]func(*effectWorld, *testing.T) error{
		"deadlock":               func(*effectWorld, *testing.T) error { return &pgconn.PgError{Code: "40P01"} },
		"connection that is cut": func(w *effectWorld, t *testing.T) error { w.killWorkers(t); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newEffectWorld(t)
			p := w.person()
			w.after = func(c echo.Context, run int32) error {
				if run > 1 {
					return nil
				}
				return errors.Join(half(c), lose(w, t))
			}
			got := w.post(t, p, "k")
			id := got.whole(t, false)
			got.wantNothingOfHalf(t)
			if w.runs.Load() != 2 {
				t.Errorf("%d runs", w.runs.Load())
			}
			if again := w.post(t, p, "k").whole(t, true); again != id {
				t.Errorf("%s after %s", again, id)
			}
			w.wantEffects(t, 1)
			w.wantRecords(t, 1)
		})
	}
}

// The process dies, which the database sees as its connections' end: during the
// handler, whenever it runs, and between the last statement and the commit.
func TestACrashLeavesNeitherEffectNorRecord(t *testing.T) {
	t.Run("in the handler", func(t *testing.T) {
		w := newEffectWorld(t)
		p := w.person()
		w.after = func(c echo.Context, _ int32) error {
			w.killWorkers(t)
			return nil
		}
		w.post(t, p, "k").problem(t, 503, domain.CodeUnavailable)
		if w.runs.Load() != 2 {
			t.Errorf("%d runs", w.runs.Load())
		}
		w.retry(t, p)
	})
	t.Run("before the commit", func(t *testing.T) {
		crash := &crashingStore{}
		w := newEffectWorld(t, func(d *Deps) { d.Idempotency = nil })
		crash.IdempotencyStore, crash.then = postgres.NewIdempotency(w.db), func() { w.killWorkers(t) }
		w.deps.Idempotency = idempotencyOver(w.db, crash, w.clock)
		w.api = serverOf(w.deps, append(routes(w.deps), w.route()))
		p := w.person()
		w.post(t, p, "k").problem(t, 503, domain.CodeUnavailable)
		if w.runs.Load() != 1 { // whether it was committed cannot be known: not repeated by us
			t.Errorf("%d runs", w.runs.Load())
		}
		crash.then = func() {}
		w.retry(t, p)
	})
}

// crashingStore does something right after it stored a response.
type crashingStore struct {
	usecase.IdempotencyStore
	then func()
}

func (s *crashingStore) Put(ctx context.Context, r domain.IdempotencyRecord) error {
	err := s.IdempotencyStore.Put(ctx, r)
	s.then()
	return err
}

// The commit succeeds and its answer gets lost: the client hears of a failure,
// asks again, and gets the answer of what was done.
func TestACommitThatSeemedToFailIsFoundAgain(t *testing.T) {
	w := newEffectWorld(t)
	lossy := &lossyTx{UnitOfWork: w.db, lose: true}
	w.deps.Idempotency = idempotencyOver(lossy, postgres.NewIdempotency(w.db), w.clock)
	w.api = serverOf(w.deps, append(routes(w.deps), w.route()))
	p := w.person()
	w.after = func(c echo.Context, _ int32) error {
		c.Response().Header().Set("X-Half", "done")
		return nil
	}
	w.post(t, p, "k").problem(t, 503, domain.CodeUnavailable).wantNothingOfHalf(t)
	w.wantEffects(t, 1)
	lossy.lose = false
	w.post(t, p, "k").whole(t, true)
	if w.runs.Load() != 1 {
		t.Errorf("%d runs", w.runs.Load())
	}
	w.wantEffects(t, 1)
}

type lossyTx struct {
	usecase.UnitOfWork
	lose bool
}

func (l *lossyTx) WithinTx(ctx context.Context, fn func(context.Context) error) error {
	err := l.UnitOfWork.WithinTx(ctx, fn)
	if err == nil && l.lose {
		return domain.UnavailableError(io.EOF, time.Second)
	}
	return err
}

// A client that leaves before the commit has changed nothing.
func TestAClientThatLeavesBeforeTheCommitChangesNothing(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	w.me(t, p)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	w.after = func(echo.Context, int32) error {
		leave()
		return nil
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, effects, strings.NewReader(`{"a":1}`))
	p.is()(r)
	idempotencyKeyed("k")(r)
	rec := httptest.NewRecorder()
	func() {
		defer func() {
			if e, ok := recover().(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
				t.Errorf("recovered %v", e)
			}
		}()
		w.api.ServeHTTP(rec, r)
	}()
	if rec.Body.Len() != 0 {
		t.Errorf("answered %s", rec.Body)
	}
	w.retry(t, p)
}

// Without its database the service says so; it does not run the handler unguarded.
func TestAKeyIsNeverIgnored(t *testing.T) {
	w := newEffectWorld(t)
	p := w.person()
	w.post(t, p, "k").whole(t, false)
	w.sql(t, "ALTER TABLE idempotency_keys RENAME TO elsewhere")
	w.post(t, p, "k").problem(t, 503, domain.CodeUnavailable)
	w.sql(t, "INSERT INTO erased_identities VALUES ($1, now())", testHashes.Hash(domain.PurposeErasedIdentity, p.id))
	w.sql(t, "DELETE FROM profiles")
	w.do(t, "DELETE", "/v1/test/me", "", p.is(), idempotencyKeyed("k")).problem(t, 503, domain.CodeUnavailable)
	for _, method := range []string{"GET", "PATCH"} { // which take no key, and look nothing up
		w.do(t, method, effects, nil, p.is(), idempotencyKeyed("k")).problem(t, 401, domain.CodeAccountErased)
	}
	if w.runs.Load() != 1 {
		t.Errorf("%d runs", w.runs.Load())
	}
}
