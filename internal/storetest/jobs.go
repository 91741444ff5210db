package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// Sealer is the sealer of the suites, with one older key.
var Sealer = domain.NewSealer("storetest-key", "storetest-older-key")

// JobStores is an empty store under test, as the jobs need it.
type JobStores struct {
	Tx           usecase.UnitOfWork
	Deletions    usecase.ClerkDeletions
	Queue        usecase.JobQueue
	Queued       func(*testing.T) []string // ids of the deletions with a job, oldest first
	Reservations interface {
		usecase.HandleReservations
		usecase.Purger
	}
}

// Jobs runs the contract of the ports that background work needs.
func Jobs(t *testing.T, open func(*testing.T) JobStores) {
	t.Helper()
	for name, suite := range map[string]func(*testing.T, JobStores){
		"clerk deletions": clerkDeletions, "job queue": jobQueue, "purge of reservations": purgeReservations,
	} {
		t.Run(name, func(t *testing.T) { suite(t, open(t)) })
	}
}

func clerkDeletions(t *testing.T, s JobStores) {
	ctx := background(t)
	d, err := domain.NewClerkDeletion("user_1", Sealer, Now)
	must(t, err)
	other, err := domain.NewClerkDeletion("user_2", Sealer, Now)
	must(t, err)
	must(t, s.Deletions.Insert(ctx, d))
	must(t, s.Deletions.Insert(ctx, other))
	wantKind(t, s.Deletions.Insert(ctx, d), domain.Conflict, domain.CodeConflict)
	found, err := s.Deletions.Find(ctx, d.ID)
	if err != nil || found != d {
		t.Errorf("found %+v, %v; want %+v", found, err, d)
	}
	must(t, s.Deletions.Delete(ctx, d.ID))
	must(t, s.Deletions.Delete(ctx, d.ID))
	_, err = s.Deletions.Find(ctx, d.ID)
	wantKind(t, err, domain.NotFound, domain.CodeNotFound)
	if found, err = s.Deletions.Find(ctx, other.ID); err != nil || found != other {
		t.Errorf("the other is %+v, %v", found, err)
	}
}

func jobQueue(t *testing.T, s JobStores) {
	ctx := background(t)
	first, second, lost := domain.NewID(Now), domain.NewID(Now), domain.NewID(Now)
	wantKind(t, s.Queue.EnqueueClerkDeletion(ctx, lost), domain.Internal, domain.CodeInternal)
	boom := errors.New("boom")
	err := s.Tx.WithinTx(ctx, func(ctx context.Context) error {
		return errors.Join(s.Queue.EnqueueClerkDeletion(ctx, lost), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	for _, id := range []string{first, second} {
		must(t, s.Tx.WithinTx(ctx, func(ctx context.Context) error { return s.Queue.EnqueueClerkDeletion(ctx, id) }))
	}
	if got := s.Queued(t); !slices.Equal(got, []string{first, second}) {
		t.Errorf("queued %v, want %v", got, []string{first, second})
	}
}

func purgeReservations(t *testing.T, s JobStores) {
	ctx := background(t)
	owner, other := domain.NewID(Now), domain.NewID(Now)
	for i := range 5 { // over at Now-4h … Now
		must(t, s.Reservations.Reserve(ctx, fmt.Sprint("over", i), owner, Now.Add(-time.Duration(i)*time.Hour)))
	}
	must(t, s.Reservations.Reserve(ctx, "held", owner, Now.Add(time.Microsecond)))
	// What is over is held no more, so whether the row is there shows only at a moment before.
	left := func() (list []int) {
		for i := range 5 {
			held, err := s.Reservations.HeldFromOthers(ctx, []string{fmt.Sprint("over", i)}, other, Now.Add(-24*time.Hour))
			must(t, err)
			if held {
				list = append(list, i)
			}
		}
		return list
	}
	for _, c := range []struct {
		removed int
		left    []int
	}{{2, []int{0, 1, 2}}, {2, []int{0}}, {1, nil}, {0, nil}} {
		n, err := s.Reservations.PurgeExpired(ctx, Now, 2)
		if got := left(); err != nil || n != c.removed || !slices.Equal(got, c.left) {
			t.Errorf("removed %d, %v; left %v; want %d, %v", n, err, got, c.removed, c.left)
		}
	}
	if held, err := s.Reservations.HeldFromOthers(ctx, []string{"held"}, other, Now); err != nil || !held {
		t.Errorf("what still holds is gone: %v, %v", held, err)
	}
}
