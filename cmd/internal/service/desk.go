package service

import (
	"context"
	"log/slog"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// OpenInboxDesk wires what the commands about deliveries need, and nothing that
// serves. Call closeIt when done.
func OpenInboxDesk(ctx context.Context, s *config.Settings, log *slog.Logger) (desk *usecase.InboxDesk, closeIt func() error, err error) {
	db, err := postgres.Open(ctx, DatabaseOptions(s, log))
	if err != nil {
		return nil, nil, err
	}
	queue, err := postgres.NewJobQueue(db)
	if err != nil {
		return nil, nil, err
	}
	desk = usecase.NewInboxDesk(usecase.InboxDeskDeps{
		Tx: db, Deliveries: postgres.NewWebhookDeliveries(db), Queue: queue, Clock: systemClock{},
	})
	return desk, db.Close, nil
}
