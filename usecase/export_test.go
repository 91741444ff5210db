package usecase_test

import (
	"errors"
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/fakestore"
	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/usecase"
)

// Who is erased between the access rule and the reading has no data any more, and
// is told why. What an export holds is tested in delivery/rest.
func TestAnExportThatAnErasureOvertakes(t *testing.T) {
	s := fakestore.New()
	export := usecase.NewExport(s.Deps(storetest.NewClock(), storetest.Hashes), storetest.Sealer)
	var failure *domain.Error
	_, err := export.Own(t.Context(), storetest.Profile("gone_by_now"))
	if !errors.As(err, &failure) || failure.Code() != domain.CodeAccountErased {
		t.Errorf("got %v", err)
	}
}
