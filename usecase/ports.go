// Package usecase holds what the application does, one file per capability.
// Its ports are the interfaces that the outside world must satisfy; use cases
// are concrete structs that the delivery layer calls directly.
package usecase

import (
	"context"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Clock tells the time. Tests set it.
type Clock interface {
	Now() time.Time
}

// TokenVerifier turns a bearer token into the person it stands for.
//
// It returns an error of kind [domain.Unauthenticated] for every token that is
// not accepted (code token-expired when expiry is the only fault), and of kind
// [domain.Unavailable] when no key set is at hand to judge by.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (domain.Principal, error)
}

// Limiter counts a request under one caller's quota and, when that lets it
// through, under the global one. It never fails: while the shared counts are
// away it decides by itself.
type Limiter interface {
	Allow(ctx context.Context, policy domain.RatePolicy, key string) domain.RateDecision
}

// UnitOfWork runs fn in one transaction that travels in the context. Nested
// calls join; an error or a panic rolls back; the commit's error counts;
// serialization failures and deadlocks repeat fn as a whole, at most three times.
type UnitOfWork interface {
	WithinTx(ctx context.Context, fn func(ctx context.Context) error) error
}

// Probe asks one dependency whether it works, within the context's deadline.
type Probe interface {
	Check(ctx context.Context) error
}
