package usecase

import (
	"context"
	"errors"
	"fmt"
)

// purgeBatch is how many rows one statement removes at most, so that none holds
// its locks for long.
const purgeBatch = 1000

// PurgeTask is one kind of rows that end by themselves.
type PurgeTask struct {
	Name string // for error texts
	Rows Purger
}

// Purge removes rows whose time is over. Nothing depends on when that happens:
// every reader looks at the time itself.
type Purge struct {
	clock Clock
	tasks []PurgeTask
}

// NewPurge builds the use case.
func NewPurge(clock Clock, tasks ...PurgeTask) *Purge { return &Purge{clock, tasks} }

// Run removes everything that is over now, in batches of a statement each. A
// task that fails keeps no other from its work; all errors are returned.
func (s *Purge) Run(ctx context.Context) error {
	now := s.clock.Now()
	var faults error
	for _, task := range s.tasks {
		for {
			n, err := task.Rows.PurgeExpired(ctx, now, purgeBatch)
			if err != nil {
				faults = errors.Join(faults, fmt.Errorf("purge %s: %w", task.Name, err))
			}
			if err != nil || n < purgeBatch {
				break
			}
		}
	}
	return faults
}
