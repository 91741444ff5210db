package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// waitingForArchive is what the script tells Prometheus, with env on top of its settings, of how long WAL has waited: seconds, or +Inf.
func (c *cluster) waitingForArchive(ctx context.Context, env ...string) (float64, error) {
	file := filepath.Join(c.root, "metrics.txt")
	said, err := c.run(ctx, append(env, "BACKUP_METRICS_FILE="+file), "status")
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(file) // #nosec G304 -- below the drill's own directory
	if err != nil {
		return 0, fmt.Errorf("status wrote no metrics: %w: %s", err, said)
	}
	found := regexp.MustCompile(`(?m)^backup_wal_waiting_seconds (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("the metrics do not tell how long WAL has waited: %s", text)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// tellOfWaitingWAL sees that the number is small while PostgreSQL archives, and endless when it cannot be asked.
func (r *rehearsal) tellOfWaitingWAL(ctx context.Context) error {
	for _, try := range []struct {
		env  string
		fits func(seconds float64) bool
	}{
		{"LC_ALL=C", func(s float64) bool { return s >= 0 && s < 900 }}, // changes nothing
		{"PGPORT=1", func(s float64) bool { return s > 900 }},
	} {
		seconds, err := r.cluster.waitingForArchive(ctx, try.env)
		if err != nil {
			return err
		}
		if !try.fits(seconds) {
			return fmt.Errorf("WAL is said to have waited for %v s with %s", seconds, try.env)
		}
	}
	return nil
}
