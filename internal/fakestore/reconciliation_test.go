package fakestore_test

import (
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
)

func TestReconciliation(t *testing.T) {
	storetest.Reconciliation(t, func(*testing.T) storetest.ReconcileStores {
		s := fakestore.New()
		r := s.Reconciliations()
		return storetest.ReconcileStores{Tx: s, Runs: r, Lease: r, People: r, Put: func(_ *testing.T, p domain.Profile) { s.PutProfile(p) }}
	})
}
