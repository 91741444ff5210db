package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// OpenIdempotency makes an empty store; the suite gives it clock and hashes.
type OpenIdempotency func(t *testing.T) (usecase.IdempotencyDeps, usecase.AuditLog, func(*testing.T) []domain.AuditEvent)

// Idempotency runs the contract of IdempotencyStore, and the behaviour of the
// use case over it.
func Idempotency(t *testing.T, open OpenIdempotency) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, *idempotencyWorld){
		"round trip": keptRoundTrip, "expiry": keptExpiry, "lock": keptLock, "erasure": keptErasure, "purge": keptPurge,
		"repeats": repeats, "rotation": repeatsAcrossRotation, "failures": failuresAreNotKept, "after a day": repeatsAfterADay,
		"many at once": repeatsAtOnce, "different keys at once": keysAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			w := &idempotencyWorld{clock: NewClock()}
			w.IdempotencyDeps, w.audit, w.events = open(t)
			w.Clock, w.Hashes = w.clock, Hashes
			w.Idempotency = usecase.NewIdempotency(w.IdempotencyDeps)
			suite(t, w)
		})
	}
}

type idempotencyWorld struct {
	usecase.IdempotencyDeps
	*usecase.Idempotency
	audit  usecase.AuditLog
	events func(*testing.T) []domain.AuditEvent
	clock  *Clock
}

func keptRecord(key string, subject *string) domain.IdempotencyRecord {
	return domain.NewIdempotencyRecord(key, "request of "+key, domain.KeptResponse{
		Status: 201, Header: map[string]string{"Content-Type": "application/json", "ETag": `"v1"`},
		Body: []byte("{\"a\":\"é\x00\xff\"}"), SubjectProfileID: subject,
	}, Now)
}

// found gives the record under one of the keys, nil when there is none.
func (w *idempotencyWorld) found(t *testing.T, at time.Time, keys ...string) *domain.IdempotencyRecord {
	t.Helper()
	r, err := w.Store.Find(background(t), keys, at)
	if err != nil {
		wantKind(t, err, domain.NotFound, domain.CodeNotFound)
		return nil
	}
	return r
}

