package middleware

import (
	"context"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// AccountResolver finds the caller's own profile, and creates it on the first
// request. It refuses erased (401) and suspended (403) accounts.
type AccountResolver interface {
	Resolve(ctx context.Context, caller domain.Caller) (*domain.Profile, error)
	// Standing refuses the same people and creates nothing; the profile is nil
	// when the caller has none.
	Standing(ctx context.Context, caller domain.Caller) (*domain.Profile, error)
}

// Enforce applies the route's access rule: who was not let in by it never
// reaches a handler. Erased and suspended people are refused on public routes
// too: there they would read with a token what they may not read with it
// elsewhere. On account routes the profile it had to load anyway is handed on, so
// that a read costs one statement.
//
// There is one thing that an erased person may still do: repeat the request that
// erased them, under its Idempotency-Key, and hear its answer again.
func Enforce(accounts AccountResolver, keys *usecase.Idempotency) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			s := StateOf(c)
			if s.Route.Access == AccessOpen {
				return next(c)
			}
			if s.AuthError != nil {
				return s.AuthError
			}
			if s.Route.Access == AccessClerk && s.Delivery != nil {
				return next(c)
			}
			if s.Route.Access == AccessPublic {
				if err := lookUp(c, accounts.Standing); err != nil {
					return err
				}
				return next(c)
			}
			if !s.Principal.SignedIn() {
				return unauthenticated("This needs a signed-in person: send a session token as a bearer token.")
			}
			switch s.Route.Access {
			case AccessAccount:
			case AccessAdmin:
				if !s.Principal.IsAdmin() {
					if err := lookUp(c, accounts.Standing); err != nil { // who is erased or suspended hears that first
						return err
					}
					return domain.NewError(domain.Forbidden, domain.CodeForbidden, "This needs the admin role.")
				}
			default:
				return domain.NewError(domain.Forbidden, domain.CodeForbidden, "This route is not open to anyone.")
			}
			err := lookUp(c, accounts.Resolve)
			if s.Route.ErasesCaller && domain.HasCode(err, domain.CodeAccountErased) {
				return replayErased(c, keys, err)
			}
			if err != nil {
				return err
			}
			return next(c)
		}
	}
}

// lookUp notes the caller's profile; an anonymous caller has none.
func lookUp(c echo.Context, account func(context.Context, domain.Caller) (*domain.Profile, error)) error {
	s := StateOf(c)
	if !s.Principal.SignedIn() {
		return nil
	}
	profile, err := account(c.Request().Context(), s.Caller())
	if err != nil {
		return err
	}
	s.Profile = profile
	return nil
}
