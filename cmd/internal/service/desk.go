package service

import (
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// NewInboxDesk wires what the commands about deliveries need, and nothing that serves.
func NewInboxDesk(db *postgres.DB) (*usecase.InboxDesk, error) {
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		return nil, err
	}
	return usecase.NewInboxDesk(usecase.InboxDeskDeps{
		Tx: db, Deliveries: postgres.NewWebhookDeliveries(db), Queue: queue, Clock: systemClock{},
	}), nil
}
