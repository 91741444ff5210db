package service

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profile-api/profile-api/delivery/ops"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// NewInboxDesk wires what the commands about deliveries need, and nothing that
// serves. What operators end is logged as the server logs what it does; nobody
// reads a command's counters.
func NewInboxDesk(db *postgres.DB, log *slog.Logger) (*usecase.InboxDesk, error) {
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		return nil, err
	}
	return usecase.NewInboxDesk(usecase.InboxDeskDeps{
		Tx: db, Deliveries: postgres.NewWebhookDeliveries(db), Queue: queue, Clock: systemClock{},
		Observer: ops.NewInbox(prometheus.NewRegistry(), log),
	}), nil
}
