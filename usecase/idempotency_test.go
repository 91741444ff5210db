package usecase_test

import (
	"context"
	"errors"
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// The behaviour itself is in internal/storetest, which also runs over PostgreSQL.
// Here: a failure of any step comes out as it is, leaves neither effect nor
// response behind, and the request may be sent again.
func TestAnIdempotentRequestIsAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, step := range []string{"idempotency.lock", "idempotency.find", "audit.append", "idempotency.put", "commit"} {
		s := fakestore.New()
		failing := true
		s.Fail = func(operation string) error {
			if failing && operation == step {
				return broken
			}
			return nil
		}
		audit := s.Deps(nil, domain.Pseudonymizer{}).Audit
		keys := usecase.NewIdempotency(s.IdempotencyDeps(storetest.NewClock(), storetest.Hashes))
		run := func() (domain.KeptResponse, bool, error) {
			req := usecase.IdempotentRequest{CallerID: "user_1", Key: "k", Method: "POST", Target: "/"}
			return keys.Run(t.Context(), req, func(ctx context.Context) (domain.KeptResponse, error) {
				e := domain.OwnAuditEvent("test.effect", domain.NewID(storetest.Now), domain.Caller{}, storetest.Hashes, nil, storetest.Now)
				return domain.KeptResponse{Status: 200}, audit.Append(ctx, e)
			})
		}
		if resp, replayed, err := run(); !errors.Is(err, broken) || replayed || resp.Status != 0 {
			t.Errorf("%s: %+v, %v, %v", step, resp, replayed, err)
		}
		if len(s.Events()) != 0 || len(s.Kept()) != 0 {
			t.Errorf("%s: left %d events, %d responses", step, len(s.Events()), len(s.Kept()))
		}
		failing = false
		if _, replayed, err := run(); replayed || err != nil || len(s.Events()) != 1 || len(s.Kept()) != 1 {
			t.Errorf("%s: afterwards %v, %v, %d events, %d responses", step, replayed, err, len(s.Events()), len(s.Kept()))
		}
	}
}

func TestReplayTakesNoFailureForNothingKept(t *testing.T) {
	broken := errors.New("broken")
	s := fakestore.New()
	s.Fail = func(operation string) error {
		if operation == "idempotency.find" {
			return broken
		}
		return nil
	}
	keys := usecase.NewIdempotency(s.IdempotencyDeps(storetest.NewClock(), storetest.Hashes))
	if _, ok, err := keys.Replay(t.Context(), usecase.IdempotentRequest{}); ok || !errors.Is(err, broken) {
		t.Errorf("%v, %v", ok, err)
	}
}

// Whoever has no account any more hears again what names nobody, and no more.
func TestReplayKeepsProfilesFromTheErased(t *testing.T) {
	s := fakestore.New()
	keys := usecase.NewIdempotency(s.IdempotencyDeps(storetest.NewClock(), storetest.Hashes))
	subject := domain.NewID(storetest.Now)
	for key, of := range map[string]*string{"erasure": nil, "suspension": &subject} {
		req := usecase.IdempotentRequest{CallerID: "user_1", Key: key, Method: "POST", Target: "/"}
		_, _, err := keys.Run(t.Context(), req, func(context.Context) (domain.KeptResponse, error) {
			return domain.KeptResponse{Status: 200, SubjectProfileID: of}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if resp, ok, err := keys.Replay(t.Context(), req); ok != (of == nil) || err != nil || resp.SubjectProfileID != nil {
			t.Errorf("%s: %+v, %v, %v", key, resp, ok, err)
		}
	}
}
