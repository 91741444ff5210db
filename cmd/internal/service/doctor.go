package service

import (
	"context"
	"fmt"
	"time"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/repository/valkey"
)

// Backlogs tells what waits for each sink of the settings, by the names that
// metrics and logs have for them: an endpoint's key in the outbox says nothing.
func Backlogs(ctx context.Context, s *config.Settings, db *postgres.DB) ([]domain.EventBacklog, error) {
	list, err := newOutbox(s, db).Backlogs(ctx)
	for i := range list { // in the order of the sinks: the endpoints, then the stream
		if list[i].Sink != valkey.StreamKey {
			list[i].Sink = fmt.Sprintf("http_%d", i+1)
		} else {
			list[i].Sink = "stream"
		}
	}
	return list, err
}

// Clock is the program's own clock, for a command that compares it with others.
func Clock() interface{ Now() time.Time } { return systemClock{} }
