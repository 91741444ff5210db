package usecase

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/profile-api/profile-api/domain"
)

// IdempotencyDeps is what [Idempotency] needs. All fields are required.
type IdempotencyDeps struct {
	Tx     UnitOfWork
	Store  IdempotencyStore
	Clock  Clock
	Hashes domain.Pseudonymizer
}

// Idempotency gives the repeats of a request the answer of the first one, and
// its effect no second time.
type Idempotency struct{ deps IdempotencyDeps }

// NewIdempotency builds the use case.
func NewIdempotency(deps IdempotencyDeps) *Idempotency { return &Idempotency{deps} }

// IdempotentRequest is a request that carries an Idempotency-Key.
type IdempotentRequest struct {
	CallerID string // Clerk id of who asks; keys of different people never meet
	Key      string // by the rule of [domain.ValidIdempotencyKey]
	Method   string
	Target   string // path, and query if any, as sent
	Body     []byte
}

// Run does the work once for a caller and a key, or gives the response that is
// kept, with replayed true. The work joins the transaction that its context
// carries, and its response, when it is one of success (2xx), is stored in that
// same transaction: either both are there afterwards or neither is. An error of
// the work undoes all and comes out as it is.
//
// The work may be run again after it was rolled back (see [UnitOfWork]), so it
// must begin anew each time; what it did counts only when Run returns without an error.
// Errors: request-in-progress (409), idempotency-key-reused (422).
func (s *Idempotency) Run(
	ctx context.Context, req IdempotentRequest, work func(ctx context.Context) (domain.KeptResponse, error),
) (resp domain.KeptResponse, replayed bool, err error) {
	err = s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		locked, err := s.deps.Store.TryLock(ctx, s.keyHashes(req))
		if err != nil {
			return err
		}
		if !locked {
			return domain.RequestInProgress()
		}
		now := s.deps.Clock.Now()
		kept, err := s.deps.Store.Find(ctx, s.keyHashes(req), now) // after the lock: whoever had it has committed
		switch {
		case err == nil && !s.same(kept, req):
			return domain.IdempotencyKeyReused()
		case err == nil:
			resp, replayed = kept.KeptResponse, true
			return nil
		case !errors.Is(err, domain.NotFound):
			return err
		}
		if resp, err = work(ctx); err != nil || !success(resp.Status) {
			return err
		}
		record := domain.NewIdempotencyRecord(s.keyHashes(req)[0], s.requestHashes(req)[0], resp, now)
		return s.deps.Store.Put(ctx, record)
	})
	if err != nil {
		return domain.KeptResponse{}, false, err
	}
	return resp, replayed, nil
}

// Replay gives the kept response to a repeat of the same request, for callers
// that may do nothing else any more; ok is false when there is none, or one that
// tells of somebody's profile: that is not for them to read any more.
func (s *Idempotency) Replay(ctx context.Context, req IdempotentRequest) (resp domain.KeptResponse, ok bool, err error) {
	kept, err := s.deps.Store.Find(ctx, s.keyHashes(req), s.deps.Clock.Now())
	switch {
	case errors.Is(err, domain.NotFound), err == nil && (!s.same(kept, req) || kept.SubjectProfileID != nil):
		return domain.KeptResponse{}, false, nil
	case err != nil:
		return domain.KeptResponse{}, false, err
	}
	return kept.KeptResponse, true, nil
}

func success(status int) bool { return status >= 200 && status <= 299 }

// keyHashes and requestHashes try the older keys too, so that a rotation
// between the first request and its repeat does no harm. No part but the last
// can hold a NUL, so no two requests read alike.
func (s *Idempotency) keyHashes(req IdempotentRequest) []string {
	return s.deps.Hashes.Candidates(domain.PurposeIdempotencyKey, req.CallerID+"\x00"+req.Key)
}

func (s *Idempotency) requestHashes(req IdempotentRequest) []string {
	return s.deps.Hashes.Candidates(domain.PurposeIdempotentRequest, strings.Join([]string{req.Method, req.Target, string(req.Body)}, "\x00"))
}

func (s *Idempotency) same(kept *domain.IdempotencyRecord, req IdempotentRequest) bool {
	return slices.Contains(s.requestHashes(req), kept.RequestHash)
}
