package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/profile-api/profile-api/internal/drill"
)

// fleet are the replicas behind the proxy: the stable ones, and during a release
// those of the new version beside them.
type fleet struct {
	dir            string // for logs
	front          *proxy
	env            drill.Settings
	traffic        drill.Traffic
	stable, canary []*drill.Replica
	started        int
	rows           []string // of the summary
	faults         []error
}

// launch starts a replica where the proxy expects one.
func (f *fleet) launch(ctx context.Context, where server, binary string) (*drill.Replica, error) {
	f.started++
	log := filepath.Join(f.dir, fmt.Sprintf("replica-%d.log", f.started))
	return drill.StartReplica(ctx, binary, log, f.env.With("HTTP_ADDR", where.addr))
}

// fillStable starts the stable replicas that are missing, and waits until the proxy knows them to be ready.
func (f *fleet) fillStable(ctx context.Context, binary string) error {
	for len(f.stable) < len(f.front.stable) {
		r, err := f.launch(ctx, f.front.stable[len(f.stable)], binary)
		if err != nil {
			return err
		}
		f.stable = append(f.stable, r)
	}
	for i, r := range f.stable {
		if err := errors.Join(r.AwaitReady(ctx), f.front.awaitUp(ctx, f.front.stable[i])); err != nil {
			return err
		}
	}
	return nil
}

// stopAll stops them side by side: each takes its time to drain.
func stopAll(ctx context.Context, replicas []*drill.Replica) error {
	errs := make([]error, len(replicas))
	var wg sync.WaitGroup
	for i, r := range replicas {
		wg.Go(func() { errs[i] = r.Stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *fleet) killAll() {
	for _, r := range append(f.stable, f.canary...) {
		_ = r.Kill() // it may have ended
	}
}