func keptRoundTrip(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	subject := domain.NewID(Now)
	whole, bare := keptRecord("whole", &subject), domain.NewIdempotencyRecord("bare", "r", domain.KeptResponse{Status: 204}, Now)
	for _, want := range []domain.IdempotencyRecord{whole, bare} {
		must(t, w.Store.Put(ctx, want))
		if got := w.found(t, Now, "other", want.KeyHash); got == nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	if r := w.found(t, Now, "neither", "nor"); r != nil {
		t.Errorf("found %+v", r)
	}
	later := keptRecord("later", nil) // a rotation may leave two
	later.CreatedAt = Now.Add(time.Second)
	must(t, w.Store.Put(ctx, later))
	for _, keys := range [][]string{{"later", "whole"}, {"whole", "later"}} {
		if r := w.found(t, Now, keys...); r == nil || r.KeyHash != "later" {
			t.Errorf("under %v: %+v", keys, r)
		}
	}
}

func keptExpiry(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	first := keptRecord("k", nil)
	must(t, w.Store.Put(ctx, first))
	end := Now.Add(24 * time.Hour)
	if w.found(t, end.Add(-time.Microsecond), "k") == nil {
		t.Error("gone before its time")
	}
	if w.found(t, end, "k") != nil {
		t.Error("still there at the end")
	}
	again := domain.NewIdempotencyRecord("k", "another request", domain.KeptResponse{Status: 200}, end.Add(-time.Microsecond))
	wantKind(t, w.Store.Put(ctx, again), domain.Conflict, domain.CodeConflict)
	if r := w.found(t, Now, "k"); r == nil || r.RequestHash != first.RequestHash {
		t.Errorf("replaced before its time: %+v", r)
	}
	again = domain.NewIdempotencyRecord("k", "another request", domain.KeptResponse{Status: 200}, end)
	must(t, w.Store.Put(ctx, again))
	if r := w.found(t, end, "k"); r == nil || !reflect.DeepEqual(*r, again) {
		t.Errorf("not replaced: %+v", r)
	}
}

// Who has the lock may ask for it again; it ends with the transaction. That
// others are refused meanwhile is shown where transactions run side by side.
func keptLock(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	for range 2 {
		must(t, w.Tx.WithinTx(ctx, func(ctx context.Context) error {
			for range 2 {
				if locked, err := w.Store.TryLock(ctx, []string{"a", "b"}); !locked || err != nil {
					t.Errorf("%v, %v", locked, err)
				}
			}
			return nil
		}))
	}
}

func keptErasure(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	me, other := domain.NewID(Now), domain.NewID(Now)
	for key, subject := range map[string]*string{"mine": &me, "mine too": &me, "theirs": &other, "nobody's": nil} {
		must(t, w.Store.Put(ctx, keptRecord(key, subject)))
	}
	responses, ok := w.Store.(usecase.StoredResponses)
	if !ok {
		t.Fatal("the store does not know whom its responses tell of")
	}
	for at, want := range map[time.Time]string{Now: "[mine mine too]", Now.Add(domain.IdempotencyKept): "[]"} {
		list, err := responses.BySubject(ctx, me, at)
		must(t, err)
		keys := []string{}
		for _, r := range list {
			keys = append(keys, r.KeyHash)
		}
		if fmt.Sprint(keys) != want {
			t.Errorf("of the subject at %s: %v, want %s", at, keys, want)
		}
	}
	must(t, responses.DeleteBySubject(ctx, me))
	must(t, responses.DeleteBySubject(ctx, me)) // none is no error
	for key, kept := range map[string]bool{"mine": false, "mine too": false, "theirs": true, "nobody's": true} {
		if r := w.found(t, Now, key); (r != nil) != kept {
			t.Errorf("%s: %+v", key, r)
		}
	}
}

func keptPurge(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	for i := range 5 {
		must(t, w.Store.Put(ctx, keptRecord(fmt.Sprint("old", i), nil)))
	}
	fresh := domain.NewIdempotencyRecord("fresh", "r", domain.KeptResponse{Status: 200}, Now.Add(time.Second))
	must(t, w.Store.Put(ctx, fresh))
	end := Now.Add(24 * time.Hour)
	for i, want := range []int{2, 2, 1, 0} {
		if n, err := w.Store.PurgeExpired(ctx, end, 2); n != want || err != nil {
			t.Errorf("purge %d: %d, %v; want %d", i, n, err, want)
		}
	}
	if w.found(t, end, "fresh") == nil {
		t.Error("purged before its time")
	}
	w.clock.Advance(24*time.Hour + time.Second)
	purge := usecase.NewPurge(w.clock, usecase.PurgeTask{Name: "responses", Rows: w.Store})
	must(t, purge.Run(ctx))
	if w.found(t, Now, "fresh") != nil {
		t.Error("not purged when its time was over")
	}
	for i := range 2100 { // more than two batches
		must(t, w.Store.Put(ctx, keptRecord(fmt.Sprint("many", i), nil)))
	}
	must(t, purge.Run(ctx))
	if n, err := w.Store.PurgeExpired(ctx, w.clock.Now(), 1); n != 0 || err != nil {
		t.Errorf("%d left, %v", n, err)
	}
}

func idempotentRequest(caller, key string) usecase.IdempotentRequest {
	return usecase.IdempotentRequest{CallerID: caller, Key: key, Method: "POST", Target: "/v1/x?y=1", Body: []byte(`{"a":1}`)}
}

// effect is work that leaves one audit event, and an answer that nobody else gets.
func (w *idempotencyWorld) effect(t *testing.T) func(context.Context) (domain.KeptResponse, error) {
	t.Helper()
	return func(ctx context.Context) (domain.KeptResponse, error) {
		id := domain.NewID(w.clock.Now())
		e := domain.OwnAuditEvent("test.effect", id, domain.Caller{}, Hashes, nil, w.clock.Now())
		return domain.KeptResponse{Status: 201, Body: []byte(id)}, w.audit.Append(ctx, e)
	}
}

func (w *idempotencyWorld) wantEffects(t *testing.T, n int) {
	t.Helper()
	if got := len(w.events(t)); got != n {
		t.Errorf("%d effects, want %d", got, n)
	}
}

func repeats(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	req := idempotentRequest("user_1", "k")
	if _, ok, err := w.Replay(ctx, req); ok || err != nil {
		t.Errorf("before the first: %v, %v", ok, err)
	}
	first, replayed, err := w.Run(ctx, req, w.effect(t))
	if replayed || err != nil {
		t.Fatalf("%v, %v", replayed, err)
	}
	again, replayed, err := w.Run(ctx, req, w.effect(t))
	if !replayed || err != nil || string(again.Body) != string(first.Body) || again.Status != 201 {
		t.Errorf("%+v, %v, %v", again, replayed, err)
	}
	alone, ok, err := w.Replay(ctx, req)
	if !ok || err != nil || !reflect.DeepEqual(alone, again) {
		t.Errorf("%+v, %v, %v", alone, ok, err)
	}
	for name, change := range map[string]func(*usecase.IdempotentRequest){
		"method": func(r *usecase.IdempotentRequest) { r.Method = "DELETE" },
		"path":   func(r *usecase.IdempotentRequest) { r.Target = "/v1/z?y=1" },
		"query":  func(r *usecase.IdempotentRequest) { r.Target = "/v1/x?y=2" },
		"body":   func(r *usecase.IdempotentRequest) { r.Body = []byte(`{"a": 1}`) },
	} {
		other := req
		change(&other)
		_, _, err := w.Run(ctx, other, w.effect(t))
		wantKind(t, err, domain.Invalid, domain.CodeIdempotencyKeyReused)
		if _, ok, err := w.Replay(ctx, other); ok || err != nil {
			t.Errorf("another %s is replayed: %v, %v", name, ok, err)
		}
	}
	w.wantEffects(t, 1)
	for _, other := range []usecase.IdempotentRequest{idempotentRequest("user_2", "k"), idempotentRequest("user_1", "K")} {
		if _, replayed, err := w.Run(ctx, other, w.effect(t)); replayed || err != nil {
			t.Errorf("%s %s: %v, %v", other.CallerID, other.Key, replayed, err)
		}
	}
	w.wantEffects(t, 3)
}

// A repeat is known whichever of two replicas, before and after a rotation of the key, sees it.
func repeatsAcrossRotation(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	under := func(key string, fallbacks ...string) *usecase.Idempotency {
		d := w.IdempotencyDeps
		d.Hashes = domain.NewPseudonymizer(key, fallbacks...)
		return usecase.NewIdempotency(d)
	}
	before, after, without := under("old"), under("new", "old"), under("new")
	req := idempotentRequest("user_1", "k")
	_, _, err := before.Run(ctx, req, w.effect(t))
	must(t, err)
	if _, replayed, err := after.Run(ctx, req, w.effect(t)); !replayed || err != nil {
		t.Errorf("%v, %v", replayed, err)
	}
	other := req
	other.Body = nil
	_, _, err = after.Run(ctx, other, w.effect(t))
	wantKind(t, err, domain.Invalid, domain.CodeIdempotencyKeyReused)
	w.wantEffects(t, 1)
	if _, replayed, err := without.Run(ctx, req, w.effect(t)); replayed || err != nil {
		t.Errorf("known without the key: %v, %v", replayed, err)
	}
}

func failuresAreNotKept(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	req := idempotentRequest("user_1", "k")
	boom := errors.New("boom")
	_, _, err := w.Run(ctx, req, func(ctx context.Context) (domain.KeptResponse, error) {
		resp, err := w.effect(t)(ctx)
		return resp, errors.Join(err, boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("the work's error is lost: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		_, _, _ = w.Run(ctx, req, func(ctx context.Context) (domain.KeptResponse, error) {
			_, err := w.effect(t)(ctx)
			must(t, err)
			panic("panic")
		})
	}()
	w.wantEffects(t, 0)
	for _, status := range []int{199, 300, 404, 500} { // not by an error: the answer is the work's own
		resp, replayed, err := w.Run(ctx, req, func(context.Context) (domain.KeptResponse, error) {
			return domain.KeptResponse{Status: status}, nil
		})
		if resp.Status != status || replayed || err != nil {
			t.Errorf("%d: %+v, %v, %v", status, resp, replayed, err)
		}
	}
	other := req
	other.Body = nil // the key is as good as new
	if _, replayed, err := w.Run(ctx, other, w.effect(t)); replayed || err != nil {
		t.Errorf("%v, %v", replayed, err)
	}
	w.wantEffects(t, 1)
}

func repeatsAfterADay(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	req := idempotentRequest("user_1", "k")
	run := func() bool {
		t.Helper()
		_, replayed, err := w.Run(ctx, req, w.effect(t))
		must(t, err)
		return replayed
	}
	run()
	w.clock.Advance(24*time.Hour - time.Microsecond)
	if !run() {
		t.Error("forgotten too early")
	}
	w.clock.Advance(time.Microsecond)
	if _, ok, err := w.Replay(ctx, req); ok || err != nil {
		t.Errorf("replayed after a day: %v, %v", ok, err)
	}
	if run() {
		t.Error("replayed after a day")
	}
	w.clock.Advance(time.Hour)
	if !run() {
		t.Error("the second one is not kept")
	}
	w.wantEffects(t, 2)
}

func repeatsAtOnce(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	const callers = 20
	var effects, repeated, refused atomic.Int32
	var bodies sync.Map
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			resp, replayed, err := w.Run(ctx, idempotentRequest("user_1", "k"), w.effect(t))
			switch {
			case domain.HasCode(err, domain.CodeRequestInProgress) && errors.Is(err, domain.Conflict):
				refused.Add(1)
				return
			case err != nil:
				t.Error(err)
				return
			case replayed:
				repeated.Add(1)
			default:
				effects.Add(1)
			}
			bodies.Store(string(resp.Body), true)
		})
	}
	wg.Wait()
	different := 0
	bodies.Range(func(any, any) bool { different++; return true })
	if effects.Load() != 1 || effects.Load()+repeated.Load()+refused.Load() != callers || different != 1 {
		t.Errorf("%d did it, %d repeats, %d refused, %d answers", effects.Load(), repeated.Load(), refused.Load(), different)
	}
	w.wantEffects(t, 1)
}

func keysAtOnce(t *testing.T, w *idempotencyWorld) {
	ctx := background(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			req := idempotentRequest(fmt.Sprint("user_", i%5), fmt.Sprint("k", i/5))
			if _, replayed, err := w.Run(ctx, req, w.effect(t)); replayed || err != nil {
				t.Errorf("%v, %v", replayed, err)
			}
		})
	}
	wg.Wait()
	w.wantEffects(t, 20)
}
