package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
)

// outboxPatience is the age at which an alert tells of waiting events too.
const outboxPatience = 5 * time.Minute

func (d *doctor) deadDeliveries(ctx context.Context) []Finding {
	const check = "dead_deliveries"
	return d.withDatabase(ctx, check, func(db *postgres.DB) ([]Finding, error) {
		counts, err := db.OpenDeliveries(ctx)
		if err != nil {
			return nil, err
		}
		if dead := counts[domain.WebhookDead]; dead > 0 {
			return []Finding{warn(check, fmt.Sprintf("%d of Clerk's webhooks could not be applied", dead),
				"profile-api webhooks list --state dead shows why, profile-api webhooks replay --dead tries them again; for the rest: docs/runbooks/dead-jobs.md")}, nil
		}
		return []Finding{pass(check, "none of Clerk's webhooks is dead")}, nil
	})
}

func (d *doctor) outbox(ctx context.Context) []Finding {
	const check = "outbox"
	return d.withDatabase(ctx, check, func(db *postgres.DB) ([]Finding, error) {
		backlogs, err := service.Backlogs(ctx, d.s, db)
		if err != nil {
			return nil, err
		}
		var late []string
		for _, b := range backlogs {
			if b.Oldest == nil {
				continue
			}
			if age := d.clock.Now().Sub(*b.Oldest); age > outboxPatience {
				late = append(late, fmt.Sprintf("%s has waited %s (%d pending)", b.Sink, age.Round(time.Second), b.Pending))
			}
		}
		if len(late) > 0 {
			return []Finding{warn(check, "events are not taken: "+strings.Join(late, ", "),
				"look at the receiver, and at the log's warnings of that sink (docs/runbooks/outbox-age.md)")}, nil
		}
		return []Finding{pass(check, fmt.Sprintf("%d sinks, none behind", len(backlogs)))}, nil
	})
}
