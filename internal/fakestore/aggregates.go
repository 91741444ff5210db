package fakestore

import (
	"context"
	"slices"
	"time"

	"github.com/profile-api/profile-api/domain"
)

var (
	errNotFound = domain.NewError(domain.NotFound, domain.CodeNotFound, "There is no such resource.")
	errConflict = domain.NewError(domain.Conflict, domain.CodeConflict, "The resource was changed by somebody else.")
)

// clone shares no memory that anybody writes to.
func clone(p *domain.Profile) domain.Profile {
	c := *p
	c.Links, c.Metadata, c.AppMetadata = slices.Clone(p.Links), slices.Clone(p.Metadata), slices.Clone(p.AppMetadata)
	return c
}

// Profiles is the fake ProfileStore.
type Profiles struct{ s *Store }

func (f Profiles) find(ctx context.Context, operation string, match func(domain.Profile) bool) (*domain.Profile, error) {
	var found *domain.Profile
	err := f.s.do(ctx, operation, func(d *state) error {
		for _, p := range d.profiles {
			if match(p) {
				c := clone(&p)
				found = &c
				return nil
			}
		}
		return errNotFound
	})
	return found, err
}

// ByClerkID finds a person's profile.
func (f Profiles) ByClerkID(ctx context.Context, id string) (*domain.Profile, error) {
	return f.find(ctx, "profiles.by_clerk_id", func(p domain.Profile) bool { return p.ClerkUserID == id })
}

// ByClerkIDForUpdate needs no lock of its own: transactions run one at a time.
func (f Profiles) ByClerkIDForUpdate(ctx context.Context, id string) (*domain.Profile, error) {
	return f.find(ctx, "profiles.by_clerk_id_for_update", func(p domain.Profile) bool { return p.ClerkUserID == id })
}

// ByHandle finds a profile whatever the case of the handle.
func (f Profiles) ByHandle(ctx context.Context, handle string) (*domain.Profile, error) {
	key := domain.HandleKey(handle)
	return f.find(ctx, "profiles.by_handle", func(p domain.Profile) bool { return domain.HandleKey(p.Handle) == key })
}

// Insert tells whether it wrote the row.
func (f Profiles) Insert(ctx context.Context, p *domain.Profile) (bool, error) {
	inserted := false
	err := f.s.do(ctx, "profiles.insert", func(d *state) error {
		for _, q := range d.profiles {
			if q.ID == p.ID || q.ClerkUserID == p.ClerkUserID || domain.HandleKey(q.Handle) == domain.HandleKey(p.Handle) {
				return nil
			}
		}
		d.profiles[p.ID], inserted = clone(p), true
		return nil
	})
	return inserted, err
}

// Update writes the named fields.
func (f Profiles) Update(ctx context.Context, p *domain.Profile, changed []string) error {
	return f.s.do(ctx, "profiles.update", func(d *state) error {
		row, ok := d.profiles[p.ID]
		if !ok || row.Version != p.Version-1 {
			return errConflict
		}
		for _, q := range d.profiles {
			if slices.Contains(changed, "handle") && q.ID != p.ID && domain.HandleKey(q.Handle) == domain.HandleKey(p.Handle) {
				return domain.HandleTaken(nil)
			}
		}
		copyFields(&row, p, changed)
		row.Mirror, row.ClerkUpdatedAt = p.Mirror, p.ClerkUpdatedAt
		row.Version, row.UpdatedAt = p.Version, p.UpdatedAt
		d.profiles[p.ID] = clone(&row)
		*p = clone(&row)
		return nil
	})
}

// SaveMirror writes how the profile follows Clerk.
func (f Profiles) SaveMirror(ctx context.Context, p *domain.Profile) error {
	return f.s.do(ctx, "profiles.save_mirror", func(d *state) error {
		row, ok := d.profiles[p.ID]
		if !ok || row.Version != p.Version {
			return errConflict
		}
		row.Mirror, row.ClerkUpdatedAt, row.Handle = p.Mirror, p.ClerkUpdatedAt, p.Handle
		d.profiles[p.ID] = row
		return nil
	})
}

func copyFields(to, from *domain.Profile, names []string) {
	fields := map[string]func(){
		"handle":       func() { to.Handle = from.Handle },
		"email":        func() { to.Email = from.Email },
		"avatar_url":   func() { to.AvatarURL = from.AvatarURL },
		"display_name": func() { to.DisplayName = from.DisplayName },
		"bio":          func() { to.Bio = from.Bio },
		"banner_url":   func() { to.BannerURL = from.BannerURL },
		"location":     func() { to.Location = from.Location },
		"theme_color":  func() { to.ThemeColor = from.ThemeColor },
		"locale":       func() { to.Locale = from.Locale },
		"time_zone":    func() { to.TimeZone = from.TimeZone },
		"visibility":   func() { to.Visibility = from.Visibility },
		"links":        func() { to.Links = from.Links },
		"metadata":     func() { to.Metadata = from.Metadata },

		"app_metadata":     func() { to.AppMetadata = from.AppMetadata },
		"status":           func() { to.Status = from.Status },
		"suspended_reason": func() { to.SuspendedReason = from.SuspendedReason },
		"suspended_until":  func() { to.SuspendedUntil = from.SuspendedUntil },
	}
	for _, n := range names {
		fields[n]()
	}
}

