package usecase_test

import (
	"errors"
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// The behaviour itself is in internal/storetest, which also runs over PostgreSQL.
func TestProfiles(t *testing.T) {
	storetest.Profiles(t, func(*testing.T) storetest.Stores {
		s := fakestore.New()
		return storetest.Stores{
			Deps:       s.Deps(nil, domain.Pseudonymizer{}),
			Put:        func(_ *testing.T, p domain.Profile) { s.PutProfile(p) },
			MarkErased: func(_ *testing.T, hash string) { s.MarkErased(hash) },
			Events:     func(*testing.T) []domain.AuditEvent { return s.Events() },
			Counts:     func(*testing.T) (int, int, int) { return s.Counts() },
		}
	})
}

// A failure of any step comes out as it is and leaves nothing behind.
func TestProvisioningIsAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	steps := []string{"profiles.by_clerk_id", "identities.lock", "identities.erased", "profiles.insert", "preferences.insert", "audit.append", "outbox.append", "commit"}
	for _, step := range steps {
		s := fakestore.New()
		failing := true
		s.Fail = func(operation string) error {
			if failing && operation == step {
				return broken
			}
			return nil
		}
		profiles := usecase.NewProfiles(s.Deps(storetest.NewClock(), storetest.Hashes))
		if _, err := profiles.Resolve(t.Context(), storetest.Caller("user_1")); !errors.Is(err, broken) {
			t.Errorf("%s: %v", step, err)
		}
		if p, pr, e := s.Counts(); p+pr+e != 0 {
			t.Errorf("%s: left %d profiles, %d preferences, %d events", step, p, pr, e)
		}
		if list := s.PendingEvents(); len(list) != 0 {
			t.Errorf("%s: left %v in the outbox", step, list)
		}
		failing = false
		if _, err := profiles.Resolve(t.Context(), storetest.Caller("user_1")); err != nil {
			t.Errorf("%s: afterwards %v", step, err)
		}
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	steps := []string{"profiles.by_clerk_id_for_update", "reservations.lock", "profiles.update", "reservations.held", "reservations.reserve", "audit.append", "outbox.append", "commit"}
	for _, step := range steps {
		s := fakestore.New()
		profiles := usecase.NewProfiles(s.Deps(storetest.NewClock(), storetest.Hashes))
		before, err := profiles.Resolve(t.Context(), storetest.Caller("user_1"))
		if err != nil {
			t.Fatal(err)
		}
		s.Fail = func(operation string) error {
			if operation == step {
				return broken
			}
			return nil
		}
		patch := domain.ProfilePatch{Handle: domain.Some("new_handle")}
		if p, err := profiles.UpdateOwn(t.Context(), storetest.Caller("user_1"), patch, domain.IfMatch{}); !errors.Is(err, broken) || p != nil {
			t.Errorf("%s: %v, %v", step, p, err)
		}
		s.Fail = nil
		after, err := profiles.Resolve(t.Context(), storetest.Caller("user_1"))
		if err != nil || after.Handle != before.Handle || after.Version != 1 || len(s.Events()) != 1 || len(s.PendingEvents()) != 1 {
			t.Errorf("%s: left %+v, %d events, %v", step, after, len(s.Events()), err)
		}
	}
}
