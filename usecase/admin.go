package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Admin is what admins do with other people's profiles. That the caller is an
// admin is the caller's caller to know.
type Admin struct{ deps ProfilesDeps }

// NewAdmin builds the use case.
func NewAdmin(deps ProfilesDeps) *Admin { return &Admin{deps} }

// Search gives a page of the profiles that match. Size is 1 to
// [domain.MaxPageSize]. Error: malformed-request for a cursor that is not one of
// this list's with this filter.
func (s *Admin) Search(ctx context.Context, f domain.ProfileFilter, cursor string, size int) (domain.Page[domain.Profile], error) {
	now := s.deps.Clock.Now()
	return page(s.deps.Cursors, listProfiles, f, cursor, size, func(after *domain.ProfilePosition, limit int) ([]domain.Profile, error) {
		return s.deps.Finder.Search(ctx, f, after, limit, now)
	}, domain.PositionOf)
}

// AuditEvents gives a page of the audit trail, newest first. Errors as of Search.
func (s *Admin) AuditEvents(ctx context.Context, f domain.AuditFilter, cursor string, size int) (domain.Page[domain.AuditEvent], error) {
	return page(s.deps.Cursors, listAudit, f, cursor, size, func(after *domain.AuditPosition, limit int) ([]domain.AuditEvent, error) {
		return s.deps.Audit.List(ctx, f, after, limit)
	}, auditPosition)
}

// ByID gives any profile. Error: not-found, for what is no id, too.
func (s *Admin) ByID(ctx context.Context, id string) (*domain.Profile, error) {
	if !domain.ValidID(id) {
		return nil, errNoProfile
	}
	p, err := s.deps.Finder.ByID(ctx, id)
	if errors.Is(err, domain.NotFound) {
		return nil, errNoProfile
	}
	return p, err
}

// Update applies a merge patch. Errors: not-found (404), handle-taken (409),
// precondition-failed (412), validation-failed (422). As with all changes here,
// one that changes nothing leaves version and audit trail alone.
func (s *Admin) Update(
	ctx context.Context, caller domain.Caller, id string, patch domain.AdminPatch, ifMatch domain.IfMatch,
) (*domain.Profile, error) {
	return s.change(ctx, caller, id, ifMatch, domain.ActionProfileUpdated, func(p *domain.Profile, now time.Time) ([]string, error) {
		return p.ApplyAdmin(patch, now)
	})
}

// Suspend keeps the person out from their next request on, on every replica: each
// request reads the profile's row. Errors as of Update.
func (s *Admin) Suspend(
	ctx context.Context, caller domain.Caller, id string, suspension domain.Suspension, ifMatch domain.IfMatch,
) (*domain.Profile, error) {
	return s.change(ctx, caller, id, ifMatch, domain.ActionProfileSuspended, func(p *domain.Profile, now time.Time) ([]string, error) {
		return p.Suspend(suspension, now)
	})
}

// Reactivate ends an admin's suspension. Whom Clerk keeps out stays out, and the
// profile says so. Errors as of Update.
func (s *Admin) Reactivate(ctx context.Context, caller domain.Caller, id string, ifMatch domain.IfMatch) (*domain.Profile, error) {
	return s.change(ctx, caller, id, ifMatch, domain.ActionProfileReactivated, func(p *domain.Profile, now time.Time) ([]string, error) {
		return p.Reactivate(now)
	})
}

// change does one thing to a locked profile and writes it with its audit event.
func (s *Admin) change(
	ctx context.Context, caller domain.Caller, id string, ifMatch domain.IfMatch, action domain.AuditAction,
	what func(p *domain.Profile, now time.Time) (changed []string, err error),
) (*domain.Profile, error) {
	if !domain.ValidID(id) {
		return nil, errNoProfile
	}
	var p *domain.Profile
	err := s.deps.Tx.WithinTx(ctx, func(ctx context.Context) error {
		var err error
		if p, err = s.deps.Finder.ByIDForUpdate(ctx, id); errors.Is(err, domain.NotFound) {
			return errNoProfile
		} else if err != nil {
			return err
		}
		if !ifMatch.Allows(p.Version) {
			return errStaleVersion
		}
		now := s.deps.Clock.Now() // after the wait for the row
		oldHandle, mirror := p.Handle, p.Mirror
		changed, err := what(p, now)
		if err != nil {
			return err
		}
		if len(changed) == 0 {
			return s.deps.writeUnseen(ctx, p, mirror)
		}
		if err := s.deps.write(ctx, p, changed, oldHandle, now); err != nil {
			return err
		}
		if action == domain.ActionProfileReactivated && p.SuspendedAt(now) { // by Clerk
			action = domain.ActionProfileUpdated
		}
		return s.deps.record(ctx, domain.AdminAuditEvent(action, p.ID, caller.Unnamed(p.ClerkUserID), s.deps.Hashes, changed, p.UpdatedAt), p)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}
