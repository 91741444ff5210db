package fakestore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// ByID finds a profile by its id.
func (f Profiles) ByID(ctx context.Context, id string) (*domain.Profile, error) {
	return f.find(ctx, "profiles.by_id", func(p domain.Profile) bool { return p.ID == strings.ToLower(id) })
}

// ByIDForUpdate needs no lock of its own: transactions run one at a time.
func (f Profiles) ByIDForUpdate(ctx context.Context, id string) (*domain.Profile, error) {
	return f.find(ctx, "profiles.by_id_for_update", func(p domain.Profile) bool { return p.ID == strings.ToLower(id) })
}

// PublicByHandles finds the profiles of these handle keys.
func (f Profiles) PublicByHandles(ctx context.Context, keys []string) ([]domain.Profile, error) {
	return f.batch(ctx, func(p domain.Profile) bool { return slices.Contains(keys, domain.HandleKey(p.Handle)) })
}

// PublicByIDs finds the profiles of these ids.
func (f Profiles) PublicByIDs(ctx context.Context, ids []string) ([]domain.Profile, error) {
	return f.batch(ctx, func(p domain.Profile) bool { return slices.Contains(ids, p.ID) })
}

func (f Profiles) batch(ctx context.Context, match func(domain.Profile) bool) ([]domain.Profile, error) {
	var found []domain.Profile
	err := f.s.do(ctx, "profiles.batch", func(d *state) error {
		for _, p := range d.profiles {
			if match(p) {
				c := clone(&p)
				c.Email, c.Locale, c.TimeZone, c.SuspendedReason, c.Metadata, c.AppMetadata = nil, nil, nil, nil, nil, nil
				c.Version, c.ClerkUpdatedAt = 0, nil
				found = append(found, c)
			}
		}
		return nil
	})
	return found, err
}

// Delete removes a profile and its preferences.
func (f Profiles) Delete(ctx context.Context, id string) error {
	return f.s.do(ctx, "profiles.delete", func(d *state) error {
		delete(d.profiles, id)
		delete(d.preferences, id)
		return nil
	})
}

// Search gives a page of the profiles that match.
func (f Profiles) Search(
	ctx context.Context, filter domain.ProfileFilter, after *domain.ProfilePosition, limit int, now time.Time,
) ([]domain.Profile, error) {
	var found []domain.Profile
	err := f.s.do(ctx, "profiles.search", func(d *state) error {
		for _, p := range d.profiles {
			behind := after == nil || compare(domain.PositionOf(&p), *after, filter.Sort) > 0
			if behind && matches(&p, filter, now) {
				found = append(found, clone(&p))
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b domain.Profile) int {
		return compare(domain.PositionOf(&a), domain.PositionOf(&b), filter.Sort)
	})
	return found[:min(limit, len(found))], err
}

func compare(a, b domain.ProfilePosition, sort domain.ProfileSort) int {
	if sort == domain.SortHandle {
		return strings.Compare(a.HandleKey, b.HandleKey)
	}
	c := a.CreatedAt.Compare(b.CreatedAt)
	if c == 0 {
		c = strings.Compare(a.ID, b.ID)
	}
	if sort == domain.SortOldestFirst {
		return c
	}
	return -c
}

func matches(p *domain.Profile, f domain.ProfileFilter, now time.Time) bool {
	switch {
	case f.Status != "" && p.StatusAt(now) != f.Status,
		f.CreatedAfter != nil && p.CreatedAt.Before(*f.CreatedAfter),
		f.CreatedBefore != nil && !p.CreatedAt.Before(*f.CreatedBefore):
		return false
	case f.Text == "", p.ClerkUserID == f.Text:
		return true
	}
	begins := func(s *string) bool {
		return s != nil && strings.HasPrefix(strings.ToLower(*s), strings.ToLower(f.Text))
	}
	return begins(&p.Handle) || begins(p.DisplayName) || begins(p.Email)
}

// ByProfileID gives a profile's preferences.
func (f Preferences) ByProfileID(ctx context.Context, profileID string) (*domain.Preferences, error) {
	var found domain.Preferences
	err := f.s.do(ctx, "preferences.by_profile_id", func(d *state) error {
		p, ok := d.preferences[profileID]
		if !ok {
			return errNotFound
		}
		found = p
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// Update writes every setting.
func (f Preferences) Update(ctx context.Context, p *domain.Preferences) error {
	return f.s.do(ctx, "preferences.update", func(d *state) error {
		if row, ok := d.preferences[p.ProfileID]; !ok || row.Version != p.Version-1 {
			return errConflict
		}
		d.preferences[p.ProfileID] = *p
		return nil
	})
}

// List gives a page of the events that match, newest first.
func (f AuditLog) List(ctx context.Context, filter domain.AuditFilter, after *domain.AuditPosition, limit int) ([]domain.AuditEvent, error) {
	found := []domain.AuditEvent{}
	err := f.s.do(ctx, "audit.list", func(d *state) error {
		for _, e := range d.events {
			at := domain.AuditPosition{OccurredAt: e.OccurredAt, ID: e.ID}
			if matchesEvent(e, filter) && (after == nil || older(at, *after)) {
				found = append(found, e)
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b domain.AuditEvent) int {
		if older(domain.AuditPosition{OccurredAt: a.OccurredAt, ID: a.ID}, domain.AuditPosition{OccurredAt: b.OccurredAt, ID: b.ID}) {
			return 1
		}
		return -1
	})
	return found[:min(limit, len(found))], err
}

func older(a, b domain.AuditPosition) bool {
	if c := a.OccurredAt.Compare(b.OccurredAt); c != 0 {
		return c < 0
	}
	return a.ID < b.ID
}

func matchesEvent(e domain.AuditEvent, f domain.AuditFilter) bool {
	switch {
	case f.ProfileID != "" && e.ProfileID != f.ProfileID,
		f.ActorID != "" && (e.ActorID == nil || *e.ActorID != f.ActorID),
		f.Action != "" && e.Action != f.Action,
		f.Since != nil && e.OccurredAt.Before(*f.Since),
		f.Until != nil && !e.OccurredAt.Before(*f.Until):
		return false
	}
	return true
}