// Preferences is the fake PreferencesStore.
type Preferences struct{ s *Store }

// Insert writes the preferences of a new profile.
func (f Preferences) Insert(ctx context.Context, p *domain.Preferences) error {
	return f.s.do(ctx, "preferences.insert", func(d *state) error {
		if _, ok := d.profiles[p.ProfileID]; !ok {
			return errConflict
		}
		if _, ok := d.preferences[p.ProfileID]; ok {
			return errConflict
		}
		d.preferences[p.ProfileID] = *p
		return nil
	})
}

// AuditLog is the fake AuditLog.
type AuditLog struct{ s *Store }

// Append writes one event.
func (f AuditLog) Append(ctx context.Context, e domain.AuditEvent) error {
	return f.s.do(ctx, "audit.append", func(d *state) error {
		d.events = append(d.events, e)
		return nil
	})
}

// HandleReservations is the fake HandleReservations.
type HandleReservations struct{ s *Store }

// Lock has nothing to do: transactions run one at a time.
func (f HandleReservations) Lock(ctx context.Context, _ ...string) error {
	return f.s.do(ctx, "reservations.lock", func(*state) error { return nil })
}

// HeldFromOthers tells whether somebody else holds one of the hashes.
func (f HandleReservations) HeldFromOthers(ctx context.Context, hashes []string, profileID string, at time.Time) (held bool, err error) {
	err = f.s.do(ctx, "reservations.held", func(d *state) error {
		for _, h := range hashes {
			r, ok := d.reservations[h]
			held = held || ok && r.profileID != profileID && r.until.After(at)
		}
		return nil
	})
	return held, err
}

// Reserve keeps the handle.
func (f HandleReservations) Reserve(ctx context.Context, hash, profileID string, until time.Time) error {
	return f.s.do(ctx, "reservations.reserve", func(d *state) error {
		d.reservations[hash] = reservation{profileID, until}
		return nil
	})
}

// Identities is the fake IdentityRegister.
type Identities struct{ s *Store }

// LockForCreation has nothing to do: transactions run one at a time.
func (f Identities) LockForCreation(ctx context.Context, _ string) error {
	return f.s.do(ctx, "identities.lock", func(*state) error { return nil })
}

// Erased tells whether one of the hashes is marked.
func (f Identities) Erased(ctx context.Context, hashes []string) (erased bool, err error) {
	err = f.s.do(ctx, "identities.erased", func(d *state) error {
		erased = slices.ContainsFunc(hashes, func(h string) bool { return d.erased[h] })
		return nil
	})
	return erased, err
}

// LockForErasure has nothing to do: transactions run one at a time.
func (f Identities) LockForErasure(ctx context.Context, _ string) error {
	return f.s.do(ctx, "identities.lock_for_erasure", func(*state) error { return nil })
}

// MarkErased remembers the hash.
func (f Identities) MarkErased(ctx context.Context, hash string, _ time.Time) error {
	return f.s.do(ctx, "identities.mark_erased", func(d *state) error {
		d.erased[hash] = true
		return nil
	})
}

// OfProfile lists the profile's reservations.
func (f HandleReservations) OfProfile(ctx context.Context, profileID string, at time.Time) ([]domain.HandleReservation, error) {
	var found []domain.HandleReservation
	err := f.s.do(ctx, "reservations.of_profile", func(d *state) error {
		for hash, r := range d.reservations {
			if r.profileID == profileID && r.until.After(at) {
				found = append(found, domain.HandleReservation{HandleHash: hash, ProfileID: profileID, ReservedUntil: r.until})
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b domain.HandleReservation) int { return a.ReservedUntil.Compare(b.ReservedUntil) })
	return found, err
}

// PurgeExpired removes reservations that are over, the oldest first.
func (f HandleReservations) PurgeExpired(ctx context.Context, at time.Time, limit int) (n int, err error) {
	err = f.s.do(ctx, "reservations.purge", func(data *state) error {
		var over []string
		for hash, r := range data.reservations {
			if !r.until.After(at) {
				over = append(over, hash)
			}
		}
		slices.SortFunc(over, func(a, b string) int { return data.reservations[a].until.Compare(data.reservations[b].until) })
		for _, hash := range over[:min(limit, len(over))] {
			delete(data.reservations, hash)
			n++
		}
		return nil
	})
	return n, err
}

// Reservations gives the store of reservations, which is a Purger too.
func (s *Store) Reservations() HandleReservations { return HandleReservations{s} }
