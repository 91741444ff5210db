package usecase_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// clerkUsers notes whom it was asked to delete.
type clerkUsers struct {
	asked []string
	fail  error
	tx    usecase.ClerkDeletions // asked during the call: a fake that is in a transaction would wait for ever
}

func (u *clerkUsers) DeleteUser(_ context.Context, id string) error {
	u.asked = append(u.asked, id)
	if u.tx != nil {
		if _, err := u.tx.Find(context.Background(), "x"); !errors.Is(err, domain.NotFound) {
			return err
		}
	}
	return u.fail
}

func deletion(s *fakestore.Store, users usecase.ClerkUsers, sealer domain.Sealer) *usecase.ClerkDeletion {
	return usecase.NewClerkDeletion(usecase.ClerkDeletionDeps{
		Tx: s, Deletions: s.ClerkDeletions(), Queue: s.JobQueue(), Users: users, Sealer: sealer, Clock: storetest.NewClock(),
	})
}

// request asks for a deletion inside a transaction, and gives its id.
func request(t *testing.T, s *fakestore.Store, d *usecase.ClerkDeletion, clerkUserID string) string {
	t.Helper()
	if err := s.WithinTx(t.Context(), func(ctx context.Context) error { return d.Request(ctx, clerkUserID) }); err != nil {
		t.Fatal(err)
	}
	queued := s.QueuedDeletions()
	return queued[len(queued)-1]
}

func TestClerkDeletion(t *testing.T) {
	s := fakestore.New()
	users := &clerkUsers{fail: domain.UnavailableError(nil, time.Minute)}
	users.tx = s.ClerkDeletions()
	d := deletion(s, users, storetest.Sealer)
	id := request(t, s, d, "user_1")
	row, err := s.ClerkDeletions().Find(t.Context(), id)
	if err != nil || strings.Contains(row.SealedClerkID, "user_1") || !row.RequestedAt.Equal(storetest.Now) {
		t.Fatalf("the row is %+v, %v", row, err)
	}
	// Clerk is away: nothing is forgotten.
	if err := d.Run(t.Context(), id); !errors.Is(err, domain.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := s.ClerkDeletions().Find(t.Context(), id); err != nil {
		t.Errorf("the row is gone although Clerk was away: %v", err)
	}
	// Clerk is back. Run twice is run once.
	users.fail = nil
	for range 2 {
		if err := d.Run(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(users.asked, []string{"user_1", "user_1"}) {
		t.Errorf("Clerk was asked for %v", users.asked)
	}
	if _, err := s.ClerkDeletions().Find(t.Context(), id); !errors.Is(err, domain.NotFound) {
		t.Errorf("the row is still there: %v", err)
	}
}

// A process that dies between Clerk's answer and ours asks again, and Clerk, which knows nobody, says yes.
func TestClerkDeletionGoesOnWhereItBrokeOff(t *testing.T) {
	s := fakestore.New()
	dead := true
	s.Fail = func(operation string) error {
		if dead && operation == "clerk_deletions.delete" {
			return errors.New("dead")
		}
		return nil
	}
	users := &clerkUsers{}
	d := deletion(s, users, storetest.Sealer)
	id := request(t, s, d, "user_1")
	if err := d.Run(t.Context(), id); err == nil {
		t.Error("no error")
	}
	dead = false
	if err := d.Run(t.Context(), id); err != nil || len(users.asked) != 2 {
		t.Errorf("%v, asked %v", err, users.asked)
	}
}

func TestClerkDeletionIsRequestedWithTheErasureOrNotAtAll(t *testing.T) {
	boom := errors.New("boom")
	for _, step := range []string{"clerk_deletions.insert", "jobs.enqueue", "commit", ""} {
		s := fakestore.New()
		s.Fail = func(operation string) error {
			if operation == step {
				return boom
			}
			return nil
		}
		d := deletion(s, &clerkUsers{}, storetest.Sealer)
		err := s.WithinTx(t.Context(), func(ctx context.Context) error {
			err := d.Request(ctx, "user_1")
			if step == "" { // the erasure fails after it
				err = errors.Join(err, boom)
			}
			return err
		})
		if !errors.Is(err, boom) || len(s.QueuedDeletions()) != 0 {
			t.Errorf("%s: %v, queued %v", step, err, s.QueuedDeletions())
		}
	}
}

// A deletion that waits for Clerk outlives a rotation of SECRET_KEY, as long as the old key is a fallback.
func TestClerkDeletionAfterKeyRotation(t *testing.T) {
	s := fakestore.New()
	users := &clerkUsers{}
	id := request(t, s, deletion(s, users, domain.NewSealer("old")), "user_1")
	err := deletion(s, users, domain.NewSealer("new")).Run(t.Context(), id)
	if !errors.Is(err, domain.Internal) || errors.Is(err, domain.Unavailable) || len(users.asked) != 0 || strings.Contains(err.Error(), "user_1") {
		t.Errorf("without the old key: %v, asked %v", err, users.asked)
	}
	if _, err := s.ClerkDeletions().Find(t.Context(), id); err != nil {
		t.Errorf("the row must wait for the key: %v", err)
	}
	if err := deletion(s, users, domain.NewSealer("new", "old")).Run(t.Context(), id); err != nil || !slices.Equal(users.asked, []string{"user_1"}) {
		t.Errorf("with the old key: %v, asked %v", err, users.asked)
	}
}
