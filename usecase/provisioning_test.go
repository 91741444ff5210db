package usecase_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// heldTx counts transactions and holds each until it is released or its context ends.
type heldTx struct {
	usecase.UnitOfWork
	begun   atomic.Int32
	release chan struct{}
}

func (h *heldTx) WithinTx(ctx context.Context, fn func(ctx context.Context) error) error {
	h.begun.Add(1)
	select {
	case <-h.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	return h.UnitOfWork.WithinTx(ctx, fn)
}

func heldProfiles() (*usecase.Profiles, *heldTx, *fakestore.Store) {
	s := fakestore.New()
	deps := s.Deps(storetest.NewClock(), storetest.Hashes)
	tx := &heldTx{UnitOfWork: deps.Tx, release: make(chan struct{})}
	deps.Tx = tx
	return usecase.NewProfiles(deps), tx, s
}

// A burst of first requests of one person costs one transaction on a replica,
// and another person does not wait for it.
func TestFirstRequestsOfOnePersonShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		profiles, tx, s := heldProfiles()
		var wg sync.WaitGroup
		found := make([]*domain.Profile, 50)
		for i := range found {
			wg.Go(func() {
				var err error
				if found[i], err = profiles.Resolve(t.Context(), storetest.Caller("user_1")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, err := profiles.Resolve(t.Context(), storetest.Caller("user_2")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if n := tx.begun.Load(); n != 2 {
			t.Errorf("%d transactions for two people, want 2", n)
		}
		close(tx.release)
		wg.Wait()
		for i, p := range found {
			if p == nil || p.ID != found[0].ID {
				t.Fatalf("request %d got %+v", i, p)
			}
			if i > 0 && p == found[0] {
				t.Fatal("two requests share one profile in memory")
			}
		}
		if p, pr, e := s.Counts(); p != 2 || pr != 2 || e != 2 {
			t.Errorf("%d profiles, %d preferences, %d events; want 2 each", p, pr, e)
		}
	})
}

// The one who works for the others may be a client that leaves.
func TestAFirstRequestSurvivesTheOneItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		profiles, tx, _ := heldProfiles()
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := profiles.Resolve(leaving, storetest.Caller("user_1")); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who left got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if p, err := profiles.Resolve(t.Context(), storetest.Caller("user_1")); err != nil || p.ID == "" {
				t.Errorf("the one who stayed got %v, %v", p, err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		if n := tx.begun.Load(); n != 2 {
			t.Errorf("%d transactions begun, want a second one after the first client left", n)
		}
		close(tx.release)
		wg.Wait()
	})
}
