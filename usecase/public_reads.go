package usecase

import (
	"context"
	"errors"
	"strings"

	"github.com/profile-api/profile-api/domain"
)

// MaxBatch is how many profiles one request may ask for.
const MaxBatch = 100

// BatchByHandles gives the profiles of the handles that the viewer may see, in
// the order asked for, each once, in one statement. What does not exist, is
// ill-formed or hidden is left out.
func (s *Profiles) BatchByHandles(ctx context.Context, handles []string, viewer domain.Principal) ([]domain.Profile, error) {
	keys := make([]string, 0, len(handles))
	for _, h := range handles {
		if domain.ValidHandle(h) {
			keys = append(keys, domain.HandleKey(h))
		}
	}
	return s.batch(ctx, keys, s.deps.Finder.PublicByHandles, func(p *domain.Profile) string { return domain.HandleKey(p.Handle) }, viewer)
}

// BatchByIDs is BatchByHandles for ids.
func (s *Profiles) BatchByIDs(ctx context.Context, ids []string, viewer domain.Principal) ([]domain.Profile, error) {
	keys := make([]string, 0, len(ids))
	for _, id := range ids {
		if domain.ValidID(id) {
			keys = append(keys, strings.ToLower(id))
		}
	}
	return s.batch(ctx, keys, s.deps.Finder.PublicByIDs, func(p *domain.Profile) string { return p.ID }, viewer)
}

func (s *Profiles) batch(
	ctx context.Context, keys []string, find func(context.Context, []string) ([]domain.Profile, error),
	keyOf func(*domain.Profile) string, viewer domain.Principal,
) ([]domain.Profile, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	found, err := find(ctx, keys)
	if err != nil {
		return nil, err
	}
	now := s.deps.Clock.Now()
	visible := make(map[string]*domain.Profile, len(found))
	for i := range found {
		if found[i].VisibleTo(viewer, now) {
			visible[keyOf(&found[i])] = &found[i]
		}
	}
	ordered := make([]domain.Profile, 0, len(visible))
	for _, k := range keys {
		if p := visible[k]; p != nil {
			ordered = append(ordered, *p)
			delete(visible, k) // asked for twice, given once
		}
	}
	return ordered, nil
}

// HandleAvailability tells whether the viewer could take a handle.
type HandleAvailability struct {
	Available bool
	Reason    string // one of the codes of [domain.FieldError], or [HandleReasonTaken]; empty when available
}

// HandleReasonTaken says that somebody has the handle or had it lately. Which of
// the two, and who, is nobody's business.
const HandleReasonTaken = "taken"

// HandleAvailability answers for a handle that need not be well-formed, at the
// cost of at most two statements. A handle kept for its last owner is available
// to them alone: profileID is the viewer's own profile, empty without one.
func (s *Profiles) HandleAvailability(ctx context.Context, handle, profileID string) (HandleAvailability, error) {
	if code := domain.HandleFault(handle); code != "" {
		return HandleAvailability{Reason: code}, nil
	}
	taken := HandleAvailability{Reason: HandleReasonTaken}
	_, err := s.deps.Profiles.ByHandle(ctx, handle)
	if !errors.Is(err, domain.NotFound) {
		return taken, err
	}
	if profileID == "" {
		profileID = domain.NobodysID
	}
	held, err := s.deps.Reservations.HeldFromOthers(ctx, s.deps.handleHashes(handle), profileID, s.deps.Clock.Now())
	if err != nil || held {
		return taken, err
	}
	return HandleAvailability{Available: true}, nil
}
