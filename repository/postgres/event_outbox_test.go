package postgres_test

import (
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/storetest"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

var (
	_ usecase.EventOutbox = (*postgres.EventOutbox)(nil)
	_ usecase.EventQueue  = (*postgres.EventOutbox)(nil)
	_ usecase.Purger      = (*postgres.EventOutbox)(nil)
)

func TestEvents(t *testing.T) {
	storetest.Events(t, func(t *testing.T) storetest.OutboxStores {
		db := openDB(t, postgres.Options{URL: migrated(t), AcquireTimeout: 20 * time.Second})
		return storetest.OutboxStores{Tx: db, Open: func(sinks ...string) storetest.Outbox { return postgres.NewEventOutbox(db, sinks...) }}
	})
}
