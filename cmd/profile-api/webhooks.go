package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// mostDeliveries is how many deliveries one command shows or replays.
const mostDeliveries = 10_000

// webhooks is the command about Clerk's deliveries.
func webhooks(ctx context.Context, out io.Writer, args []string) (err error) {
	if len(args) == 0 {
		return errUsage
	}
	command, err := webhooksCommand(args[0], args[1:])
	if err != nil {
		return err
	}
	s, err := config.Load(config.Options{})
	if err != nil {
		return err
	}
	log := service.NewLogger(os.Stderr, s)
	db, err := openCurrent(ctx, service.DatabaseOptions(s, log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	desk, err := service.NewInboxDesk(db, log)
	if err != nil {
		return err
	}
	return command(ctx, out, desk)
}

// deskCommand is a command line that was understood.
type deskCommand func(ctx context.Context, out io.Writer, desk *usecase.InboxDesk) error

func webhooksCommand(name string, args []string) (deskCommand, error) {
	switch name {
	case "list":
		return listCommand(args)
	case "dismiss":
		return dismissCommand(args)
	case "replay":
		if len(args) == 1 && args[0] == "--dead" {
			return replayDead, nil
		}
		if len(args) == 0 || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }) {
			return nil, errUsage
		}
		return func(ctx context.Context, out io.Writer, desk *usecase.InboxDesk) error {
			return replay(ctx, out, desk, args)
		}, nil
	}
	return nil, errUsage
}

func listCommand(args []string) (deskCommand, error) {
	states, write := domain.WebhookStates(), writeDeliveries
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case args[i] == "--json":
			write = writeDeliveriesJSON
			continue
		case name != "--state":
			return nil, errUsage
		case !joined && i+1 < len(args):
			i++
			value = args[i]
		}
		if !slices.Contains(domain.WebhookStates(), domain.WebhookState(value)) {
			return nil, errUsage
		}
		states = []domain.WebhookState{domain.WebhookState(value)}
	}
	return func(ctx context.Context, out io.Writer, desk *usecase.InboxDesk) error {
		list, err := desk.List(ctx, states, mostDeliveries)
		if err != nil {
			return fmt.Errorf("list deliveries: %w", err)
		}
		if len(list) == mostDeliveries {
			fmt.Fprintf(os.Stderr, "profile-api: only the %d received last are shown; --state narrows it\n", mostDeliveries)
		}
		return write(out, list)
	}, nil
}

func writeDeliveries(out io.Writer, list []domain.WebhookDelivery) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tTYPE\tSTATE\tATTEMPTS\tRECEIVED\tREASON")
	for _, d := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", d.ID, d.Type, d.State, d.Attempts, d.ReceivedAt.Format(time.RFC3339), d.Reason)
	}
	return table.Flush()
}

// shownDelivery is a delivery as --json has it.
type shownDelivery struct {
	ID         string              `json:"id"`
	Type       domain.WebhookType  `json:"type"`
	State      domain.WebhookState `json:"state"`
	Reason     string              `json:"reason"`
	Attempts   int                 `json:"attempts"`
	ReceivedAt time.Time           `json:"received_at"`
	UpdatedAt  time.Time           `json:"updated_at"`
	ExpiresAt  *time.Time          `json:"expires_at"`
}

func writeDeliveriesJSON(out io.Writer, list []domain.WebhookDelivery) error {
	shown := make([]shownDelivery, len(list))
	for i, d := range list {
		shown[i] = shownDelivery{d.ID, d.Type, d.State, d.Reason, d.Attempts, d.ReceivedAt, d.UpdatedAt, d.ExpiresAt}
	}
	return json.NewEncoder(out).Encode(shown)
}

func replayDead(ctx context.Context, out io.Writer, desk *usecase.InboxDesk) error {
	list, err := desk.List(ctx, []domain.WebhookState{domain.WebhookDead}, mostDeliveries)
	if err != nil {
		return fmt.Errorf("list dead deliveries: %w", err)
	}
	ids := make([]string, len(list))
	for i, d := range list {
		ids[i] = d.ID
	}
	if len(ids) == 0 {
		fmt.Fprintln(out, "no delivery is dead")
	}
	if len(ids) == mostDeliveries {
		fmt.Fprintf(os.Stderr, "profile-api: only the %d received last are replayed; repeat the command for the others\n", mostDeliveries)
	}
	return replay(ctx, out, desk, ids)
}

// replay says of each delivery what became of it. The error counts those that
// could not be replayed.
func replay(ctx context.Context, out io.Writer, desk *usecase.InboxDesk, ids []string) error {
	failed := 0
	for _, id := range ids {
		result, was, err := desk.Replay(ctx, id)
		if err != nil {
			return fmt.Errorf("replay %s: %w", id, err)
		}
		switch result {
		case usecase.ReplayedQueued:
			fmt.Fprintf(out, "%s was %s and is queued\n", id, was)
		case usecase.ReplayedUnknown:
			failed++
			fmt.Fprintf(out, "%s is not here; replay the message from the endpoint's page in Clerk's dashboard\n", id)
		case usecase.ReplayedDone:
			failed++
			fmt.Fprintf(out, "%s is %s, and its data is gone; if the profile is not right, run reconcile or change the user at Clerk\n", id, was)
		case usecase.ReplayedNoData:
			failed++
			fmt.Fprintf(out, "%s is %s, and nothing of it was kept (webhooks list tells why); "+
				"replay the message from the endpoint's page in Clerk's dashboard, or run reconcile, and then webhooks dismiss\n", id, was)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d deliveries could not be replayed", failed, len(ids))
	}
	return nil
}
