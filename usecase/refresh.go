package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// Refresh asks Clerk about one person: whose profile was made by a first request
// and no webhook came to fill it, or whose lockout must be over.
type Refresh struct {
	deps      ProfilesDeps
	directory ClerkDirectory
	mirror    *Mirror
}

// NewRefresh builds the use case.
func NewRefresh(deps ProfilesDeps, directory ClerkDirectory, mirror *Mirror) *Refresh {
	return &Refresh{deps, directory, mirror}
}

// Run brings the profile up to what Clerk says now. Clerk is asked outside of any
// transaction. It may be run any number of times. A lockout that is not over asks
// to be looked at again after a while. Somebody whom Clerk does not know is left
// alone: the reconciliation, which sees everybody, can tell a person who left
// from an API that is not the right one, and this cannot. Errors: kind
// Unavailable when it should be run again later.
func (s *Refresh) Run(ctx context.Context, job domain.ProfileRefreshJob) (again time.Duration, err error) {
	p, err := s.deps.Finder.ByID(ctx, job.ID)
	if errors.Is(err, domain.NotFound) || err == nil && p.ClerkUpdatedAt != nil && job.Reason == domain.RefreshFirst {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	u, err := s.directory.User(ctx, p.ClerkUserID)
	if errors.Is(err, domain.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	outcome, err := s.mirror.Apply(ctx, u, domain.FromAPI)
	if err != nil || outcome == MirrorErased || job.Reason != domain.RefreshLockout {
		return 0, err
	}
	return lockoutWait(u), nil
}
