package postgres_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	gormschema "gorm.io/gorm/schema"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
)

func TestHandWrittenReadsNameEveryColumn(t *testing.T) {
	for _, c := range []struct {
		entity  any
		columns string
	}{
		{domain.Profile{}, postgres.ProfileColumns},
		{domain.AuditEvent{}, postgres.AuditColumns},
	} {
		s, err := gormschema.Parse(c.entity, &sync.Map{}, gormschema.NamingStrategy{})
		must(t, err)
		want, got := slices.Sorted(slices.Values(s.DBNames)), strings.Split(c.columns, ", ")
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the reads name %v, the entity has %v", s.Table, got, want)
		}
	}
}
