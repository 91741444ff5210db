package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/profile-api/profile-api/cmd/internal/doctor"
	"github.com/profile-api/profile-api/cmd/internal/service"
	"github.com/profile-api/profile-api/config"
)

// diagnose goes through the checklist of a deployment. The error counts the
// checks that fail; warnings are none.
func diagnose(ctx context.Context, out io.Writer, args []string) error {
	asJSON := len(args) == 1 && args[0] == "--json"
	if len(args) > 0 && !asJSON {
		return errUsage
	}
	s, faults := config.Examine(config.Options{})
	findings := doctor.Examine(ctx, s, faults, service.Clock())
	write := doctor.WriteTable
	if asJSON {
		write = doctor.WriteJSON
	}
	if err := write(out, findings); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case doctor.Count(findings)[doctor.Fail] > 0:
		return fmt.Errorf("%d of %d checks fail", doctor.Count(findings)[doctor.Fail], len(findings))
	}
	return nil
}
