package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// dismissCommand takes the deliveries by their ids alone: each is to be looked at
// before it is given up.
func dismissCommand(args []string) (deskCommand, error) {
	var ids []string
	var why domain.Dismissal
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			ids = append(ids, args[i])
			continue
		case name != "--reason" || why != "":
			return nil, errUsage
		case !joined && i+1 < len(args):
			i++
			value = args[i]
		}
		if why = domain.Dismissal(value); !slices.Contains(domain.Dismissals(), why) {
			return nil, errUsage
		}
	}
	if why == "" || len(ids) == 0 {
		return nil, errUsage
	}
	return func(ctx context.Context, out io.Writer, desk *usecase.InboxDesk) error {
		return dismiss(ctx, out, desk, ids, why)
	}, nil
}

// dismiss says of each delivery what became of it. The error counts those that
// were not dismissed.
func dismiss(ctx context.Context, out io.Writer, desk *usecase.InboxDesk, ids []string, why domain.Dismissal) error {
	refused := 0
	for _, id := range ids {
		result, was, err := desk.Dismiss(ctx, id, why)
		if err != nil {
			return fmt.Errorf("dismiss %s: %w", id, err)
		}
		if result != usecase.DismissedDone {
			refused++
		}
		switch result {
		case usecase.DismissedDone:
			fmt.Fprintf(out, "%s was dead and is dismissed as %s; its data is gone, and only reconcile would bring what it said\n", id, why)
		case usecase.DismissedUnknown:
			fmt.Fprintf(out, "%s is not here\n", id)
		case usecase.DismissedNotDead:
			fmt.Fprintf(out, "%s is %s, and only what is dead can be dismissed\n", id, was)
		case usecase.DismissedChanged:
			fmt.Fprintf(out, "%s came again or was replayed at this moment; look at it again with webhooks list\n", id)
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d of %d deliveries were not dismissed", refused, len(ids))
	}
	return nil
}
